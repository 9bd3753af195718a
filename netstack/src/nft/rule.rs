//! A rule, read from left to right: conditions, then what to do.
use super::expression::Expression;
use crate::netlink::builder::Builder;
use ipnet::Ipv6Net;

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
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const NETWORK: u32 = 1;
const IPV6_SOURCE: u32 = 8;
const TRANSPORT: u32 = 2;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const IFNAMSIZ: usize = 16;
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 2;

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

    /// Is IPv6 from this network.
    #[must_use]
    pub fn ipv6_source(self, net: Ipv6Net) -> Rule {
        let (octets, length) = (net.network().octets(), usize::from(net.prefix_len()));
        let rule = self.ipv6();
        // Whole bytes are compared as they lie, as nft does it.
        match (length % 8, length / 8) {
            (0, 0) => rule,
            (0, bytes) => rule.with([
                Expression::Payload(NETWORK, IPV6_SOURCE, bytes as u32),
                Expression::Equal(octets[..bytes].to_vec()),
            ]),
            _ => rule.with([
                Expression::Payload(NETWORK, IPV6_SOURCE, 16),
                Expression::Mask(net.netmask().octets().to_vec()),
                Expression::Equal(octets.to_vec()),
            ]),
        }
    }

    /// Carries this protocol: `IPPROTO_*`.
    #[must_use]
    pub fn protocol(self, number: i32) -> Rule {
        self.with([Expression::Meta(META_L4PROTO), Expression::Equal(vec![number as u8])])
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
        self.with([Expression::RejectIcmpv6(code)])
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
