//! The virtual machine's instructions, as few as weir's rules need.
use crate::netlink::builder::Builder;

/// One instruction. Values are compared and masked as the bytes lie in the packet, or in the host's order where the
/// kernel makes them (marks, states).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads something about the packet: `NFT_META_*`.
    Meta(u32),
    /// Loads bytes of the packet: base (1 network, 2 transport header), offset, length.
    Payload(u32, u32, u32),
    /// Loads something of its connection: `NFT_CT_*`.
    Ct(u32),
    /// Keeps the bits of the mask.
    Mask(Vec<u8>),
    /// Goes on when equal.
    Equal(Vec<u8>),
    /// Goes on when not equal.
    NotEqual(Vec<u8>),
    /// Loads the largest TCP segment that the route takes, turns it to network order and writes it into the packet's
    /// MSS option.
    ClampMss,
    /// Source address becomes that of the interface it leaves by.
    Masquerade,
    /// Counts packets and bytes.
    Counter,
    /// Goes on so many times a second, after a burst.
    LimitPerSecond(u64, u32),
    /// Answers with an ICMPv6 "destination unreachable" of this code.
    RejectIcmpv6(u8),
    /// The end: `NF_DROP` 0, `NF_ACCEPT` 1, or a negative `NFT_*` with a chain's name.
    Verdict(i32, Option<String>),
}

const NAME: u16 = 1;
const DATA: u16 = 2;
const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
/// Every value goes through the first register.
const REGISTER: u32 = 1;
const REGISTER_VERDICT: u32 = 0;
const NOT_EQUAL: u32 = 1;

fn element(builder: &mut Builder, name: &str, data: impl FnOnce(&mut Builder)) {
    builder.nest(LIST_ELEMENT, |element| {
        element.text(NAME, name).nest(DATA, data);
    });
}

fn value(builder: &mut Builder, kind: u16, bytes: &[u8]) {
    builder.nest(kind, |data| {
        data.bytes(DATA_VALUE, bytes);
    });
}

fn compare(builder: &mut Builder, operation: u32, bytes: &[u8]) {
    element(builder, "cmp", |data| {
        data.be32(1, REGISTER).be32(2, operation);
        value(data, 3, bytes);
    });
}

impl Expression {
    pub(super) fn write(&self, builder: &mut Builder) {
        match self {
            Expression::Meta(key) => element(builder, "meta", |data| {
                data.be32(2, *key).be32(1, REGISTER);
            }),
            Expression::Payload(base, offset, length) => element(builder, "payload", |data| {
                data.be32(1, REGISTER).be32(2, *base).be32(3, *offset).be32(4, *length);
            }),
            Expression::Ct(key) => element(builder, "ct", |data| {
                data.be32(2, *key).be32(1, REGISTER);
            }),
            Expression::Mask(mask) => element(builder, "bitwise", |data| {
                data.be32(1, REGISTER).be32(2, REGISTER).be32(3, mask.len() as u32);
                value(data, 4, mask);
                value(data, 5, &vec![0; mask.len()]);
            }),
            Expression::Equal(bytes) => compare(builder, 0, bytes),
            Expression::NotEqual(bytes) => compare(builder, NOT_EQUAL, bytes),
            Expression::ClampMss => clamp(builder),
            Expression::Masquerade => element(builder, "masq", |_| ()),
            Expression::Counter => element(builder, "counter", |data| {
                data.bytes(1, &[0; 8]).bytes(2, &[0; 8]);
            }),
            Expression::LimitPerSecond(rate, burst) => element(builder, "limit", |data| {
                data.bytes(1, &rate.to_be_bytes()).bytes(2, &1u64.to_be_bytes()).be32(3, *burst).be32(4, 0).be32(5, 0);
            }),
            Expression::RejectIcmpv6(code) => element(builder, "reject", |data| {
                data.be32(1, 0).u8(2, *code);
            }),
            Expression::Verdict(code, chain) => element(builder, "immediate", |data| {
                data.be32(1, REGISTER_VERDICT).nest(2, |nested| {
                    nested.nest(DATA_VERDICT, |verdict| {
                        verdict.be32(1, *code as u32);
                        if let Some(chain) = chain {
                            verdict.text(2, chain);
                        }
                    });
                });
            }),
        }
    }
}

fn clamp(builder: &mut Builder) {
    const RT_TCPMSS: u32 = 3;
    const HTON: u32 = 1;
    const EXTHDR_TCPOPT: u32 = 1;
    const TCPOPT_MAXSEG: u8 = 2;
    element(builder, "rt", |data| {
        data.be32(2, RT_TCPMSS).be32(1, REGISTER);
    });
    element(builder, "byteorder", |data| {
        data.be32(1, REGISTER).be32(2, REGISTER).be32(3, HTON).be32(4, 2).be32(5, 2);
    });
    // No FLAGS attribute: on a write the kernel refuses it.
    element(builder, "exthdr", |data| {
        data.be32(7, REGISTER).u8(2, TCPOPT_MAXSEG).be32(3, 2).be32(4, 2).be32(6, EXTHDR_TCPOPT);
    });
}
