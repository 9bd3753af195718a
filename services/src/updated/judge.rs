//! Whether the image that runs on trial is good: pure, `(now, event) -> what next`.
//!
//! Two verdicts, and only both together are a good one. The LAN is served: every service is ready, and every LAN's DNS has
//! answered the router itself; within 15 s. (A DHCP server cannot be asked from its own machine without a frame on the
//! LAN: that dhcp4d is ready, which means that its sockets are open, counts.) The internet works, as diagd sees it, if it
//! did before the update; within 90 s.
use netstack::time::Instant;
use std::time::Duration;

/// How long the LAN may be without its router.
pub const LAN: Duration = Duration::from_secs(15);
/// How long the internet may be away.
pub const INTERNET: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// See whether the LAN is served.
    AskLan,
    /// Ask diagd.
    AskInternet,
    /// The image stays.
    Commit,
    /// It does not, and why.
    Back(&'static str),
}

/// The judge.
#[derive(Debug)]
pub struct Judge {
    begun: Instant,
    /// The internet worked before.
    worked: bool,
    lan: bool,
    look_at: Instant,
    over: bool,
}

impl Judge {
    /// Of an image that was started just now.
    pub fn new(now: Instant, worked: bool) -> Judge {
        Judge { begun: now, worked, lan: false, look_at: now, over: false }
    }

    /// When [`Judge::tick`] is wanted; none once it was judged.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.over).then_some(self.look_at)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Option<Next> {
        if self.over || now < self.look_at {
            return None;
        }
        self.look_at = now + LOOK;
        if !self.lan && now - self.begun > LAN {
            return Some(self.end(Next::Back("the LAN is not served")));
        }
        if now - self.begun > INTERNET {
            return Some(self.end(Next::Back("the internet worked before, and does not now")));
        }
        Some(if self.lan { Next::AskInternet } else { Next::AskLan })
    }

    /// The LAN was looked at.
    pub fn lan(&mut self, now: Instant, served: bool) -> Option<Next> {
        if self.over || self.lan || !served {
            return None;
        }
        self.lan = true;
        if self.worked {
            self.look_at = now;
            return None;
        }
        Some(self.end(Next::Commit))
    }

    /// diagd has spoken.
    pub fn internet(&mut self, works: bool) -> Option<Next> {
        (!self.over && self.lan && works).then(|| self.end(Next::Commit))
    }

    fn end(&mut self, next: Next) -> Next {
        self.over = true;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(1_000 + ms)
    }

    #[test]
    fn both_verdicts_commit() {
        let mut judge = Judge::new(at(0), true);
        assert_eq!(judge.internet(true), None, "that alone does not");
        assert_eq!(judge.tick(at(0)), Some(Next::AskLan));
        assert_eq!(judge.tick(at(100)), None);
        assert_eq!(judge.lan(at(200), false), None);
        assert_eq!(judge.tick(at(500)), Some(Next::AskLan));
        assert_eq!(judge.lan(at(600), true), None);
        assert_eq!(judge.tick(at(600)), Some(Next::AskInternet));
        assert_eq!(judge.internet(false), None);
        assert_eq!(judge.tick(at(60_000)), Some(Next::AskInternet), "the LAN's time does not count any more");
        assert_eq!(judge.internet(true), Some(Next::Commit));
        assert_eq!((judge.deadline(), judge.tick(at(200_000)), judge.internet(true)), (None, None, None), "once");
    }

    #[test]
    fn what_did_not_work_before_need_not_work_now() {
        let mut judge = Judge::new(at(0), false);
        assert_eq!(judge.lan(at(300), true), Some(Next::Commit));
    }

    #[test]
    fn each_verdict_has_its_time() {
        let mut judge = Judge::new(at(0), true);
        assert_eq!(judge.tick(at(15_000)), Some(Next::AskLan));
        assert_eq!(judge.tick(at(15_600)), Some(Next::Back("the LAN is not served")));
        assert_eq!(judge.lan(at(15_700), true), None, "too late");
        let mut judge = Judge::new(at(0), true);
        judge.lan(at(400), true);
        assert_eq!(judge.tick(at(90_000)), Some(Next::AskInternet));
        assert!(matches!(judge.tick(at(90_600)), Some(Next::Back(_))));
        assert_eq!(judge.internet(true), None);
    }
}
