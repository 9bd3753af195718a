//! The virtual machine's instructions, as few as weir's rules need.
use super::found::COUNTER;
use crate::netlink::builder::Builder;

/// One instruction. Values are compared and masked as the bytes lie in the packet, or in the host's order where the
/// kernel makes them (marks, states).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads something about the packet: `NFT_META_*`.
    Meta(u32),
    /// Loads bytes of the packet: base (0 link, 1 network, 2 transport header), offset, length.
    Payload(u32, u32, u32),
    /// Loads so that it stands behind what was loaded already: the expression, and the number of four-byte words
    /// before it.
    Behind(Box<Expression>, u32),
    /// Loads what the routing table says: `NFTA_FIB_F_*` and `NFT_FIB_RESULT_*`.
    Fib(u32, u32),
    /// Loads a value into the words from this number on.
    Immediate(Vec<u8>, u32),
    /// Goes on when what was loaded is in the set; from a map, loads what it leads to.
    Lookup(String, bool),
    /// Puts what was loaded into a set and goes on when that key has more than so many connections.
    OverConnections(String, u32),
    /// Gives the packet another destination: the loaded address, and the loaded port behind it when there is one.
    Dnat(bool),
    /// Counts in a counter of the table.
    CountIn(String),
    /// Writes a line about the packet into the kernel's log, with these words before it.
    Log(String),
    /// Loads something of its connection: `NFT_CT_*`.
    Ct(u32),
    /// Keeps the bits of the mask.
    Mask(Vec<u8>),
    /// Goes on when equal.
    Equal(Vec<u8>),
    /// Goes on when not equal.
    NotEqual(Vec<u8>),
    /// Goes on when, in network order, not smaller than the first and not larger than the second.
    Between(Vec<u8>, Vec<u8>),
    /// Turns what was loaded, of eight bytes, to network order and goes on when it is not smaller.
    AtLeast(u64),
    /// From here on the connection's packets go by a flowtable.
    Offload(String),
    /// Loads the largest TCP segment that the route takes, turns it to network order and writes it into the packet's
    /// MSS option.
    ClampMss,
    /// Source address becomes that of the interface it leaves by.
    Masquerade,
    /// Counts packets and bytes.
    Counter,
    /// Goes on so many times a second, after a burst.
    LimitPerSecond(u64, u32),
    /// Answers with a "destination unreachable": `NFT_REJECT_*` and a code of that kind.
    Reject(u32, u8),
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
const NOT_LARGER: u32 = 3;
const NOT_SMALLER: u32 = 5;
/// Number of the first register of four bytes; it is the beginning of [`REGISTER`].
const WORDS: u32 = 8;
const NFPROTO_IPV4: u32 = 2;
const LOG_INFO: u32 = 6;

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

/// The register that begins so many four-byte words behind the first one.
fn register(words: u32) -> u32 {
    if words == 0 { REGISTER } else { WORDS + words }
}

impl Expression {
    pub(super) fn write(&self, builder: &mut Builder) {
        self.write_into(builder, REGISTER);
    }

    fn write_into(&self, builder: &mut Builder, into: u32) {
        match self {
            Expression::Meta(key) => element(builder, "meta", |data| {
                data.be32(2, *key).be32(1, into);
            }),
            Expression::Payload(base, offset, length) => element(builder, "payload", |data| {
                data.be32(1, into).be32(2, *base).be32(3, *offset).be32(4, *length);
            }),
            Expression::Behind(inner, words) => inner.write_into(builder, register(*words)),
            Expression::Fib(flags, result) => element(builder, "fib", |data| {
                data.be32(3, *flags).be32(2, *result).be32(1, into);
            }),
            Expression::Immediate(bytes, words) => element(builder, "immediate", |data| {
                data.be32(1, register(*words));
                value(data, 2, bytes);
            }),
            Expression::Lookup(set, map) => element(builder, "lookup", |data| {
                data.text(1, set).be32(2, REGISTER);
                if *map {
                    data.be32(3, REGISTER);
                }
            }),
            Expression::OverConnections(set, most) => element(builder, "dynset", |data| {
                data.be32(4, REGISTER).be32(3, 0).text(1, set).nest(7, |counted| {
                    counted.text(NAME, "connlimit").nest(DATA, |limit| {
                        limit.be32(1, *most).be32(2, 1);
                    });
                });
            }),
            Expression::Dnat(port) => element(builder, "nat", |data| {
                data.be32(1, 1).be32(2, NFPROTO_IPV4).be32(3, REGISTER);
                if *port {
                    data.be32(5, register(1));
                }
            }),
            Expression::CountIn(name) => element(builder, "objref", |data| {
                data.be32(1, COUNTER).text(2, name);
            }),
            Expression::Log(words) => element(builder, "log", |data| {
                data.text(2, words).be32(5, LOG_INFO);
            }),
            Expression::Between(first, last) => {
                compare(builder, NOT_SMALLER, first);
                compare(builder, NOT_LARGER, last);
            }
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
            Expression::AtLeast(least) => {
                order(builder, 8);
                compare(builder, NOT_SMALLER, &least.to_be_bytes());
            }
            Expression::Offload(flowtable) => element(builder, "flow_offload", |data| {
                data.text(1, flowtable);
            }),
            Expression::ClampMss => clamp(builder),
            Expression::Masquerade => element(builder, "masq", |_| ()),
            Expression::Counter => element(builder, "counter", |data| {
                data.bytes(1, &[0; 8]).bytes(2, &[0; 8]);
            }),
            Expression::LimitPerSecond(rate, burst) => element(builder, "limit", |data| {
                data.bytes(1, &rate.to_be_bytes()).bytes(2, &1u64.to_be_bytes()).be32(3, *burst).be32(4, 0).be32(5, 0);
            }),
            Expression::Reject(kind, code) => element(builder, "reject", |data| {
                data.be32(1, *kind).u8(2, *code);
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

/// Turns what was loaded, of so many bytes, to network order.
fn order(builder: &mut Builder, bytes: u32) {
    const HTON: u32 = 1;
    element(builder, "byteorder", |data| {
        data.be32(1, REGISTER).be32(2, REGISTER).be32(3, HTON).be32(4, bytes).be32(5, bytes);
    });
}

fn clamp(builder: &mut Builder) {
    const RT_TCPMSS: u32 = 3;
    const EXTHDR_TCPOPT: u32 = 1;
    const TCPOPT_MAXSEG: u8 = 2;
    element(builder, "rt", |data| {
        data.be32(2, RT_TCPMSS).be32(1, REGISTER);
    });
    order(builder, 2);
    // No FLAGS attribute: on a write the kernel refuses it.
    element(builder, "exthdr", |data| {
        data.be32(7, REGISTER).u8(2, TCPOPT_MAXSEG).be32(3, 2).be32(4, 2).be32(6, EXTHDR_TCPOPT);
    });
}
