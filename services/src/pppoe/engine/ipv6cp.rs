//! The one option of the IPv6 Control Protocol (RFC 5072, section 4.1): the last half of each end's link-local address.
use super::automaton::{Choice, Layer, Verdict};
use crate::house::random::Random;
use crate::perm::Mac;
use std::net::Ipv6Addr;

const IDENTIFIER: u8 = 1;

/// IPV6CP's option.
#[derive(Debug)]
pub struct Ipv6cp {
    /// Ours.
    identifier: u64,
    asks: bool,
    peer: u64,
    random: Random,
}

impl Ipv6cp {
    /// With the identifier that the hardware address of the cable gives, so that it stays the same.
    pub fn new(mac: Mac, random: Random) -> Ipv6cp {
        let [a, b, c, d, e, f] = mac.0;
        let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        Ipv6cp { identifier, asks: true, peer: 0, random }
    }

    /// Our link-local address.
    pub fn address(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(self.identifier))
    }

    fn any(&mut self) -> u64 {
        // Neither global nor multicast (RFC 5072, section 4.1, item 3).
        let random = u64::from(self.random.next_u32()) << 32 | u64::from(self.random.next_u32());
        (random & !(3 << 56)).max(1)
    }
}

fn identifier(value: &[u8]) -> Option<u64> {
    <[u8; 8]>::try_from(value).ok().map(u64::from_be_bytes)
}

impl Layer for Ipv6cp {
    const NAME: &'static str = "IPV6CP";

    fn ask(&self) -> Vec<Choice> {
        self.asks.then(|| (IDENTIFIER, self.identifier.to_be_bytes().to_vec())).into_iter().collect()
    }

    fn begin(&mut self) {
        self.peer = 0;
    }

    fn judge(&mut self, kind: u8, value: &[u8]) -> Verdict {
        match (kind, identifier(value)) {
            (IDENTIFIER, Some(peer)) if peer == 0 || peer == self.identifier => {
                let instead = self.any();
                Verdict::Nak(vec![(IDENTIFIER, instead.to_be_bytes().to_vec())])
            }
            (IDENTIFIER, Some(peer)) => {
                self.peer = peer;
                Verdict::Ack
            }
            _ => Verdict::Reject(vec![(kind, value.to_vec())]),
        }
    }

    fn naked(&mut self, kind: u8, value: &[u8]) {
        if kind == IDENTIFIER {
            let wished = identifier(value).filter(|wished| *wished != 0 && *wished != self.peer);
            self.identifier = wished.unwrap_or_else(|| self.any());
        }
    }

    fn rejected(&mut self, kind: u8) {
        self.asks &= kind != IDENTIFIER;
    }

    fn agreed(&self) -> Result<(), String> {
        if self.asks { Ok(()) } else { Err("the concentrator refuses an interface identifier".into()) }
    }
}
