//! What a machine that starts from the network is told by DHCP (RFC 2131; PXE 2.1, RFC 4578): an address, and what to load.
//!
//! Only firmware is answered: whoever names itself `PXEClient` or iPXE. Everybody else on the segment has a server of its
//! own and hears nothing from us.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use netstack::wire::dhcpv4::{Header, Kind, Message, emit};

/// The shortest message that old firmware takes, in bytes (RFC 1542).
const SHORTEST: usize = 300;
/// PXE's vendor options: tag 6 with bit 3 alone, and the end.
const DISCOVERY_CONTROL: [u8; 4] = [6, 1, 8, 255];
/// Seconds that an address is given for: longer than any installation.
const LEASE: u32 = 3_600;
/// How many machines have an address at once.
const MACHINES: u8 = 8;
/// The last byte of the first address that is given, where nobody says otherwise.
pub const FIRST_HOST: u8 = 201;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// As people write it.
pub fn text(mac: Mac) -> String {
    let mut text = String::new();
    for byte in mac {
        let colon = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02x}");
    }
    text
}

/// What firmware loads first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// iPXE, in the firmware or loaded by it: a script.
    Script,
    /// The BIOS' own PXE: an iPXE, by TFTP.
    Bios,
    /// UEFI's own PXE on x86-64: the same.
    Uefi,
    /// A kind of machine that weir does not run on (RFC 4578's number).
    Other(u16),
}

impl Load {
    /// The file's name.
    pub fn file(&self) -> Option<&'static str> {
        match self {
            Load::Script => Some(super::script::NAME),
            Load::Bios => Some("undionly.kpxe"),
            Load::Uefi => Some("snponly.efi"),
            Load::Other(_) => None,
        }
    }
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Not ours to answer.
    Nothing,
    /// Send this to everybody on the segment, port 68.
    Answer {
        /// Who asked.
        mac: Mac,
        /// What it is told to load.
        load: Load,
        /// The address that it is given.
        address: Ipv4Addr,
        /// It has taken the address: else it was only offered.
        taken: bool,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A machine that we do not answer, with the reason in words.
    Refused(Mac, String),
}

/// The server.
#[derive(Debug)]
pub struct Server {
    address: Ipv4Addr,
    mask: Ipv4Addr,
    first: u8,
    machines: BTreeMap<Mac, u8>,
}

impl Server {
    /// At this address; machines get the addresses of its network that end with `first` and what follows.
    pub fn new(address: Ipv4Addr, prefix: u8, first: u8) -> Server {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        Server { address, mask: mask.into(), first, machines: BTreeMap::new() }
    }

    /// A machine that is done is not answered any more: it starts from its disk then.
    pub fn forget(&mut self, mac: Mac) {
        self.machines.remove(&mac);
    }

    /// Answers a message that came to port 67; `done` are the machines that are not to be installed again.
    pub fn answer(&mut self, bytes: &[u8], done: &[Mac]) -> Said {
        let Some(message) = Message::parse(bytes).filter(|message| message.op() == 1) else { return Said::Nothing };
        let (Some(mac), Some(kind @ (Kind::Discover | Kind::Request))) = (message.ethernet(), message.kind()) else {
            return Said::Nothing;
        };
        let Some(load) = load(&message) else { return Said::Nothing };
        if done.contains(&mac) {
            return Said::Nothing;
        }
        let chosen = message.option(54).and_then(|value| <[u8; 4]>::try_from(value).ok()).map(Ipv4Addr::from);
        if kind == Kind::Request
            && let Some(other) = chosen.filter(|chosen| *chosen != self.address)
        {
            return Said::Refused(mac, format!("took the offer of another DHCP server, {other}"));
        }
        let Some(file) = load.file() else {
            return Said::Refused(mac, "is no PC: its firmware is of another kind".into());
        };
        let Some(address) = self.give(mac) else {
            return Said::Refused(mac, format!("{MACHINES} others are being served"));
        };
        // Somebody who holds another address, of an earlier run or network, begins anew.
        let wants = message.option(50).and_then(|value| <[u8; 4]>::try_from(value).ok()).map(Ipv4Addr::from);
        let wrong = kind == Kind::Request && wants.is_some_and(|wants| wants != address);
        let answer = match kind {
            Kind::Discover => Kind::Offer,
            _ if wrong => Kind::Nak,
            _ => Kind::Ack,
        };
        let bytes = self.reply(&message, mac, answer, (address, file), load != Load::Script);
        Said::Answer { mac, load, address, taken: answer == Kind::Ack, bytes }
    }

