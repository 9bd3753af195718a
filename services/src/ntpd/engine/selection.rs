//! Whom to believe.
//!
//! Each server's word is an interval: its offset, as much less and more as it may be wrong. Believed are those whose
//! intervals share a point, when they are more than half (Marzullo's algorithm, as RFC 5905 has it): one liar among three
//! or four is outvoted, a server that is alone is believed. Where no more than half agree (two that contradict each
//! other, two against two), those that leave our clock within an hour are believed, if there are any and they agree among
//! themselves: a clock that was set once, by its battery or by what was kept, is not so far off. Else nobody is.
use super::SECOND;

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// What our clock is behind, in nanoseconds.
    pub offset: i64,
    /// How wrong that may be.
    pub error: i64,
}

/// Honest servers, over ways that are longer in one direction than in the other, may differ by twice that.
const SLACK: i64 = SECOND / 40;
/// How far off a clock that was set once may be.
const NEAR: i64 = 3_600 * SECOND;

impl Word {
    fn low(&self) -> i64 {
        self.offset.saturating_sub(self.error.saturating_add(SLACK))
    }

    fn holds(&self, point: i64) -> bool {
        self.low() <= point && point <= self.offset.saturating_add(self.error.saturating_add(SLACK))
    }
}

/// The places of those who are believed; empty when nobody is.
pub fn believed(words: &[Word]) -> Vec<usize> {
    let all: Vec<usize> = (0..words.len()).collect();
    let agreeing = agreement(words, &all);
    if agreeing.len() * 2 > words.len() {
        return agreeing;
    }
    let near = |at: &usize| words.get(*at).is_some_and(|word| word.offset.saturating_abs() <= NEAR);
    let near: Vec<usize> = all.into_iter().filter(near).collect();
    let agreeing = agreement(words, &near);
    if agreeing.len() == near.len() { agreeing } else { Vec::new() }
}

/// The largest group of these that share a point.
fn agreement(words: &[Word], among: &[usize]) -> Vec<usize> {
    let of = |point: i64| -> Vec<usize> {
        among.iter().copied().filter(|at| words.get(*at).is_some_and(|word| word.holds(point))).collect()
    };
    // Where the most intervals meet, one of them begins.
    let groups = among.iter().filter_map(|at| words.get(*at)).map(|word| of(word.low()));
    groups.max_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = SECOND / 1_000;
    const YEAR: i64 = 31_557_600 * SECOND;

    fn of(words: &[(i64, i64)]) -> Vec<usize> {
        let words: Vec<Word> = words.iter().map(|(offset, error)| Word { offset: *offset, error: *error }).collect();
        believed(&words)
    }

    #[test]
    fn a_liar_is_outvoted() {
        assert_eq!(of(&[]), [0usize; 0]);
        assert_eq!(of(&[(9 * YEAR, MS)]), [0], "alone");
        assert_eq!(of(&[(YEAR, MS), (YEAR + 10 * MS, MS)]), [0, 1]);
        for liar in [0, -9 * YEAR, YEAR + 3_600 * SECOND, YEAR + SECOND] {
            assert_eq!(of(&[(YEAR, 5 * MS), (liar, MS), (YEAR + 10 * MS, 9 * MS)]), [0, 2]);
            assert_eq!(of(&[(YEAR, MS), (YEAR + MS, MS), (liar, MS), (YEAR - MS, MS)]), [0, 1, 3]);
        }
    }

    #[test]
    fn where_no_more_than_half_agree_the_clock_decides() {
        assert_eq!(of(&[(YEAR, MS), (2 * YEAR, MS)]), [0usize; 0]);
        assert_eq!(of(&[(YEAR, MS), (90 * SECOND, MS)]), [1]);
        assert_eq!(of(&[(1_000 * SECOND, MS), (90 * SECOND, MS)]), [0usize; 0], "both are near");
        assert_eq!(of(&[(YEAR, MS), (YEAR, MS), (0, MS), (MS, MS)]), [2, 3]);
        assert_eq!(of(&[(YEAR, MS), (YEAR, MS), (0, MS), (-YEAR, MS)]), [2]);
        assert_eq!(of(&[(YEAR, MS), (2 * YEAR, MS), (3 * YEAR, MS)]), [0usize; 0]);
        assert_eq!(of(&[(i64::MAX, i64::MAX), (i64::MIN, 1)]).len(), 0);
    }
}
