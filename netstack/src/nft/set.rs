//! Named sets and maps: one lookup, however many elements.
use super::{CREATE, message};
use crate::netlink::builder::Builder;
use ipnet::Ipv4Net;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a part of a key, or of a map's data, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A protocol over IP: `IPPROTO_*`.
    Protocol,
    /// A port, in network order.
    Port,
}

impl Field {
    // nft's own number of the type, by which it prints elements, and the length in bytes.
    fn code(self) -> (u32, u32) {
        match self {
            Field::Ipv4 => (7, 4),
            Field::Ipv6 => (8, 16),
            Field::Protocol => (12, 1),
            Field::Port => (13, 2),
        }
    }
}

/// Bytes of the longest value: an address, a protocol and a port.
const LONGEST: usize = 24;

/// A value of one or several fields, of 24 bytes at most; each begins at a multiple of four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Value {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Value {
    /// No field yet.
    pub fn new() -> Value {
        Value::default()
    }

    // What does not fit is left out, and the kernel refuses a key that is too short.
    fn with(mut self, field: &[u8]) -> Value {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + field.len()) {
            place.copy_from_slice(field);
            self.length += field.len().next_multiple_of(4);
        }
        self
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length.min(LONGEST)]
    }

    /// Its first bytes, so many as a key of one field has.
    fn first(mut self, length: usize) -> Value {
        self.length = self.length.min(length);
        self
    }

    /// Adds an IPv4 address.
    #[must_use]
    pub fn ipv4(self, address: Ipv4Addr) -> Value {
        self.with(&address.octets())
    }

    /// Adds an IPv6 address.
    #[must_use]
    pub fn ipv6(self, address: Ipv6Addr) -> Value {
        self.with(&address.octets())
    }

    /// Adds a protocol.
    #[must_use]
    pub fn protocol(self, number: u8) -> Value {
        self.with(&[number])
    }

    /// Adds a port.
    #[must_use]
    pub fn port(self, port: u16) -> Value {
        self.with(&port.to_be_bytes())
    }
}

/// An element: a key or a range of keys, and in a map what they lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The key, or the first of a range.
    pub key: Value,
    /// The last key of a range, in every field; the key itself where there is one only.
    pub last: Value,
    /// In a map, what it leads to.
    pub data: Option<Value>,
}

/// A set, or a map when it has data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    pub(super) name: String,
    key: Vec<Field>,
    data: Vec<Field>,
    kind: Filled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filled {
    /// Elements are single keys: a hash table.
    Keys(Vec<Element>),
    /// Elements are ranges.
    Ranges(Vec<Element>),
    /// The rules fill it, with at most so many.
    ByRules(u32),
}

const FLAG_INTERVAL: u32 = 0x04;
const FLAG_MAP: u32 = 0x08;
const FLAG_EVALUATED: u32 = 0x20;
const FLAG_CONCATENATED: u32 = 0x80;
const ELEMENT_END: u32 = 1;
/// Elements of one message: an attribute holds 64 KiB.
const MOST: usize = 400;
pub(super) const NEW_SET: u16 = super::SUBSYSTEM << 8 | 9;
pub(super) const DEL_SET: u16 = super::SUBSYSTEM << 8 | 11;
const NEW_ELEMENT: u16 = super::SUBSYSTEM << 8 | 12;
const DEL_ELEMENT: u16 = super::SUBSYSTEM << 8 | 14;
pub(super) const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
pub(super) const SET_KEY_TYPE: u16 = 4;
pub(super) const SET_DATA_TYPE: u16 = 6;
pub(super) const SET_DESCRIPTION: u16 = 9;
pub(super) const DESCRIPTION_SIZE: u16 = 1;
/// What a set is made with: flags, types of key and data, size.
pub(super) type Shape = (u32, u32, u32, u32);

impl Set {
    /// A set of ranges.
    pub fn ranges(name: &str, key: &[Field], elements: Vec<Element>) -> Set {
        Set::map(name, key, &[], elements)
    }

    /// A map from ranges; from single keys where there are no others, which costs the kernel less.
    pub fn map(name: &str, key: &[Field], data: &[Field], mut elements: Vec<Element>) -> Set {
        elements.sort_unstable();
        let single = elements.iter().all(|element| element.key == element.last);
        let kind = if single { Filled::Keys(elements) } else { Filled::Ranges(elements) };
        Set { name: name.to_owned(), key: key.to_vec(), data: data.to_vec(), kind }
    }

