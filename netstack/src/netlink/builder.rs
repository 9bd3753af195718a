//! Netlink messages: one builder and one parser, for rtnetlink and for nftables.

/// Length of a message header, in bytes.
pub const HEADER: usize = 16;

/// Several netlink messages in one buffer, in order; sequence numbers count from `first`.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    start: usize,
    first: u32,
    count: u32,
}

impl Builder {
    /// No message yet; the first one will have sequence number `first`.
    pub fn new(first: u32) -> Builder {
        Builder { bytes: Vec::with_capacity(4096), start: 0, first, count: 0 }
    }

    /// Begins a message. `flags` are `NLM_F_*`; `NLM_F_REQUEST` is always set.
    pub fn message(&mut self, kind: u16, flags: u16) -> &mut Builder {
        self.finish();
        self.start = self.bytes.len();
        self.raw(&[0; 4]).raw(&kind.to_ne_bytes());
        self.raw(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        let sequence = self.first.wrapping_add(self.count);
        self.count += 1;
        self.raw(&sequence.to_ne_bytes()).raw(&[0; 4])
    }

    /// Bytes as they are: the fixed header that follows netlink's own.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Builder {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// An attribute with these bytes, at most 65,531.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Builder {
        let value = &value[..value.len().min(usize::from(u16::MAX) - 4)];
        self.raw(&(value.len() as u16 + 4).to_ne_bytes()).raw(&kind.to_ne_bytes()).raw(value);
        self.pad()
    }

    /// An attribute of one byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Builder {
        self.bytes(kind, &[value])
    }

    /// An attribute of four bytes in the host's order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Builder {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// An attribute of four bytes in network order, as nftables wants them.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Builder {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute of text with its terminating zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Builder {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// An attribute that holds others.
    pub fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Builder)) -> &mut Builder {
        let at = self.bytes.len();
        self.raw(&[0; 2]).raw(&(kind | libc::NLA_F_NESTED as u16).to_ne_bytes());
        inner(self);
        let length = u16::try_from(self.bytes.len() - at).unwrap_or(u16::MAX);
        self.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// The whole buffer, ready to send.
    pub fn done(&mut self) -> &[u8] {
        self.finish();
        &self.bytes
    }

    /// How many messages have been begun.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The sequence number of the first message.
    pub fn first(&self) -> u32 {
        self.first
    }

    fn finish(&mut self) {
        if self.count > 0 {
            let length = (self.bytes.len() - self.start) as u32;
            self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// Fills up to a multiple of four bytes, as an attribute wants it.
    pub fn pad(&mut self) -> &mut Builder {
        let missing = self.bytes.len().wrapping_neg() % 4;
        self.raw(&[0; 3][..missing])
    }
}

/// A received message, split.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The messages of one datagram; ends at the first that is malformed.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let message = bytes.get(..length).filter(|_| length >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16_at(message, 4)?,
            flags: u16_at(message, 6)?,
            sequence: u32_at(message, 8)?,
            payload: &message[HEADER..],
        })
    })
}

/// The attributes in `bytes` as (type without its flag bits, value); ends at the first that is malformed.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & libc::NLA_TYPE_MASK as u16;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Two bytes in the host's order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Four bytes in the host's order.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Text without its terminating zero.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_built_is_parsed() {
        let mut builder = Builder::new(9);
        builder.message(16, 4).raw(&[1; 16]).text(3, "lan0").nest(18, |inner| {
            inner.u8(1, 5).be32(2, 6);
        });
        builder.message(20, 0).raw(&[2; 8]);
        let bytes = builder.done().to_vec();
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!((all[0].kind, all[0].sequence, all[1].kind, all[1].sequence), (16, 9, 20, 10));
        let list: Vec<_> = attributes(&all[0].payload[16..]).collect();
        assert_eq!(text(list[0].1), "lan0");
        let nested: Vec<_> = attributes(list[1].1).collect();
        assert_eq!(nested, [(1, &[5u8][..]), (2, &[0, 0, 0, 6][..])]);
        assert_eq!(all[1].payload, [2; 8]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                prop_assert!(attributes(message.payload).count() <= 50);
            }
        }
    }
}
