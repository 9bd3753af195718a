//! Names as numbers. Each domain above a name is hashed on the way to it, from the right. The numbers are written to disk:
//! what is changed here wants another mark in [`super::table`].

/// The four lowest bits of a key are not the hash's: they say what a rule means.
pub const KIND: u64 = 0xf;
/// A rule's bits: the name itself, what is below it, an exception, over exceptions.
pub const AT: u64 = 1;
/// See [`AT`].
pub const BELOW: u64 = 2;
/// See [`AT`].
pub const EXCEPT: u64 = 4;
/// See [`AT`].
pub const IMPORTANT: u64 = 8;

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A name in the making, from its last label on.
#[derive(Debug, Clone, Copy)]
pub struct Hash(u64);

impl Hash {
    /// The root.
    pub const ROOT: Hash = Hash(0x7765_6972_2e6c_616e);

    /// The name that has one more label, in lower case, before it.
    #[must_use]
    pub fn below(self, label: &[u8]) -> Hash {
        let mut state = self.0 ^ (label.len() as u64).wrapping_mul(MIX);
        let (words, rest) = label.as_chunks::<8>();
        for word in words {
            state = mixed(state ^ u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            state = mixed(state ^ word);
        }
        Hash(state)
    }

    /// Its key, without a kind.
    pub fn key(self) -> u64 {
        let mut key = self.0;
        key = (key ^ key >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        key = (key ^ key >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        (key ^ key >> 33) & !KIND
    }
}

fn mixed(state: u64) -> u64 {
    let state = state.wrapping_mul(MIX);
    state ^ state >> 32
}

/// The key of a name in lower case as it is written, without a dot at its end.
pub fn of_text(name: &[u8]) -> u64 {
    name.rsplit(|byte| *byte == b'.').fold(Hash::ROOT, Hash::below).key()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_million_names_have_a_million_keys_spread_evenly() {
        let (mut keys, mut buckets) = (HashSet::new(), vec![0u32; 1 << 16]);
        for number in 0..1_000_000u32 {
            let key = of_text(format!("n{number}.x{}.example", number % 7).as_bytes());
            assert!(keys.insert(key), "{number}");
            buckets[(key >> 48) as usize] += 1;
        }
        // 15 on average; of a fair hash hardly ever more than 50.
        assert!(buckets.iter().all(|count| *count < 50));
    }

    #[test]
    fn labels_are_told_apart() {
        let keys: HashSet<u64> =
            ["ab.c", "a.bc", "abc", "a.b.c", "a", "", "\0", "a\0", "abcdefgh", "abcdefgh\0", "c.ab", "b.a.c"]
                .iter()
                .map(|name| of_text(name.as_bytes()))
                .collect();
        assert_eq!(keys.len(), 12);
        // What lies on disks is read by this number.
        assert_eq!(of_text(b"www.example.com"), 0xe1b6_13de_ccab_3040);
    }
}