    /// A set that rules fill and that stays when they are replaced.
    pub fn by_rules(name: &str, key: &[Field], most: u32) -> Set {
        Set { name: name.to_owned(), key: key.to_vec(), data: Vec::new(), kind: Filled::ByRules(most) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Flags, type of the key and of the data, size: what cannot be changed without making it anew.
    pub(super) fn shape(&self) -> Shape {
        let concatenated = if self.key.len() > 1 { FLAG_CONCATENATED } else { 0 };
        let filled = match self.kind {
            Filled::Keys(_) => 0,
            Filled::Ranges(_) => FLAG_INTERVAL | concatenated,
            Filled::ByRules(_) => FLAG_EVALUATED,
        };
        let map = if self.data.is_empty() { 0 } else { FLAG_MAP };
        (filled | map, kind_of(&self.key), kind_of(&self.data), self.size())
    }

    // A table of keys whose number is told is made in its final size, and does not grow while it is filled.
    fn size(&self) -> u32 {
        match &self.kind {
            Filled::Keys(elements) => elements.len() as u32,
            Filled::Ranges(_) => 0,
            Filled::ByRules(most) => *most,
        }
    }

    pub(super) fn create(&self, builder: &mut Builder, table: &str, number: u32) {
        let (flags, key, data, size) = self.shape();
        message(builder, NEW_SET, CREATE).text(SET_TABLE, table).text(SET_NAME, &self.name);
        builder.be32(SET_FLAGS, flags).be32(SET_KEY_TYPE, key).be32(5, length_of(&self.key));
        if !self.data.is_empty() {
            builder.be32(SET_DATA_TYPE, data).be32(7, length_of(&self.data));
        }
        builder.be32(10, number);
        builder.nest(SET_DESCRIPTION, |description| match self.kind {
            Filled::Keys(_) | Filled::ByRules(_) => {
                description.be32(DESCRIPTION_SIZE, size);
            }
            Filled::Ranges(_) if self.key.len() > 1 => {
                description.nest(2, |fields| {
                    for field in &self.key {
                        fields.nest(1, |one| {
                            one.be32(1, field.code().1);
                        });
                    }
                });
            }
            Filled::Ranges(_) => (),
        });
    }

    /// Puts in what it is to hold, in place of what it holds when it is an old one. Returns the number of messages.
    pub(super) fn fill(&self, builder: &mut Builder, table: &str, old: bool) -> usize {
        let all = match &self.kind {
            Filled::Keys(elements) => self.keys(elements),
            Filled::Ranges(elements) if self.key.len() > 1 => self.pairs(elements),
            Filled::Ranges(elements) => self.bounds(elements),
            Filled::ByRules(_) => return 0,
        };
        let before = builder.count();
        if old {
            message(builder, DEL_ELEMENT, 0).text(1, table).text(2, &self.name);
        }
        for some in all.chunks(MOST) {
            message(builder, NEW_ELEMENT, CREATE).text(1, table).text(2, &self.name).nest(3, |list| {
                for (key, last, data, end) in some {
                    list.nest(1, |element| {
                        value(element, 1, key);
                        if let Some(last) = last {
                            value(element, 10, last);
                        }
                        if let Some(data) = data {
                            value(element, 2, data);
                        }
                        if *end {
                            element.be32(3, ELEMENT_END);
                        }
                    });
                }
            });
        }
        (builder.count() - before) as usize
    }

    fn keys(&self, elements: &[Element]) -> Vec<Bound> {
        let length = length_of(&self.key) as usize;
        elements.iter().map(|one| (one.key.first(length), None, one.data, false)).collect()
    }

    // Keys of several fields: first and last in one element.
    fn pairs(&self, elements: &[Element]) -> Vec<Bound> {
        elements.iter().map(|one| (one.key, Some(one.last), one.data, false)).collect()
    }

    // A key of one field: an element where a range begins, another behind its end, as nft writes them.
    fn bounds(&self, elements: &[Element]) -> Vec<Bound> {
        let mut all: Vec<Bound> = Vec::new();
        let length = length_of(&self.key) as usize;
        for element in elements {
            let (first, last) = (element.key.first(length), element.last.first(length));
            let zero = Value { bytes: [0; LONGEST], length };
            if all.is_empty() && first != zero {
                all.push((zero, None, None, true));
            }
            all.push((first, None, element.data, false));
            if let Some(behind) = after(last) {
                all.push((behind, None, None, true));
            }
        }
        all
    }
}

/// Key, last key, data, and whether it marks the end of a range.
type Bound = (Value, Option<Value>, Option<Value>, bool);

/// The next value; `None` after the largest.
fn after(mut value: Value) -> Option<Value> {
    let length = value.length;
    for byte in value.bytes[..length].iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(value);
        }
    }
    None
}

// An attribute that holds one attribute, in few steps: there may be tens of thousands.
fn value(builder: &mut Builder, kind: u16, value: &Value) {
    let inner = value.bytes().len() as u16 + 4;
    let outer = inner.next_multiple_of(4) + 4;
    let mut head = [0; 8];
    for (place, number) in head.chunks_exact_mut(2).zip([outer, kind | libc::NLA_F_NESTED as u16, inner, 1]) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    builder.raw(&head).raw(value.bytes()).pad();
}

fn kind_of(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |kind, field| kind << 6 | field.code().0)
}

fn length_of(fields: &[Field]) -> u32 {
    match fields {
        [one] => one.code().1,
        _ => fields.iter().map(|field| field.code().1.next_multiple_of(4)).sum(),
    }
}

impl Element {
    /// One key.
    pub fn one(key: Value) -> Element {
        Element { last: key, key, data: None }
    }

    /// Every key from `first` to `last`, in each field.
    pub fn range(first: Value, last: Value) -> Element {
        Element { key: first, last, data: None }
    }

    /// An IPv4 network.
    pub fn net(net: Ipv4Net) -> Element {
        Element::range(Value::new().ipv4(net.network()), Value::new().ipv4(net.broadcast()))
    }

    /// In a map: what it leads to.
    #[must_use]
    pub fn to(mut self, data: Value) -> Element {
        self.data = Some(data);
        self
    }
}
