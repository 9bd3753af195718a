//! A LAN's sockets: they live as long as its interface does.
use super::engine::{Destination, Reply};
use super::message::Kind;
use super::six;
use crate::house::random::Random;
use netstack::event::{Interest, Loop, Token};
use netstack::link::Link;
use netstack::packet::{self, Filter, Packet};
use netstack::time::Instant;
use netstack::wire::dhcpv4::{self, Header, Message};
use netstack::wire::{arp, dhcpv6, ipv4udp};
use netstack::{link, udp};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::time::Duration;

const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// How long the answer of another server is awaited.
const OTHERS: Duration = Duration::from_secs(10);
/// Tokens of one LAN.
pub const TOKENS: u64 = 4;

/// What has become readable, by its place among a LAN's tokens.
pub const MESSAGES: u64 = 0;
/// Answers of ARP.
pub const ARP: u64 = 1;
/// Answers of another server.
pub const OTHER: u64 = 2;
/// What clients of DHCPv6 say.
pub const SIX: u64 = 3;

/// The question whether somebody else serves the LAN.
struct Question {
    answers: Packet,
    xid: u32,
    until: Instant,
}

/// Sockets of one interface.
pub struct Lan {
    /// The interface.
    pub link: link::Link,
    /// Its first token.
    pub token: u64,
    /// What clients and relays say.
    pub messages: UdpSocket,
    /// The same of DHCPv6; none where the kernel gives no such socket now.
    pub six: Option<UdpSocket>,
    replies: Packet,
    arp: Packet,
    question: Option<Question>,
    /// Whether the question was asked since the cable was put in.
    asked: bool,
    /// Another server has answered: it has the say here.
    pub ceded: bool,
}

