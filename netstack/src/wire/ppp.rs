//! PPP's control packets: code, identifier, length, data (RFC 1661, section 5), the same for LCP, NCPs, PAP and CHAP.

/// Link Control Protocol.
pub const LCP: u16 = 0xc021;
/// Password Authentication Protocol (RFC 1334).
pub const PAP: u16 = 0xc023;
/// Challenge Handshake Authentication Protocol (RFC 1994).
pub const CHAP: u16 = 0xc223;
/// IP Control Protocol (RFC 1332).
pub const IPCP: u16 = 0x8021;
/// IPv6 Control Protocol (RFC 5072).
pub const IPV6CP: u16 = 0x8057;
/// IPv4 itself.
pub const IPV4: u16 = 0x0021;
/// IPv6 itself.
pub const IPV6: u16 = 0x0057;

/// Codes of LCP and the NCPs (RFC 1661, section 5).
pub mod code {
    /// What the sender would like.
    pub const REQUEST: u8 = 1;
    /// All of it is accepted.
    pub const ACK: u8 = 2;
    /// Another value is wanted.
    pub const NAK: u8 = 3;
    /// It is not known, or not wanted at all.
    pub const REJECT: u8 = 4;
    /// The sender is leaving.
    pub const TERMINATE: u8 = 5;
    /// So be it.
    pub const TERMINATE_ACK: u8 = 6;
    /// A code was not known.
    pub const CODE_REJECT: u8 = 7;
    /// A protocol was not known.
    pub const PROTOCOL_REJECT: u8 = 8;
    /// Are you there?
    pub const ECHO: u8 = 9;
    /// Here I am.
    pub const ECHO_REPLY: u8 = 10;
    /// Nothing.
    pub const DISCARD: u8 = 11;
}

/// A control packet whose length was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control<'a> {
    /// What it is, by its protocol's numbers.
    pub code: u8,
    /// What an answer repeats.
    pub id: u8,
    /// What follows.
    pub data: &'a [u8],
}

impl<'a> Control<'a> {
    /// Reads the packet after its protocol number; what is longer than it says is padding. `None` for what is cut.
    pub fn parse(packet: &'a [u8]) -> Option<Control<'a>> {
        let [code, id, high, low, ..] = *packet else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        Some(Control { code, id, data: packet.get(4..length)? })
    }

    /// Its options, each with its length checked; `None` when one does not fit.
    pub fn options(&self) -> Option<Vec<(u8, &'a [u8])>> {
        let (mut options, mut left) = (Vec::new(), self.data);
        while !left.is_empty() {
            let [kind, length, ..] = *left else { return None };
            let length = usize::from(length);
            options.push((kind, left.get(2..length)?));
            left = left.get(length..)?;
        }
        Some(options)
    }
}

/// A control packet. Data beyond what its length can say is left out.
pub fn emit(code: u8, id: u8, data: &[u8]) -> Vec<u8> {
    let data = data.get(..usize::from(u16::MAX) - 4).unwrap_or(data);
    let length = u16::try_from(4 + data.len()).unwrap_or(u16::MAX);
    [&[code, id][..], &length.to_be_bytes(), data].concat()
}

/// Options as the data of a control packet, each value at most 253 bytes.
pub fn options<'a>(options: impl IntoIterator<Item = (u8, &'a [u8])>) -> Vec<u8> {
    let mut data = Vec::new();
    for (kind, value) in options {
        if let Ok(length) = u8::try_from(value.len() + 2) {
            data.extend([kind, length]);
            data.extend(value);
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_cut_or_lies_is_refused() {
        let packet = emit(code::REQUEST, 9, &options([(1, &[5, 0xd4][..]), (5, &[1, 2, 3, 4])]));
        assert_eq!(packet, [1, 9, 0, 14, 1, 4, 5, 0xd4, 5, 6, 1, 2, 3, 4]);
        let read = Control::parse(&packet).unwrap();
        assert_eq!(read.options().unwrap(), [(1, &[5, 0xd4][..]), (5, &[1, 2, 3, 4])]);
        for end in 0..packet.len() {
            assert_eq!(Control::parse(&packet[..end]), None, "{end}");
        }
        for (at, value) in [(5, 0), (5, 1), (5, 3), (9, 7)] {
            let mut wrong = packet.clone();
            wrong[at] = value;
            assert_eq!(Control::parse(&wrong).unwrap().options(), None, "{at}");
        }
        assert_eq!(Control::parse(&[1, 9, 0, 3]), None, "shorter than its own header");
        assert_eq!(Control::parse(&[9, 1, 0, 4, 0, 0]).unwrap().data, b"", "padding");
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Control::parse(&bytes) {
                let size = packet.options().map(|all| all.iter().map(|(_, value)| value.len() + 2).sum::<usize>());
                prop_assert!(size.is_none_or(|size| size == packet.data.len()));
            }
        }
    }
}
