//! What somebody wants to see: `control`, `dns` or `all`, each with an address if one is enough.
use super::kept::LAST_BOOT;
use netstack::capture::Filter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A filter, and the address that a packet has to come from or go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Which packets.
    pub filter: Filter,
    /// Whose.
    pub address: Option<IpAddr>,
}

impl Wish {
    /// Of the words behind `ssh weir`. Words that are none of ours mean what router7 does with any: `control`.
    ///
    /// # Errors
    /// In words, when one of our words is followed by something that is no address.
    pub fn parse(command: &str) -> Result<Wish, String> {
        let mut words = command.split_ascii_whitespace();
        let filter = match words.next() {
            Some("dns") => Filter::Dns,
            Some("all") => Filter::AllBut(super::PORT),
            Some("control") => Filter::Control,
            _ => return Ok(Wish { filter: Filter::Control, address: None }),
        };
        let second = words.next();
        if second == Some(LAST_BOOT) {
            return Err(format!("what the boot before has left is a file: /capture.pcapng?filter=control+{LAST_BOOT}"));
        }
        let address = second.map(|word| word.parse().map_err(|_| format!("{word:?} is no address")));
        match words.next() {
            Some(word) => Err(format!("{word:?} is too much: control, dns or all, and an address")),
            None => Ok(Wish { filter, address: address.transpose()? }),
        }
    }

    /// Whether a frame is wanted, as far as the address says.
    pub fn takes(&self, frame: &[u8]) -> bool {
        self.address.is_none_or(|address| ends(frame).is_some_and(|ends| ends.contains(&address)))
    }
}

/// Source and destination of an Ethernet frame: of IPv4, IPv6 and ARP.
fn ends(frame: &[u8]) -> Option<[IpAddr; 2]> {
    let v4 = |at: usize| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(at..at + 4)?).ok()?)));
    let v6 = |at: usize| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?)));
    match frame.get(12..14)? {
        [0x08, 0x00] => Some([v4(26)?, v4(30)?]),
        [0x86, 0xdd] => Some([v6(22)?, v6(38)?]),
        [0x08, 0x06] => Some([v4(28)?, v4(38)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_ours_or_anybodys() {
        let of = |filter, address: Option<&str>| Wish { filter, address: address.map(|text| text.parse().unwrap()) };
        for (command, wish) in [
            ("", of(Filter::Control, None)),
            ("x", of(Filter::Control, None)),
            ("tcpdump -i any", of(Filter::Control, None)),
            ("control", of(Filter::Control, None)),
            (" dns  192.168.42.7 ", of(Filter::Dns, Some("192.168.42.7"))),
            ("all fe80::1", of(Filter::AllBut(5022), Some("fe80::1"))),
        ] {
            assert_eq!(Wish::parse(command), Ok(wish), "{command}");
        }
        assert!(Wish::parse("dns laptop").unwrap_err().contains("\"laptop\" is no address"));
        assert!(Wish::parse("control --last-boot").unwrap_err().contains("is a file"));
        assert!(Wish::parse("all 10.0.0.1 10.0.0.2").unwrap_err().contains("too much"));
    }

    #[test]
    fn an_address_is_found_at_either_end() {
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        let takes = |text: &str, frame: &[u8]| Wish::parse(&format!("all {text}")).unwrap().takes(frame);
        assert!(takes("10.0.0.1", &frame) && takes("10.0.0.2", &frame) && !takes("10.0.0.3", &frame));
        assert!(!takes("10.0.0.1", &frame[..20]) && Wish::parse("all").unwrap().takes(&frame[..20]));
        frame[12..14].copy_from_slice(&[8, 6]);
        frame[28..32].copy_from_slice(&[10, 0, 0, 7]);
        assert!(takes("10.0.0.7", &frame));
    }

    proptest! {
        #[test]
        fn any_words_and_frames(command in ".{0,60}", frame in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(wish) = Wish::parse(&command) {
                wish.takes(&frame);
            }
            let _ = Wish::parse("all ::1").map(|wish| wish.takes(&frame));
        }
    }
}