impl Lan {
    /// Opens them.
    ///
    /// # Errors
    /// When the interface is gone or the port is taken.
    pub fn open(link: Link, token: u64, events: &Loop) -> io::Result<Lan> {
        let options = udp::Options { device: Some(&link.name), reuse: true, ..udp::Options::default() };
        let messages = udp::bound(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, SERVER).into(), options)?;
        let replies = Packet::sender(link.index, packet::IPV4)?;
        let arp = Packet::open(link.index, packet::ARP, Filter::ArpReplies)?;
        events.add(&messages, Token(token + MESSAGES), Interest::READ)?;
        events.add(&arp, Token(token + ARP), Interest::READ)?;
        Ok(Lan { link, token, messages, six: None, replies, arp, question: None, asked: false, ceded: false })
    }

    /// Opens the socket of DHCPv6, unless it is open.
    ///
    /// # Errors
    /// When the interface has no IPv6 or the port is taken.
    pub fn open6(&mut self, events: &Loop) -> io::Result<()> {
        if self.six.is_none() {
            let options = udp::Options { device: Some(&self.link.name), reuse: true, ..udp::Options::default() };
            let socket = udp::bound(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, dhcpv6::SERVER, 0, 0).into(), options)?;
            socket.join_multicast_v6(&dhcpv6::SERVERS, self.link.index)?;
            events.add(&socket, Token(self.token + SIX), Interest::READ)?;
            self.six = Some(socket);
        }
        Ok(())
    }

    /// The next message of DHCPv6: its length and the link-local address from which it came. Others are passed over.
    ///
    /// # Errors
    /// When there is none now, or the interface is gone.
    pub fn heard6(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<Ipv6Addr>)> {
        let socket = self.six.as_ref().ok_or(io::ErrorKind::WouldBlock)?;
        let (length, from) = socket.recv_from(buffer)?;
        let local = match from.ip() {
            IpAddr::V6(ip) => Some(ip).filter(Ipv6Addr::is_unicast_link_local),
            IpAddr::V4(_) => None,
        };
        Ok((length, local))
    }

    /// Sends a reply of DHCPv6.
    ///
    /// # Errors
    /// When the interface is down or has no link-local address yet.
    pub fn send6(&self, reply: &six::message::Reply) -> io::Result<()> {
        let socket = self.six.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let to = SocketAddrV6::new(reply.to, dhcpv6::CLIENT, 0, self.link.index);
        socket.send_to(&reply.emit(), to).map(drop)
    }

    /// Sends a reply.
    ///
    /// # Errors
    /// When the interface is down or there is no way to the relay.
    pub fn send(&self, reply: &Reply) -> io::Result<()> {
        let message = reply.message.emit();
        let (mac, address) = match reply.to {
            Destination::Broadcast => (packet::BROADCAST, Ipv4Addr::BROADCAST),
            Destination::Client(mac, address) => (mac.0, address),
            Destination::Routed(address) => return self.route(&message, SocketAddrV4::new(address, CLIENT)),
            Destination::Relay(address) => return self.route(&message, SocketAddrV4::new(address, SERVER)),
        };
        let (from, to) = (SocketAddrV4::new(reply.from, SERVER), SocketAddrV4::new(address, CLIENT));
        self.replies.send(&ipv4udp::emit(from, to, &message), mac)
    }

    // Through the kernel's own way to it.
    fn route(&self, message: &[u8], to: SocketAddrV4) -> io::Result<()> {
        self.messages.send_to(message, to).map(drop)
    }

    /// Asks the LAN who has an address.
    ///
    /// # Errors
    /// When the interface is down.
    pub fn probe(&self, address: Ipv4Addr) -> io::Result<()> {
        let Some(mac) = self.link.mac else { return Ok(()) };
        self.arp.send(&arp::probe(mac, address), packet::BROADCAST)
    }

    /// The next answer to such a question.
    pub fn heard(&self) -> Option<([u8; 6], Ipv4Addr)> {
        let mut buffer = [0; 64];
        let received = self.arp.receive(&mut buffer).ok()??;
        arp::sender(&buffer[..received.length])
    }

    /// Takes a new look at the interface. On a LAN that nobody has configured it is asked, once for each time that the
    /// cable is put in, whether another server is there.
    pub fn follow(&mut self, link: Link, guessed: bool, now: Instant, events: &Loop) {
        self.link = link;
        if !self.link.running || !guessed {
            self.asked = false;
            self.question = None;
            if std::mem::take(&mut self.ceded) {
                log::info!("{}: served again", self.link.name);
            }
            return;
        }
        if !self.asked
            && let Some(mac) = self.link.mac
            && let Ok(question) = self.ask(mac, now, events)
        {
            self.asked = true;
            self.question = Some(question);
        }
    }

    fn ask(&self, mac: [u8; 6], now: Instant, events: &Loop) -> io::Result<Question> {
        let answers = Packet::open(self.link.index, packet::IPV4, Filter::UdpTo(CLIENT))?;
        events.add(&answers, Token(self.token + OTHER), Interest::READ)?;
        let xid = Random::from_kernel().next_u32();
        let header = Header { xid, flags: 0x8000, chaddr: mac, ..Header::default() };
        let options = [(53, vec![Kind::Discover as u8]), (55, vec![1, 3, 6])];
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT);
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER);
        let packet = ipv4udp::emit(from, to, &dhcpv4::emit(&header, &options, 300));
        self.replies.send(&packet, packet::BROADCAST)?;
        Ok(Question { answers, xid, until: now + OTHERS })
    }

    /// When the other server's answer is awaited no longer.
    pub fn deadline(&self) -> Option<Instant> {
        self.question.as_ref().map(|question| question.until)
    }

    /// Ends the question in time.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|until| until <= now) {
            self.question = None;
        }
    }

    /// Reads what answers the question; another server's address.
    pub fn other_server(&mut self, own: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let question = self.question.as_ref()?;
        let mut buffer = [0; 2_048];
        while let Ok(Some(received)) = question.answers.receive(&mut buffer) {
            let Some(datagram) = ipv4udp::parse(&buffer[..received.length], received.unsummed) else { continue };
            let Some(message) = Message::parse(datagram.payload) else { continue };
            let ours = message.op() == 2 && message.xid() == question.xid && message.kind() == Some(Kind::Offer);
            if ours && Some(*datagram.source.ip()) != own {
                self.question = None;
                self.ceded = true;
                return Some(*datagram.source.ip());
            }
        }
        None
    }
}
