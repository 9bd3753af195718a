//! How often a slot may be left for the other one because a core service is sick in it: pure. Once; and again when all of
//! them were well for an hour without a break, in one boot. That it was left is on the disk, so no restart begins anew,
//! and no clock is needed that is right. Where both slots are sick, the router stays in the second one.

/// So long well, and a slot may be left once more.
const HOUR_MS: u64 = 3_600_000;

/// What is known of it.
#[derive(Debug)]
pub struct Refuge {
    taken: bool,
    sick: bool,
    well_since: u64,
}

impl Refuge {
    /// At the start of a machine whose disk says whether a slot was left.
    pub fn new(taken: bool, now: u64) -> Refuge {
        Refuge { taken, sick: false, well_since: now }
    }

    /// Whether the slot must not be left.
    pub fn is_taken(&self) -> bool {
        self.taken
    }

    /// When [`Refuge::look`] is wanted.
    pub fn deadline(&self) -> Option<u64> {
        (self.taken && !self.sick).then_some(self.well_since + HOUR_MS)
    }

    /// Whether any core service is sick now. The answer: from now on a slot may be left again, and the disk is to say so.
    pub fn look(&mut self, now: u64, sick: bool) -> bool {
        if sick || self.sick {
            self.well_since = now;
        }
        self.sick = sick;
        let over = self.deadline().is_some_and(|at| at <= now);
        self.taken &= !over;
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_health_and_nothing_else_permits_it_again() {
        let mut refuge = Refuge::new(true, 1_000);
        assert_eq!(refuge.deadline(), Some(1_000 + HOUR_MS));
        assert!(!refuge.look(HOUR_MS, false), "a second is missing");
        assert!(!refuge.look(HOUR_MS + 500, true));
        assert_eq!(refuge.deadline(), None);
        assert!(!refuge.look(9 * HOUR_MS, true), "sick in both: it stays");
        assert!(!refuge.look(9 * HOUR_MS + 10, false) && refuge.is_taken());
        assert_eq!(refuge.deadline(), Some(10 * HOUR_MS + 10));
        assert!(refuge.look(10 * HOUR_MS + 10, false) && !refuge.is_taken());
        assert!(!refuge.look(20 * HOUR_MS, false), "once");
        assert!(!Refuge::new(false, 0).look(5 * HOUR_MS, true));
    }
}
