//! What the engine counts.

/// Since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages on port 53.
    pub queries: u64,
    /// Answered by what the house knows itself.
    pub local: u64,
    /// Answered from the cache.
    pub hits: u64,
    /// Of these, with what has run out.
    pub stale: u64,
    /// Asked outside for a client.
    pub misses: u64,
    /// Asked outside before a popular answer ran out.
    pub prefetched: u64,
    /// Answers that would have led into the house.
    pub rebound: u64,
    /// Not answered because a block list has the name.
    pub blocked: u64,
    /// Of listed names, those that an exception let through.
    pub excepted: u64,
    /// Refused because the client asked too often.
    pub limited: u64,
    /// Not answered because the asker does not belong here.
    pub strangers: u64,
    /// Messages that were no proper query.
    pub malformed: u64,
    /// Answers that were proven, need not be, and are not what their zones have published.
    pub secure: u64,
    /// See `secure`.
    pub insecure: u64,
    /// See `secure`.
    pub bogus: u64,
    /// Bogus answers for which another upstream was asked.
    pub doubted: u64,
    /// Questions that nobody outside could answer.
    pub failures: u64,
}