    fn reply(
        &self,
        query: &Message<'_>,
        mac: Mac,
        answer: Kind,
        (address, file): (Ipv4Addr, &str),
        firmware: bool,
    ) -> Vec<u8> {
        let mut header = Header { op: 2, xid: query.xid(), flags: query.flags(), chaddr: mac, ..Header::default() };
        let mut options = vec![(53, vec![answer as u8]), (54, self.address.octets().to_vec())];
        if answer != Kind::Nak {
            (header.yiaddr, header.siaddr) = (address, self.address);
            options.push((51, LEASE.to_be_bytes().to_vec()));
            options.push((1, self.mask.octets().to_vec()));
            options.push((66, self.address.to_string().into_bytes()));
            options.push((67, file.as_bytes().to_vec()));
            if firmware {
                // Without its own name in the answer firmware takes us for a server of addresses only.
                options.push((60, b"PXEClient".to_vec()));
                // And without this it asks for a boot server first (PXE 2.1: discovery control, the named file at once).
                options.push((43, DISCOVERY_CONTROL.to_vec()));
            }
        }
        emit(&header, &options, SHORTEST)
    }

    fn give(&mut self, mac: Mac) -> Option<Ipv4Addr> {
        let address = |number: u8| {
            let [a, b, c, _] = self.address.octets();
            Ipv4Addr::from([a, b, c, self.first.saturating_add(number)])
        };
        if let Some(number) = self.machines.get(&mac) {
            return Some(address(*number));
        }
        let taken = |number: &u8| self.machines.values().any(|other| other == number);
        let number = (0..MACHINES).find(|number| !taken(number) && address(*number) != self.address)?;
        let given = address(number);
        self.machines.insert(mac, number);
        Some(given)
    }
}

