//! Addresses of names asked for at the router's own dnsd, a socket for each question; nothing waits for an answer.
use super::random::Random;
use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::{A, Aaaa};
use netstack::event::{Interest, Loop, Token};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// A question to the name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its answer's number.
    pub id: u16,
    /// The name.
    pub name: String,
    /// Whether IPv6 addresses are asked for; else IPv4.
    pub ipv6: bool,
}

/// The first token; the question's number is added.
const FIRST: u64 = 1 << 16;
/// dnsd serves every private address, this one included.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
/// More than an answer of ours may have (RFC 6891 was not asked for).
const LARGEST: usize = 1_500;

/// The questions that are open.
pub struct Asking {
    open: BTreeMap<u16, Open>,
    random: Random,
}

struct Open {
    socket: UdpSocket,
    id: u16,
    ipv6: bool,
}

impl Asking {
    /// None yet.
    pub fn new() -> Asking {
        Asking { open: BTreeMap::new(), random: Random::from_kernel() }
    }

    /// Whether a token is one of ours.
    pub fn owns(token: Token) -> bool {
        (FIRST..FIRST + (1 << 16)).contains(&token.0)
    }

    /// Asks.
    ///
    /// # Errors
    /// When there is no descriptor, or nobody listens.
    pub fn ask(&mut self, turn: &Loop, question: &Question) -> io::Result<()> {
        let id = self.random.next_u32() as u16;
        let message = query(id, question).ok_or_else(|| io::Error::other("no name of the DNS"))?;
        let socket = netstack::connect::udp(SERVER)?;
        socket.send(&message)?;
        turn.add(&socket, Token(FIRST + u64::from(question.id)), Interest::READ)?;
        self.open.insert(question.id, Open { socket, id, ipv6: question.ipv6 });
        Ok(())
    }

    /// Something came for a question: its number and the addresses, none when it has failed.
    pub fn ready(&mut self, token: Token) -> Option<(u16, Vec<IpAddr>)> {
        let number = u16::try_from(token.0.checked_sub(FIRST)?).ok()?;
        let open = self.open.get(&number)?;
        let mut buffer = [0; LARGEST];
        let addresses = match open.socket.recv(&mut buffer) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return None;
            }
            Err(_) => Vec::new(),
            Ok(length) => addresses(buffer.get(..length)?, open.id, open.ipv6)?,
        };
        self.open.remove(&number);
        Some((number, addresses))
    }

    /// Forgets a question.
    pub fn forget(&mut self, number: u16) {
        self.open.remove(&number);
    }
}

fn query(id: u16, question: &Question) -> Option<Vec<u8>> {
    let name: Name<Vec<u8>> = question.name.parse().ok()?;
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    builder.push((&name, if question.ipv6 { Rtype::AAAA } else { Rtype::A })).ok()?;
    Some(builder.finish())
}

/// The addresses of an answer; `None` when it is not the answer to this question.
pub fn addresses(bytes: &[u8], id: u16, ipv6: bool) -> Option<Vec<IpAddr>> {
    let message = Message::from_octets(bytes).ok()?;
    let header = message.header();
    if header.id() != id || !header.qr() {
        return None;
    }
    if header.rcode() != Rcode::NOERROR {
        return Some(Vec::new());
    }
    // dnsd has followed the aliases: what is in the answer is the name's.
    let Ok(answer) = message.answer() else { return Some(Vec::new()) };
    if ipv6 {
        let records = answer.limit_to::<Aaaa>().flatten();
        Some(records.map(|record| IpAddr::V6(record.data().addr())).collect())
    } else {
        let records = answer.limit_to::<A>().flatten();
        Some(records.map(|record| IpAddr::V4(record.data().addr())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(name: &str) -> Question {
        Question { id: 1, name: name.into(), ipv6: false }
    }

    fn answer(rcode: Rcode) -> Vec<u8> {
        let name: Name<Vec<u8>> = "home.example.net".parse().unwrap();
        let asked = query(7, &question("home.example.net")).unwrap();
        let asked = Message::from_octets(asked).unwrap();
        let mut builder = MessageBuilder::new_vec().start_answer(&asked, rcode).unwrap();
        builder.push((&name, 60, A::from_octets(192, 0, 2, 1))).unwrap();
        builder.push((&name, 60, Aaaa::new("2001:db8::1".parse().unwrap()))).unwrap();
        builder.finish()
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let bytes = answer(Rcode::NOERROR);
        assert_eq!(addresses(&bytes, 7, false), Some(vec!["192.0.2.1".parse().unwrap()]));
        assert_eq!(addresses(&bytes, 7, true), Some(vec!["2001:db8::1".parse().unwrap()]));
        assert_eq!(addresses(&bytes, 8, false), None, "another id");
        assert_eq!(addresses(&query(7, &question("a")).unwrap(), 7, false), None, "a question");
        assert_eq!(addresses(&answer(Rcode::NXDOMAIN), 7, false), Some(vec![]));
        assert!(query(7, &question("a..b")).is_none());
    }

    proptest! {
        #[test]
        fn any_answer_is_met(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), at: u8, value: u8) {
            let _ = addresses(&bytes, 7, false);
            bytes = answer(Rcode::NOERROR);
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
            let _ = (addresses(&bytes, 7, false), addresses(&bytes, 7, true));
        }
    }
}
