//! Whether the LAN has names: a question to the DNS server on every private IPv4 address of ours, as a device would ask it.
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

const DNS: u16 = 53;
/// `localhost`, A, IN: answered without anybody else (RFC 6761).
const QUESTION: &[u8] = b"\x77\x65\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01";

/// The questions that are open.
#[derive(Debug, Default)]
pub struct Probe {
    open: Vec<UdpSocket>,
    /// What was asked last.
    asked: Vec<SocketAddr>,
}

impl Probe {
    /// Whether every one of these addresses has answered, which were asked at the call before; asks those that have not.
    pub fn look(&mut self, addresses: &[SocketAddr]) -> bool {
        let wanted: Vec<SocketAddr> = addresses.iter().copied().filter(|address| counts(*address)).collect();
        if wanted != self.asked || self.open.len() != wanted.len() {
            self.open = wanted.iter().filter_map(|address| ask(*address).ok()).collect();
            self.asked.clone_from(&wanted);
            return wanted.is_empty();
        }
        let answered = self.open.iter().all(has_answered);
        if !answered {
            self.open.clear();
        }
        answered
    }
}

fn counts(address: SocketAddr) -> bool {
    address.is_ipv4() && !address.ip().is_loopback()
}

fn ask(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(SocketAddr::new(address.ip(), DNS))?;
    socket.send(QUESTION)?;
    Ok(socket)
}

fn has_answered(socket: &UdpSocket) -> bool {
    let mut answer = [0; 512];
    // The same number, and an answer.
    matches!(socket.recv(&mut answer), Ok(12..)) && answer.starts_with(b"\x77\x65") && answer[2] & 0x80 != 0
}
