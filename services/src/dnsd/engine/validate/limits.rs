//! How much work one answer may make, whoever wrote it: a zone that has a thousand keys of one tag (KeyTrap,
//! CVE-2023-50387), NSEC3 with 65,535 iterations (CVE-2023-50868, RFC 9276) or delegations without end.

/// Signatures of one RRset that are looked at.
pub const SIGNATURES: usize = 8;
/// Keys of one tag and algorithm that are tried.
pub const KEYS_OF_ONE_TAG: usize = 4;
/// Keys of one zone, and DS records of one cut, that are kept.
pub const KEYS: usize = 32;
/// See `KEYS`.
pub const DELEGATIONS: usize = 16;
/// RRsets of one message.
pub const SETS: usize = 64;
/// Signatures that are checked for one message, and of these those that do not fit.
const CHECKS: u8 = 32;
const FAILURES: u8 = 8;
/// Names that are hashed for one message.
const HASHES: u8 = 64;
/// More iterations make a zone insecure (RFC 9276 3.2).
pub const ITERATIONS: u16 = 150;
/// Aliases that are followed in one message.
pub const ALIASES: usize = 32;
/// Questions for keys and delegations that one answer may cause.
pub const QUESTIONS: u8 = 32;
/// Zones and cuts that are remembered.
pub const ZONES: usize = 1_024;
/// Answers that are judged at the same time.
pub const JOBS: usize = 256;

/// What is left to be done for one message.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    checks: u8,
    failures: u8,
    hashes: u8,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { checks: CHECKS, failures: FAILURES, hashes: HASHES }
    }
}

impl Budget {
    /// Whether one more signature may be checked; it is counted.
    pub fn check(&mut self) -> bool {
        take(&mut self.checks) && self.failures > 0
    }

    /// It did not fit.
    pub fn failed(&mut self) {
        take(&mut self.failures);
    }

    /// Whether one more name may be hashed; it is counted.
    pub fn hash(&mut self) -> bool {
        take(&mut self.hashes)
    }
}

fn take(left: &mut u8) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}
