//! NTP's header (RFC 5905, section 7.3), without extension fields: what a client sends and a server answers.

/// Bytes of the header, and of every packet of ours.
pub const LENGTH: usize = 48;
/// The port.
pub const PORT: u16 = 123;
/// `mode` of a client's question and of a server's answer.
pub const CLIENT: u8 = 3;
/// See [`CLIENT`].
pub const SERVER: u8 = 4;
/// `leap` of a clock that is not set.
pub const UNSYNCHRONISED: u8 = 3;
/// Seconds from 1900, where NTP's first era begins, to 1970.
const TO_UNIX: i64 = 2_208_988_800;

/// A moment as it is on the wire: seconds of an era of 136 years, and a binary fraction. 0 = none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From nanoseconds since 1970; the era is lost.
    pub fn from_nanos(nanos: i64) -> Timestamp {
        let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000) as u64);
        let seconds = (seconds + TO_UNIX) as u32;
        let fraction = (rest << 32) / 1_000_000_000;
        Timestamp(u64::from(seconds) << 32 | fraction)
    }

    /// Nanoseconds since 1970 of the moment with this reading that is nearest to `near`: 68 years to either side.
    pub fn nanos_near(self, near: i64) -> i64 {
        let base = near.div_euclid(1_000_000_000);
        let seconds = (self.0 >> 32) as u32;
        let ahead = seconds.wrapping_sub((base + TO_UNIX) as u32) as i32;
        let rest = ((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32;
        base.saturating_add(ahead.into()).saturating_mul(1_000_000_000).saturating_add(rest as i64)
    }
}

/// The header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packet {
    /// Leap indicator, 0 to 3.
    pub leap: u8,
    /// Version, 1 to 7.
    pub version: u8,
    /// Mode, 0 to 7.
    pub mode: u8,
    /// 1 = has a clock itself, 2 to 15 = asks others; 0 = says a kiss code in `reference_id`.
    pub stratum: u8,
    /// Logarithm of the interval between questions, in seconds.
    pub poll: i8,
    /// Logarithm of the clock's resolution, in seconds.
    pub precision: i8,
    /// Way to the clock at the root and back, in 1/65536 s.
    pub root_delay: u32,
    /// Error to the clock at the root, in 1/65536 s.
    pub root_dispersion: u32,
    /// Whom the sender follows, or a kiss code.
    pub reference_id: [u8; 4],
    /// When the sender's clock was last set.
    pub reference: Timestamp,
    /// The question's `transmit`.
    pub origin: Timestamp,
    /// When the question came.
    pub receive: Timestamp,
    /// When this packet left.
    pub transmit: Timestamp,
}

impl Packet {
    /// Reads a header; what follows it is not looked at. `None` when it is not whole.
    pub fn parse(bytes: &[u8]) -> Option<Packet> {
        let bytes: &[u8; LENGTH] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let stamp = |at: usize| Timestamp(u64::from(word(at)) << 32 | u64::from(word(at + 4)));
        Some(Packet {
            leap: bytes[0] >> 6,
            version: bytes[0] >> 3 & 7,
            mode: bytes[0] & 7,
            stratum: bytes[1],
            poll: bytes[2] as i8,
            precision: bytes[3] as i8,
            root_delay: word(4),
            root_dispersion: word(8),
            reference_id: word(12).to_be_bytes(),
            reference: stamp(16),
            origin: stamp(24),
            receive: stamp(32),
            transmit: stamp(40),
        })
    }

    /// The header's bytes.
    pub fn emit(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = self.leap << 6 | (self.version & 7) << 3 | self.mode & 7;
        bytes[1] = self.stratum;
        bytes[2] = self.poll as u8;
        bytes[3] = self.precision as u8;
        bytes[4..8].copy_from_slice(&self.root_delay.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.root_dispersion.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.reference_id);
        for (at, stamp) in [self.reference, self.origin, self.receive, self.transmit].into_iter().enumerate() {
            bytes[16 + 8 * at..24 + 8 * at].copy_from_slice(&stamp.0.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn reads_what_a_server_says() {
        // chronyd's answer at stratum 3, as it was captured.
        let mut bytes = [0; LENGTH];
        bytes[..16].copy_from_slice(&[0x24, 3, 6, 0xe7, 0, 0, 1, 0, 0, 0, 2, 0, 127, 127, 1, 1]);
        bytes[40..].copy_from_slice(&[0xee, 0xb0, 0, 0, 0x80, 0, 0, 0]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.leap, packet.version, packet.mode, packet.stratum), (0, 4, SERVER, 3));
        assert_eq!((packet.poll, packet.precision, packet.root_delay, packet.root_dispersion), (6, -25, 256, 512));
        assert_eq!(packet.transmit.nanos_near(0) % SECOND, SECOND / 2);
        assert_eq!(Packet::parse(&bytes[..47]), None);
    }

    #[test]
    fn an_era_is_known_by_what_is_near() {
        // The second era begins in February 2036.
        let turn = ((1 << 32) - TO_UNIX) * SECOND;
        for moment in [turn - SECOND, turn, turn + SECOND / 2, 0, 100 * 31_557_600 * SECOND] {
            assert_eq!(Timestamp::from_nanos(moment).nanos_near(moment + 40 * 31_557_600 * SECOND), moment);
            assert_eq!(Timestamp::from_nanos(moment).nanos_near(moment - 40 * 31_557_600 * SECOND), moment);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_written_again(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(packet) = Packet::parse(&bytes) {
                prop_assert_eq!(&packet.emit()[..], &bytes[..LENGTH]);
            }
        }

        #[test]
        fn moments_survive(nanos in -SECOND * 1_000_000_000..SECOND * 9_000_000_000, near in any::<i64>()) {
            let back = Timestamp::from_nanos(nanos).nanos_near(nanos);
            prop_assert!((nanos - back).abs() <= 1, "{} {}", nanos, back);
            let _ = Timestamp::from_nanos(nanos).nanos_near(near);
        }
    }
}
