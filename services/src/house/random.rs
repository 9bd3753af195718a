//! Random numbers for engines: seeded once by the kernel, so that a test may seed them itself.

/// SplitMix64: for transaction numbers and jitter, which need to differ, not to be secret.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn from_seed(seed: u64) -> Random {
        Random(seed)
    }

    /// Seeded by the kernel; by the clock when the kernel has none to give.
    pub fn from_kernel() -> Random {
        use std::io::Read;
        let mut seed = [0; 8];
        let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
        if read.is_err() {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            seed = (since.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40)).to_ne_bytes();
        }
        Random::from_seed(u64::from_ne_bytes(seed))
    }

    /// Any number.
    pub fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    /// A number below `limit`; 0 when that is 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(limit)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_by_seed_and_keeps_its_limit() {
        let (mut a, mut b) = (Random::from_seed(7), Random::from_seed(7));
        for limit in 0..1_000 {
            let number = a.below(limit);
            assert_eq!(number, b.below(limit));
            assert!(number < limit.max(1));
        }
        assert_ne!(Random::from_kernel().next_u32(), Random::from_kernel().next_u32());
    }
}