/// What this firmware loads; none when it is no firmware.
fn load(message: &Message<'_>) -> Option<Load> {
    let ours = message.option(60).is_some_and(|class| class.starts_with(b"PXEClient"));
    // iPXE says its name in option 77 as it stands, without the length that RFC 3004 wants.
    if message.option(175).is_some() || message.option(77).as_deref() == Some(b"iPXE") {
        return Some(Load::Script);
    }
    let kind = message.option(93).and_then(|kind| kind.first_chunk().map(|kind| u16::from_be_bytes(*kind)));
    ours.then(|| match kind.unwrap_or(0) {
        0 => Load::Bios,
        7 | 9 => Load::Uefi,
        other => Load::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Options<'a> = &'a [(u8, &'a [u8])];

    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    fn server() -> Server {
        Server::new(Ipv4Addr::new(10, 9, 0, 1), 24, FIRST_HOST)
    }

    fn query(mac: Mac, kind: Kind, options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut all = vec![(53, vec![kind as u8])];
        all.extend(options.iter().map(|(code, value)| (*code, value.to_vec())));
        emit(&Header { xid: 7, chaddr: mac, ..Header::default() }, &all, 0)
    }

    fn told(said: Said) -> (Load, Ipv4Addr, Kind, Option<Vec<u8>>) {
        let Said::Answer { load, address, bytes, .. } = said else { panic!("{said:?}") };
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.xid(), message.op(), bytes.len() >= SHORTEST), (7, 2, true));
        (load, address, message.kind().unwrap(), message.option(67))
    }

    #[test]
    fn firmware_of_every_kind_is_told_what_it_can_load() {
        let bios: &[(u8, &[u8])] = &[(60, b"PXEClient:Arch:00000:UNDI:002001"), (93, &[0, 0])];
        let cases: [(Options<'_>, Load, &str); 4] = [
            (bios, Load::Bios, "undionly.kpxe"),
            (&[(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, &[0, 7])], Load::Uefi, "snponly.efi"),
            (&[(60, b"PXEClient:Arch:00000"), (93, &[0, 0]), (175, &[1])], Load::Script, "boot.ipxe"),
            (&[(77, b"iPXE")], Load::Script, "boot.ipxe"),
        ];
        for (options, load, file) in cases {
            let (to, address, kind, name) = told(server().answer(&query(MAC, Kind::Discover, options), &[]));
            assert_eq!((to, address), (load, Ipv4Addr::new(10, 9, 0, 201)));
            assert_eq!((kind, name), (Kind::Offer, Some(file.as_bytes().to_vec())));
        }
        for (options, firmware) in [(bios, true), (&[(77, b"iPXE")], false)] {
            let Said::Answer { bytes, .. } = server().answer(&query(MAC, Kind::Discover, options), &[]) else {
                panic!()
            };
            let message = Message::parse(&bytes).unwrap();
            let said = [60, 43].map(|code| message.option(code).map(|value| value.to_vec()));
            let wanted = [b"PXEClient".to_vec(), DISCOVERY_CONTROL.to_vec()].map(|value| firmware.then_some(value));
            assert_eq!(said, wanted, "no boot server is looked for");
        }
        let arm = query(MAC, Kind::Discover, &[(60, b"PXEClient:Arch:00011"), (93, &[0, 11])]);
        assert!(matches!(server().answer(&arm, &[]), Said::Refused(MAC, _)));
    }

    #[test]
    fn others_on_the_segment_hear_nothing() {
        let mut server = server();
        for options in [&[][..], &[(60, &b"udhcp 1.35"[..])], &[(60, b"android-dhcp-14"), (93, &[0, 0])]] {
            assert_eq!(server.answer(&query(MAC, Kind::Discover, options), &[]), Said::Nothing);
        }
        let firmware: &[(u8, &[u8])] = &[(77, b"iPXE")];
        assert_eq!(server.answer(&query(MAC, Kind::Discover, firmware), &[MAC]), Said::Nothing, "it is done");
        for kind in [Kind::Inform, Kind::Release, Kind::Decline] {
            assert_eq!(server.answer(&query(MAC, kind, firmware), &[]), Said::Nothing);
        }
        assert_eq!(server.answer(b"", &[]), Said::Nothing);
    }

    #[test]
    fn a_request_is_acknowledged_and_one_for_another_server_is_named() {
        let mut server = server();
        let request = |server_id: &[u8], address: &[u8]| {
            query(MAC, Kind::Request, &[(77, b"iPXE"), (54, server_id), (50, address)])
        };
        let said = server.answer(&request(&[10, 9, 0, 1], &[10, 9, 0, 201]), &[]);
        assert!(matches!(said, Said::Answer { taken: true, .. }));
        assert_eq!(told(said).2, Kind::Ack);
        assert_eq!(told(server.answer(&request(&[10, 9, 0, 1], &[192, 168, 1, 5]), &[])).2, Kind::Nak);
        let Said::Refused(MAC, words) = server.answer(&request(&[10, 9, 0, 254], &[10, 9, 0, 80]), &[]) else {
            panic!()
        };
        assert!(words.contains("10.9.0.254"), "{words}");
    }

    #[test]
    fn each_machine_has_its_address_and_a_ninth_waits() {
        let mut server = server();
        let mut given = Vec::new();
        for host in 0..9 {
            given.push(server.answer(&query([2, 0, 0, 0, 0, host], Kind::Discover, &[(77, b"iPXE")]), &[]));
        }
        assert!(matches!(given.pop(), Some(Said::Refused(_, _))));
        let mut addresses: Vec<_> = given.into_iter().map(|said| told(said).1).collect();
        assert_eq!(addresses[7], Ipv4Addr::new(10, 9, 0, 208));
        addresses.dedup();
        assert_eq!(addresses.len(), 8);
        server.forget([2, 0, 0, 0, 0, 3]);
        let again = server.answer(&query([2, 0, 0, 0, 0, 9], Kind::Discover, &[(77, b"iPXE")]), &[]);
        assert_eq!(told(again).1, Ipv4Addr::new(10, 9, 0, 204));
    }
}
