//! A rule, read from left to right: conditions, then what to do.
use super::expression::Expression;
use crate::netlink::builder::Builder;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A list of expressions that is built like a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule(Vec<Expression>);

/// `ct state` bits.
pub mod state {
    /// Belongs to no connection and cannot begin one.
    pub const INVALID: u32 = 1;
    /// Part of a connection that has seen both directions.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to another connection, e.g. an ICMP error.
    pub const RELATED: u32 = 4;
    /// Begins a connection.
    pub const NEW: u32 = 8;
}

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_IIFTYPE: u32 = 8;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_PACKETS: u32 = 14;
const ARPHRD_ETHER: u16 = 1;
const LINK: u32 = 0;
const NETWORK: u32 = 1;
/// Where the addresses stand: IPv4 source and destination, IPv6 source and destination.
const ADDRESSES: [(u32, u32); 4] = [(12, 4), (16, 4), (8, 16), (24, 16)];
const CT_STATUS: u32 = 2;
/// `IPS_DST_NAT`: the destination was changed.
const FORWARDED: u32 = 0x20;
// IPS_ASSURED
const ASSURED: u32 = 1 << 2;
/// `RTN_LOCAL`: an address of the router's own.
const LOCAL: u32 = 2;
const FIB_SOURCE: u32 = 1;
const FIB_DESTINATION: u32 = 2;
const FIB_IIF: u32 = 8;
/// The result is only whether there is one.
const FIB_PRESENT: u32 = 32;
const FIB_RESULT_OIF: u32 = 1;
const FIB_RESULT_TYPE: u32 = 3;
const TRANSPORT: u32 = 2;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const IFNAMSIZ: usize = 16;
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 2;
const ACK: u8 = 0x10;

/// A part of a packet, as keys of sets are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// IPv4 source address.
    SourceIpv4,
    /// IPv4 destination address.
    DestinationIpv4,
    /// IPv6 source address.
    SourceIpv6,
    /// IPv6 destination address.
    DestinationIpv6,
    /// Protocol over IP.
    Protocol,
    /// Destination port of TCP or UDP.
    Port,
}

impl Part {
    /// How it is loaded, and how many four-byte words it takes.
    fn load(self) -> (Expression, u32) {
        match self {
            Part::Protocol => (Expression::Meta(META_L4PROTO), 1),
            Part::Port => (Expression::Payload(TRANSPORT, 2, 2), 1),
            address => {
                let (offset, length) = ADDRESSES[address as usize];
                (Expression::Payload(NETWORK, offset, length), length / 4)
            }
        }
    }
}

impl Rule {
    /// A rule that every packet meets.
    pub fn new() -> Rule {
        Rule::default()
    }

    #[must_use]
    fn with(mut self, expressions: impl IntoIterator<Item = Expression>) -> Rule {
        self.0.extend(expressions);
        self
    }

    /// Came in by this interface; `lan*` means every name that begins so.
    #[must_use]
    pub fn iifname(self, name: &str) -> Rule {
        self.with([Expression::Meta(META_IIFNAME), Expression::Equal(interface(name))])
    }

    /// Leaves by this interface; `lan*` means every name that begins so.
    #[must_use]
    pub fn oifname(self, name: &str) -> Rule {
        self.with([Expression::Meta(META_OIFNAME), Expression::Equal(interface(name))])
    }

    /// Is IPv4.
    #[must_use]
    pub fn ipv4(self) -> Rule {
        self.with([Expression::Meta(META_NFPROTO), Expression::Equal(vec![NFPROTO_IPV4])])
    }

    /// Is IPv6.
    #[must_use]
    pub fn ipv6(self) -> Rule {
        self.with([Expression::Meta(META_NFPROTO), Expression::Equal(vec![NFPROTO_IPV6])])
    }

    /// Comes from this network.
    #[must_use]
    pub fn source(self, net: IpNet) -> Rule {
        match net {
            IpNet::V4(net) => self.ipv4().address4(Part::SourceIpv4, net),
            IpNet::V6(net) => self.ipv6().address6(Part::SourceIpv6, net),
        }
    }

    /// Goes to this network.
    #[must_use]
    pub fn destination(self, net: IpNet) -> Rule {
        match net {
            IpNet::V4(net) => self.ipv4().address4(Part::DestinationIpv4, net),
            IpNet::V6(net) => self.ipv6().address6(Part::DestinationIpv6, net),
        }
    }

