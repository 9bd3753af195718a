//! The connections that the kernel remembers: which there are, what they have carried, and forgetting some of them.
mod endings;

pub use endings::Endings;

use crate::netlink::Socket;
use crate::netlink::builder::attributes;
use crate::nft::Count;
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
    /// Whether the flowtable carries it (`IPS_OFFLOAD`).
    pub offloaded: bool,
    /// Packets and bytes of it so far, the original's way and the reply's; zero while `nf_conntrack_acct` is off.
    pub carried: [Count; 2],
    /// The kernel's number of it, of no other at the same time.
    pub id: u32,
    /// What the kernel knows it by.
    key: Vec<u8>,
}

const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const NEW: u16 = SUBSYSTEM << 8;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
/// Of the original's way, and of the reply's behind it.
const COUNTERS: u16 = 9;
const DST_NAT: u32 = 0x20;
const OFFLOADED: u32 = 1 << 14 | 1 << 15;
/// Deletions in one datagram.
const BATCH: usize = 200;

impl Flow {
    /// A connection as the kernel would tell of it, for engines that are asked about one.
    pub fn new(id: u32, protocol: u8, original: Tuple, reply: Tuple, carried: [Count; 2]) -> Flow {
        Flow { protocol, original, reply, forwarded: false, offloaded: false, carried, id, key: Vec::new() }
    }

    /// Whether an address stands in it anywhere.
    pub fn carries(&self, address: IpAddr) -> bool {
        [self.original, self.reply].iter().any(|way| way.source.ip() == address || way.destination.ip() == address)
    }

    pub(crate) fn parse(payload: &[u8]) -> Option<Flow> {
        let (mut flow, mut status) = (None, 0);
        let (mut reply, mut id, mut carried) = (None, 0, [Count::default(); 2]);
        for (kind, value) in attributes(payload.get(4..)?) {
            match kind {
                ORIGINAL => flow = tuple(value).map(|(protocol, way)| (protocol, way, value.to_vec())),
                REPLY => reply = tuple(value).map(|(_, way)| way),
                STATUS => status = u32::from_be_bytes(value.try_into().ok()?),
                ID => id = u32::from_be_bytes(value.try_into().ok()?),
                COUNTERS => carried[0] = count(value),
                _ if kind == COUNTERS + 1 => carried[1] = count(value),
                _ => (),
            }
        }
        let (protocol, original, key) = flow?;
        let (forwarded, offloaded) = (status & DST_NAT != 0, status & OFFLOADED != 0);
        Some(Flow { protocol, original, reply: reply?, forwarded, offloaded, carried, id, key })
    }
}

fn count(value: &[u8]) -> Count {
    let number = |at| {
        let found = attributes(value).find(|(kind, _)| *kind == at);
        found.and_then(|(_, value)| value.try_into().ok()).map_or(0, u64::from_be_bytes)
    };
    Count { packets: number(1), bytes: number(2) }
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

/// Gives every connection of both families to `take`.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub fn flows(take: impl FnMut(Flow)) -> io::Result<()> {
    each(&mut Socket::open(SockProtocol::NetlinkNetFilter)?, take)
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
            builder.be32(ID, flow.id);
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

    fn all() -> Vec<Flow> {
        let mut all = Vec::new();
        flows(|flow| all.push(flow)).unwrap();
        all
    }

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
            assert_eq!(all().len(), 900);
            assert_eq!(usage().unwrap().0, 900);
            let gone = sockets[1].local_addr().unwrap();
            let flow = all().into_iter().find(|flow| flow.original.destination == gone).unwrap();
            assert_eq!((flow.protocol, flow.reply.source, flow.forwarded, flow.offloaded), (17, gone, false, false));
            assert_eq!(forget(|flow| flow.carries(gone.ip())).unwrap(), 300);
            let left = all();
            assert!(left.len() == 600 && left.iter().all(|flow| !flow.carries(gone.ip())));
            assert_eq!(forget(|flow| flow.original.source.is_ipv6()).unwrap(), 300);
        });
    }

    #[test]
    fn what_a_connection_has_carried_is_told_while_it_stands_and_at_its_end() {
        in_namespace(|| {
            run("ip", "link set lo up");
            std::fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", "1").unwrap();
            let mut endings = Endings::open().unwrap();
            run("nft", "add table inet t");
            run("nft", "add chain inet t c { type filter hook input priority 0 ; }");
            run("nft", "add rule inet t c ct state new accept");
            let server = UdpSocket::bind("127.0.0.1:0").unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(server.local_addr().unwrap()).unwrap();
            for _ in 0..3 {
                client.send(&[0; 72]).unwrap();
            }
            server.send_to(&[0; 22], client.local_addr().unwrap()).unwrap();
            let want = [Count { packets: 3, bytes: 300 }, Count { packets: 1, bytes: 50 }];
            let flow = all().remove(0);
            assert_eq!(flow.carried, want);
            assert!(endings.drain(|_| panic!("it stands")));
            assert_eq!(forget(|_| true).unwrap(), 1);
            let mut ended = Vec::new();
            assert!(endings.drain(|flow| ended.push(flow)));
            assert_eq!((ended.len(), ended[0].carried, ended[0].id), (1, want, flow.id));
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Flow::parse(&bytes);
        }
    }
}
