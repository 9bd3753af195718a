//! The connections that the kernel remembers: which there are, and forgetting some of them.
use crate::netlink::Socket;
use crate::netlink::builder::attributes;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Who sends; port 0 where the protocol has none.
    pub source: SocketAddr,
    /// To whom; port 0 where the protocol has none.
    pub destination: SocketAddr,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// As its first packet came in.
    pub original: Tuple,
    /// As answers come in; differs from the original turned round where addresses are translated.
    pub reply: Tuple,
    /// Whether its destination is translated (`IPS_DST_NAT`).
    pub forwarded: bool,
    /// What the kernel knows it by.
    key: Vec<u8>,
    id: [u8; 4],
}

const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const NEW: u16 = SUBSYSTEM << 8;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const DST_NAT: u32 = 0x20;
/// Deletions in one datagram.
const BATCH: usize = 200;

impl Flow {
    /// Whether an address stands in it anywhere.
    pub fn carries(&self, address: IpAddr) -> bool {
        [self.original, self.reply].iter().any(|way| way.source.ip() == address || way.destination.ip() == address)
    }

    fn parse(payload: &[u8]) -> Option<Flow> {
        let (mut flow, mut status) = (None, 0);
        let (mut reply, mut id) = (None, [0; 4]);
        for (kind, value) in attributes(payload.get(4..)?) {
            match kind {
                ORIGINAL => flow = tuple(value).map(|(protocol, way)| (protocol, way, value.to_vec())),
                REPLY => reply = tuple(value).map(|(_, way)| way),
                STATUS => status = u32::from_be_bytes(value.try_into().ok()?),
                ID => id = value.try_into().ok()?,
                _ => (),
            }
        }
        let (protocol, original, key) = flow?;
        Some(Flow { protocol, original, reply: reply?, forwarded: status & DST_NAT != 0, key, id })
    }
}

/// Protocol and direction.
fn tuple(value: &[u8]) -> Option<(u8, Tuple)> {
    let (mut ips, mut protocol, mut ports) = ([None; 2], None, [0; 2]);
    for (kind, value) in attributes(value) {
        for (inner, value) in attributes(value) {
            match (kind, inner) {
                (1, 1 | 2) => {
                    ips[usize::from(inner - 1)] = <[u8; 4]>::try_from(value).ok().map(|ip| Ipv4Addr::from(ip).into())
                }
                (1, 3 | 4) => {
                    ips[usize::from(inner - 3)] = <[u8; 16]>::try_from(value).ok().map(|ip| Ipv6Addr::from(ip).into())
                }
                (2, 1) => protocol = value.first().copied(),
                (2, 2 | 3) => ports[usize::from(inner - 2)] = u16::from_be_bytes(value.try_into().ok()?),
                _ => (),
            }
        }
    }
    let at = |which: usize| ips[which].map(|ip: IpAddr| SocketAddr::new(ip, ports[which]));
    Some((protocol?, Tuple { source: at(0)?, destination: at(1)? }))
}

/// Every connection of both families.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub fn flows() -> io::Result<Vec<Flow>> {
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
    let mut all = Vec::new();
    each(&mut socket, |flow| all.push(flow))?;
    Ok(all)
}

fn each(socket: &mut Socket, mut take: impl FnMut(Flow)) -> io::Result<()> {
    for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
        socket.dump(GET, &[family, 0, 0, 0], |message| {
            if message.kind == NEW {
                Flow::parse(message.payload).into_iter().for_each(&mut take);
            }
        })?;
    }
    Ok(())
}

/// Makes the kernel forget the connections that `is_over` takes; how many. One that has ended meanwhile does not count.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub fn forget(mut is_over: impl FnMut(&Flow) -> bool) -> io::Result<usize> {
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
    let mut over = Vec::new();
    each(&mut socket, |flow| {
        if is_over(&flow) {
            over.push(flow);
        }
    })?;
    let mut forgotten = 0;
    for some in over.chunks(BATCH) {
        let mut builder = socket.builder();
        for flow in some {
            let family = if flow.original.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            builder.message(DELETE, libc::NLM_F_ACK as u16).raw(&[family as u8, 0, 0, 0]);
            builder.nest(ORIGINAL, |tuple| {
                tuple.raw(&flow.key);
            });
            builder.bytes(ID, &flow.id);
        }
        let (first, count) = (builder.first(), builder.count());
        socket.send(&mut builder)?;
        let refused = socket.acknowledgements(first, count)?;
        forgotten += some.len() - refused.len();
        if let Some(refused) = refused.iter().find(|refused| refused.errno != Errno::ENOENT) {
            return Err(refused.errno.into());
        }
    }
    Ok(forgotten)
}

/// Connections at present and at most.
///
/// # Errors
/// When the kernel does not say.
pub fn usage() -> io::Result<(u64, u64)> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}"))?;
        text.trim().parse().map_err(io::Error::other)
    };
    Ok((read("count")?, read("max")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_namespace;
    use proptest::prelude::*;
    use std::net::UdpSocket;
    use std::process::Command;

    fn run(program: &str, words: &str) {
        assert!(Command::new(program).args(words.split_whitespace()).status().unwrap().success(), "{program} {words}");
    }

    #[test]
    fn only_what_is_over_is_forgotten() {
        in_namespace(|| {
            run("ip", "link set lo up");
            run("nft", "add table inet t");
            run("nft", "add chain inet t c { type filter hook input priority 0 ; }");
            run("nft", "add rule inet t c ct state new accept");
            let sockets: Vec<UdpSocket> =
                ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"].iter().map(|at| UdpSocket::bind(at).unwrap()).collect();
            // Kept, so that no port is given twice.
            let mut others = Vec::new();
            for socket in &sockets {
                for _ in 0..300 {
                    let other = UdpSocket::bind((socket.local_addr().unwrap().ip(), 0)).unwrap();
                    other.send_to(b"x", socket.local_addr().unwrap()).unwrap();
                    others.push(other);
                }
            }
            assert_eq!(flows().unwrap().len(), 900);
            assert_eq!(usage().unwrap().0, 900);
            let gone = sockets[1].local_addr().unwrap();
            let flow = flows().unwrap().into_iter().find(|flow| flow.original.destination == gone).unwrap();
            assert_eq!((flow.protocol, flow.reply.source, flow.forwarded), (17, gone, false));
            assert_eq!(forget(|flow| flow.carries(gone.ip())).unwrap(), 300);
            let left = flows().unwrap();
            assert!(left.len() == 600 && left.iter().all(|flow| !flow.carries(gone.ip())));
            assert_eq!(forget(|flow| flow.original.source.is_ipv6()).unwrap(), 300);
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Flow::parse(&bytes);
        }
    }
}