    /// Goes to an IPv4 address outside these networks.
    #[must_use]
    pub fn destination_outside(self, nets: &[Ipv4Net]) -> Rule {
        nets.iter().fold(self.ipv4(), |rule, net| {
            let (network, mask) = (net.network().octets(), net.netmask().octets());
            rule.within(Part::DestinationIpv4, &network, &mask, net.prefix_len(), Expression::NotEqual)
        })
    }

    fn address4(self, part: Part, net: Ipv4Net) -> Rule {
        self.within(part, &net.network().octets(), &net.netmask().octets(), net.prefix_len(), Expression::Equal)
    }

    fn address6(self, part: Part, net: Ipv6Net) -> Rule {
        self.within(part, &net.network().octets(), &net.netmask().octets(), net.prefix_len(), Expression::Equal)
    }

    // Whole bytes are compared as they lie, as nft does it.
    fn within(self, part: Part, octets: &[u8], mask: &[u8], length: u8, compare: fn(Vec<u8>) -> Expression) -> Rule {
        let (offset, whole) = ADDRESSES[part as usize];
        let (bits, bytes) = (length % 8, usize::from(length / 8));
        let load = |bytes| Expression::Payload(NETWORK, offset, bytes);
        match (bits, bytes) {
            (0, 0) => self,
            (0, bytes) => self.with([load(bytes as u32), compare(octets[..bytes].to_vec())]),
            _ => {
                let mask = Expression::Mask(mask.to_vec());
                self.with([load(whole), mask, compare(octets.to_vec())])
            }
        }
    }

    /// Was sent by this Ethernet address.
    #[must_use]
    pub fn sender(self, mac: [u8; 6]) -> Rule {
        let ethernet = [Expression::Meta(META_IIFTYPE), Expression::Equal(ARPHRD_ETHER.to_ne_bytes().to_vec())];
        self.with(ethernet).with([Expression::Payload(LINK, 6, 6), Expression::Equal(mac.to_vec())])
    }

    /// Comes from an IPv6 address whose lower 64 bits are these.
    #[must_use]
    pub fn source_suffix(self, address: Ipv6Addr) -> Rule {
        self.suffix(Part::SourceIpv6, address)
    }

    /// Goes to an IPv6 address whose lower 64 bits are these.
    #[must_use]
    pub fn destination_suffix(self, address: Ipv6Addr) -> Rule {
        self.suffix(Part::DestinationIpv6, address)
    }

    fn suffix(self, part: Part, address: Ipv6Addr) -> Rule {
        let lower = Expression::Payload(NETWORK, ADDRESSES[part as usize].0 + 8, 8);
        self.ipv6().with([lower, Expression::Equal(address.octets()[8..].to_vec())])
    }

    /// These parts of the packet together are in the set. The protocol and, for a port, that it is TCP or UDP, have to
    /// be known.
    #[must_use]
    pub fn in_set(self, parts: &[Part], set: &str) -> Rule {
        self.load(parts).with([Expression::Lookup(set.to_owned(), false)])
    }

    /// The map leads these parts somewhere. For a rule that goes there in the end and asks other, dearer things before.
    #[must_use]
    pub fn in_map(self, parts: &[Part], map: &str) -> Rule {
        self.load(parts).with([Expression::Lookup(map.to_owned(), true)])
    }

    /// Goes to where the map leads these parts: an address, and a port behind it when the map has one.
    #[must_use]
    pub fn dnat_by(self, parts: &[Part], map: &str, port: bool) -> Rule {
        self.in_map(parts, map).with([Expression::Dnat(port)])
    }

    /// Goes to this address and port.
    #[must_use]
    pub fn dnat(self, address: Ipv4Addr, port: Option<u16>) -> Rule {
        let rule = self.with([Expression::Immediate(address.octets().to_vec(), 0)]);
        let port = port.map(|port| Expression::Immediate(port.to_be_bytes().to_vec(), 1));
        let changed = Expression::Dnat(port.is_some());
        rule.with(port).with([changed])
    }

    /// These parts together have more than so many connections, which the set keeps count of.
    #[must_use]
    pub fn over_connections(self, parts: &[Part], set: &str, most: u32) -> Rule {
        self.load(parts).with([Expression::OverConnections(set.to_owned(), most)])
    }

