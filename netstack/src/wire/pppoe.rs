//! Discovery packets of PPPoE (RFC 2516, sections 4 and 5), without their Ethernet header.

/// EtherType of the discovery stage.
pub const ETHERTYPE: u16 = 0x8863;

/// PPPoE Active Discovery Initiation: who offers a service?
pub const PADI: u8 = 0x09;
/// Offer: a concentrator does.
pub const PADO: u8 = 0x07;
/// Request: a session, please.
pub const PADR: u8 = 0x19;
/// Session-confirmation: here it is, or why not.
pub const PADS: u8 = 0x65;
/// Terminate: it is over.
pub const PADT: u8 = 0xa7;

/// Tags (RFC 2516, appendix A).
pub mod tag {
    /// Nothing follows.
    pub const END: u16 = 0x0000;
    /// The service; empty = any.
    pub const SERVICE: u16 = 0x0101;
    /// The concentrator's name.
    pub const AC_NAME: u16 = 0x0102;
    /// Ours, to know answers by.
    pub const HOST_UNIQ: u16 = 0x0103;
    /// The concentrator's, to be given back.
    pub const AC_COOKIE: u16 = 0x0104;
    /// A relay's, to be given back.
    pub const RELAY: u16 = 0x0110;
    /// The largest PPP payload that is wanted, or granted (RFC 4638).
    pub const MAX_PAYLOAD: u16 = 0x0120;
    /// The service is not to be had.
    pub const SERVICE_ERROR: u16 = 0x0201;
    /// The concentrator has a trouble of its own.
    pub const SYSTEM_ERROR: u16 = 0x0202;
    /// Any other error.
    pub const GENERIC_ERROR: u16 = 0x0203;
}

/// One tag: its type and value.
pub type Tag<'a> = (u16, &'a [u8]);

/// A packet that was checked whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery<'a> {
    /// [`PADI`] and its like.
    pub code: u8,
    /// The session's number; 0 while there is none.
    pub session: u16,
    tags: &'a [u8],
}

const HEADER: usize = 6;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The first tag and what follows it.
fn split(bytes: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (kind, length) = (u16_at(bytes, 0)?, usize::from(u16_at(bytes, 2)?));
    Some(((kind, bytes.get(4..4 + length)?), bytes.get(4 + length..)?))
}

impl<'a> Discovery<'a> {
    /// Checks version, type, length and every tag; what Ethernet pads is left out. `None` for anything else.
    pub fn parse(packet: &'a [u8]) -> Option<Discovery<'a>> {
        let [0x11, code, ..] = *packet else { return None };
        let (session, length) = (u16_at(packet, 2)?, usize::from(u16_at(packet, 4)?));
        let tags = packet.get(HEADER..HEADER + length)?;
        let mut left = tags;
        while !left.is_empty() {
            let (tag, rest) = split(left)?;
            left = if tag.0 == tag::END { &[] } else { rest };
        }
        Some(Discovery { code, session, tags })
    }

    /// Its tags, up to the end or [`tag::END`].
    pub fn tags(&self) -> impl Iterator<Item = Tag<'a>> + use<'a> {
        let mut left = self.tags;
        std::iter::from_fn(move || {
            let (tag, rest) = split(left)?;
            left = rest;
            (tag.0 != tag::END).then_some(tag)
        })
    }

    /// The value of the first tag of a type.
    pub fn tag(&self, kind: u16) -> Option<&'a [u8]> {
        self.tags().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }
}

/// A packet with these tags, each value at most 65,535 bytes; tags that no longer fit are left out.
pub fn emit(code: u8, session: u16, tags: &[Tag<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in tags {
        let Ok(length) = u16::try_from(value.len()) else { continue };
        if body.len() + 4 + value.len() <= usize::from(u16::MAX) {
            body.extend(kind.to_be_bytes().iter().chain(&length.to_be_bytes()).chain(*value));
        }
    }
    let mut packet = vec![0x11, code];
    packet.extend(session.to_be_bytes());
    packet.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    packet.append(&mut body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // RFC 2516, appendix B, with two bytes that Ethernet pads.
    const PADO_OF_THE_RFC: &[u8] = b"\x11\x07\x00\x00\x00\x20\x01\x01\x00\x00\x01\x02\x00\x18\x47\x6f\x20\x52\x65\x64\x42\x61\x63\x6b\x20\x2d\x20\x65\x73\x68\x73\x68\x65\x73\x68\x6f\x6f\x74\x00\x00";

    #[test]
    fn the_rfcs_own_offer_is_read_without_its_padding() {
        let offer = Discovery::parse(PADO_OF_THE_RFC).unwrap();
        assert_eq!((offer.code, offer.session), (PADO, 0));
        assert_eq!(offer.tag(tag::SERVICE), Some(&b""[..]));
        assert_eq!(offer.tag(tag::AC_NAME), Some(&b"Go RedBack - eshsheshoot"[..]));
        assert_eq!(offer.tags().count(), 2);
    }

    #[test]
    fn what_is_cut_or_lies_is_refused() {
        let packet = emit(PADS, 7, &[(tag::SERVICE, b"x"), (tag::HOST_UNIQ, &[1, 2, 3, 4])]);
        assert!(Discovery::parse(&packet).is_some());
        for end in 0..packet.len() {
            assert_eq!(Discovery::parse(&packet[..end]), None, "{end}");
        }
        for (at, value) in [(0, 0x12), (0, 0x21), (9, 10), (5, 4)] {
            let mut wrong = packet.clone();
            wrong[at] = value;
            assert_eq!(Discovery::parse(&wrong), None, "{at}");
        }
    }

    #[test]
    fn nothing_counts_after_the_end_tag() {
        let packet = emit(PADO, 0, &[(tag::END, b""), (tag::AC_NAME, b"x")]);
        assert_eq!(Discovery::parse(&packet).unwrap().tags().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for start in [&[][..], &[0x11, PADO, 0, 0, 0]] {
                let bytes = [start, &bytes].concat();
                if let Some(packet) = Discovery::parse(&bytes) {
                    prop_assert!(packet.tags().map(|(_, value)| value.len() + 4).sum::<usize>() <= bytes.len());
                }
            }
        }

        #[test]
        fn what_is_written_is_read(code: u8, session: u16, value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let packet = emit(code, session, &[(tag::AC_COOKIE, &value), (tag::RELAY, b"r")]);
            let read = Discovery::parse(&packet).unwrap();
            prop_assert_eq!((read.code, read.session), (code, session));
            prop_assert_eq!(read.tags().collect::<Vec<_>>(), vec![(tag::AC_COOKIE, &value[..]), (tag::RELAY, &b"r"[..])]);
        }
    }
}
