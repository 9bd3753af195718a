//! What lists say of a name, a bit for each list, and what comes of it for who is served by some of them.

/// What every list says of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// It is blocked.
    pub block: u32,
    /// It is not, whatever lists say.
    pub except: u32,
    /// It is blocked, whatever exceptions say (`$important`).
    pub important: u32,
    /// It is not, whatever anybody says.
    pub firm: u32,
}

/// What is done with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No list speaks of it.
    Free,
    /// An exception of a list lets it through.
    Excepted,
    /// The list of this number blocks it.
    Blocked(usize),
}

impl Marks {
    /// Whether no list says anything.
    pub fn is_empty(&self) -> bool {
        *self == Marks::default()
    }

    /// What either says.
    #[must_use]
    pub fn and(self, other: Marks) -> Marks {
        Marks {
            block: self.block | other.block,
            except: self.except | other.except,
            important: self.important | other.important,
            firm: self.firm | other.firm,
        }
    }

    /// What comes of it where only some lists count, a bit each. Of several that block, the first is named.
    pub fn verdict(&self, lists: u32) -> Verdict {
        let first = |bits: u32| Verdict::Blocked(bits.trailing_zeros() as usize);
        if self.firm & lists != 0 {
            Verdict::Excepted
        } else if self.important & lists != 0 {
            first(self.important & lists)
        } else if self.except & lists != 0 {
            Verdict::Excepted
        } else if self.block & lists != 0 {
            first(self.block & lists)
        } else {
            Verdict::Free
        }
    }

    /// The same as an array, for the table's file.
    pub fn words(&self) -> [u32; 4] {
        [self.block, self.except, self.important, self.firm]
    }

    /// Of such an array.
    pub fn of_words([block, except, important, firm]: [u32; 4]) -> Marks {
        Marks { block, except, important, firm }
    }

    /// What one rule of a list says, by its kind.
    pub fn of_kind(kind: u64, list: usize) -> Marks {
        use super::hash::{EXCEPT, IMPORTANT};
        let bit = 1u32.checked_shl(list as u32).unwrap_or(0);
        let mut marks = Marks::default();
        *match (kind & EXCEPT != 0, kind & IMPORTANT != 0) {
            (false, false) => &mut marks.block,
            (true, false) => &mut marks.except,
            (false, true) => &mut marks.important,
            (true, true) => &mut marks.firm,
        } = bit;
        marks
    }

    /// The same bits at other places: `to` has the new number of each list, none where the list is gone.
    #[must_use]
    pub fn moved(&self, to: &[Option<usize>]) -> Marks {
        let one = |bits: u32| {
            let each = to.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            each.filter_map(|(_, to)| *to).fold(0, |moved, to| moved | 1 << to)
        };
        Marks::of_words(self.words().map(one))
    }
}