    fn load(self, parts: &[Part]) -> Rule {
        let mut words = 0;
        let load = |part: &Part| {
            let (expression, length) = part.load();
            let at = words;
            words += length;
            if at == 0 { expression } else { Expression::Behind(Box::new(expression), at) }
        };
        let loads: Vec<Expression> = parts.iter().map(load).collect();
        self.with(loads)
    }

    /// Goes to an address of the router's own.
    #[must_use]
    pub fn to_us(self) -> Rule {
        let kind = Expression::Equal(LOCAL.to_ne_bytes().to_vec());
        self.with([Expression::Fib(FIB_DESTINATION, FIB_RESULT_TYPE), kind])
    }

    /// Comes from an address to which nothing would be sent through the interface that it came in by (RFC 3704,
    /// strict).
    #[must_use]
    pub fn no_way_back(self) -> Rule {
        self.with([Expression::Fib(FIB_SOURCE | FIB_IIF | FIB_PRESENT, FIB_RESULT_OIF), Expression::Equal(vec![0; 4])])
    }

    /// Its connection has been confirmed by both sides: a TCP handshake is through, UDP has gone on for some seconds.
    #[must_use]
    pub fn assured(self) -> Rule {
        self.status(ASSURED)
    }

    /// Its connection has been given another destination.
    #[must_use]
    pub fn forwarded(self) -> Rule {
        self.status(FORWARDED)
    }

    fn status(self, bits: u32) -> Rule {
        let mask = Expression::Mask(bits.to_ne_bytes().to_vec());
        self.with([Expression::Ct(CT_STATUS), mask, Expression::NotEqual(vec![0; 4])])
    }

    /// Carries this protocol: `IPPROTO_*`.
    #[must_use]
    pub fn protocol(self, number: i32) -> Rule {
        self.with([Expression::Meta(META_L4PROTO), Expression::Equal(vec![number as u8])])
    }

    /// Its connection has carried at least so many packets, both ways together (needs `nf_conntrack_acct`).
    #[must_use]
    pub fn packets_from(self, least: u64) -> Rule {
        self.with([Expression::Ct(CT_PACKETS), Expression::AtLeast(least)])
    }

    /// From here on the connection's packets go by this flowtable.
    #[must_use]
    pub fn offload(self, flowtable: &str) -> Rule {
        self.with([Expression::Offload(flowtable.to_owned())])
    }

    /// Its connection is in one of these states (bits of [`state`]).
    #[must_use]
    pub fn ct_state(self, bits: u32) -> Rule {
        let mask = Expression::Mask(bits.to_ne_bytes().to_vec());
        self.with([Expression::Ct(CT_STATE), mask, Expression::NotEqual(vec![0; 4])])
    }

    /// Is UDP from port to port.
    #[must_use]
    pub fn udp(self, source: u16, destination: u16) -> Rule {
        self.protocol(libc::IPPROTO_UDP).port(0, source).port(2, destination)
    }

    /// Is UDP to this port.
    #[must_use]
    pub fn udp_to(self, port: u16) -> Rule {
        self.protocol(libc::IPPROTO_UDP).port(2, port)
    }

    /// Is TCP to this port.
    #[must_use]
    pub fn tcp_to(self, port: u16) -> Rule {
        self.protocol(libc::IPPROTO_TCP).port(2, port)
    }

    /// Goes to one of these ports, TCP or UDP by [`Rule::protocol`].
    #[must_use]
    pub fn ports(self, first: u16, last: u16) -> Rule {
        if first == last {
            return self.port(2, first);
        }
        let bytes = |port: u16| port.to_be_bytes().to_vec();
        self.with([Expression::Payload(TRANSPORT, 2, 2), Expression::Between(bytes(first), bytes(last))])
    }

    fn port(self, offset: u32, port: u16) -> Rule {
        self.with([Expression::Payload(TRANSPORT, offset, 2), Expression::Equal(port.to_be_bytes().to_vec())])
    }

    /// Is an ICMP message of this type.
    #[must_use]
    pub fn icmp(self, kind: u8) -> Rule {
        self.ipv4().protocol(libc::IPPROTO_ICMP).first_byte(kind)
    }

