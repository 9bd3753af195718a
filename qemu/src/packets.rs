//! Packets made by hand, for questions that no client asks: both at once, and never a second time.
use netstack::wire::dhcpv4::{self, Header, Kind, Message};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// Longer than any answer takes; it only ends a wait that would be for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// A DISCOVER that asks for a broadcast answer.
pub fn discover(xid: u32) -> Vec<u8> {
    let header = Header { xid, flags: 0x8000, chaddr: [2, 0, 0, 0, 0x42, 1], ..Header::default() };
    dhcpv4::emit(&header, &[(53, vec![1]), (55, vec![1, 3, 6])], 300)
}

/// A query for an A record.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// Two sockets of a LAN host that has an address already: a DHCP client's and a resolver's.
pub struct Asker {
    dhcp: UdpSocket,
    dns: UdpSocket,
}

impl Asker {
    /// Opens both; to be called inside the LAN's namespace, with a route to 255.255.255.255.
    pub fn open(router: Ipv4Addr) -> Asker {
        let dhcp = UdpSocket::bind("0.0.0.0:68").unwrap();
        dhcp.set_broadcast(true).unwrap();
        let dns = UdpSocket::bind("0.0.0.0:0").unwrap();
        dns.connect((router, 53)).unwrap();
        for socket in [&dhcp, &dns] {
            socket.set_read_timeout(Some(LIMIT)).unwrap();
        }
        Asker { dhcp, dns }
    }

    /// Sends one DISCOVER and one query in the same moment and returns the address offered and the DNS answer.
    pub fn ask_both_once(&self, name: &str) -> (Ipv4Addr, Vec<u8>) {
        let (discover, query) = (discover(0x7765_6972), query(0x4242, name));
        self.dhcp.send_to(&discover, "255.255.255.255:67").unwrap();
        self.dns.send(&query).unwrap();
        let mut buffer = [0; 2048];
        let length = self.dns.recv(&mut buffer).expect("the query sent at the ready line was not answered");
        let answer = buffer[..length].to_vec();
        let length = self.dhcp.recv(&mut buffer).expect("the DISCOVER sent at the ready line was not answered");
        let offer = Message::parse(&buffer[..length]).expect("the answer to the DISCOVER is no DHCP message");
        assert_eq!((offer.kind(), offer.xid()), (Some(Kind::Offer), 0x7765_6972), "not the OFFER");
        (offer.yiaddr(), answer)
    }
}