    /// Is an ICMPv6 message of this type.
    #[must_use]
    pub fn icmpv6(self, kind: u8) -> Rule {
        self.ipv6().protocol(libc::IPPROTO_ICMPV6).first_byte(kind)
    }

    fn first_byte(self, value: u8) -> Rule {
        self.with([Expression::Payload(TRANSPORT, 0, 1), Expression::Equal(vec![value])])
    }

    /// Is a TCP segment with SYN.
    #[must_use]
    pub fn tcp_syn(self) -> Rule {
        let flags = Expression::Payload(TRANSPORT, TCP_FLAGS, 1);
        self.protocol(libc::IPPROTO_TCP).with([flags, Expression::Mask(vec![SYN]), Expression::NotEqual(vec![0])])
    }

    /// Wants to open a TCP connection: a SYN that acknowledges nothing.
    #[must_use]
    pub fn tcp_opening(self) -> Rule {
        let flags = Expression::Payload(TRANSPORT, TCP_FLAGS, 1);
        self.protocol(libc::IPPROTO_TCP).with([flags, Expression::Mask(vec![SYN | ACK]), Expression::Equal(vec![SYN])])
    }

    /// At most so many a second, after a burst of as many as `burst`.
    #[must_use]
    pub fn limit_per_second(self, rate: u64, burst: u32) -> Rule {
        self.with([Expression::LimitPerSecond(rate, burst)])
    }

    /// Counts what came so far.
    #[must_use]
    pub fn counter(self) -> Rule {
        self.with([Expression::Counter])
    }

    /// Counts in a counter of the table.
    #[must_use]
    pub fn count_in(self, counter: &str) -> Rule {
        self.with([Expression::CountIn(counter.to_owned())])
    }

    /// Writes a line about it into the kernel's log, with these words before it.
    #[must_use]
    pub fn log(self, words: &str) -> Rule {
        self.with([Expression::Log(words.to_owned())])
    }

    /// Lowers the segment size that a SYN announces to what the route takes.
    #[must_use]
    pub fn clamp_mss(self) -> Rule {
        self.with([Expression::ClampMss])
    }

    /// Gives it the outgoing interface's address as its source.
    #[must_use]
    pub fn masquerade(self) -> Rule {
        self.with([Expression::Masquerade])
    }

    /// Lets it pass this chain.
    #[must_use]
    pub fn accept(self) -> Rule {
        self.with([Expression::Verdict(libc::NF_ACCEPT, None)])
    }

    /// Throws it away.
    #[must_use]
    pub fn drop(self) -> Rule {
        self.with([Expression::Verdict(libc::NF_DROP, None)])
    }

    /// Goes back to the chain that jumped here.
    #[must_use]
    pub fn back(self) -> Rule {
        const NFT_RETURN: i32 = -5;
        self.with([Expression::Verdict(NFT_RETURN, None)])
    }

    /// Answers with "destination unreachable" (RFC 4443, section 3.1) of this code, and throws it away; after
    /// [`Rule::ipv6`].
    #[must_use]
    pub fn reject_icmpv6(self, code: u8) -> Rule {
        const NFT_REJECT_ICMP_UNREACH: u32 = 0;
        self.with([Expression::Reject(NFT_REJECT_ICMP_UNREACH, code)])
    }

    /// Answers that a person has forbidden it (RFC 1812, section 5.2.7.1; RFC 4443, section 3.1), and throws it away.
    #[must_use]
    pub fn reject_prohibited(self) -> Rule {
        const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
        const NFT_REJECT_ICMPX_ADMIN_PROHIBITED: u8 = 3;
        self.with([Expression::Reject(NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED)])
    }

    /// Goes on in another chain, and comes back when that one decides nothing.
    #[must_use]
    pub fn jump(self, chain: &str) -> Rule {
        const NFT_JUMP: i32 = -3;
        self.with([Expression::Verdict(NFT_JUMP, Some(chain.to_owned()))])
    }

    pub(super) fn write(&self, builder: &mut Builder) {
        for expression in &self.0 {
            expression.write(builder);
        }
    }
}

// A whole name is compared as 16 zero-padded bytes, a prefix as its own bytes.
fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes()[..name.len().min(IFNAMSIZ - 1)].to_vec();
    if bytes.last() == Some(&b'*') {
        bytes.pop();
    } else {
        bytes.resize(IFNAMSIZ, 0);
    }
    bytes
}
