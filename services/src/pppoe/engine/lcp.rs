//! Options of the Link Control Protocol (RFC 1661, section 6), as far as PPPoE has a use for them (RFC 2516, section 7).
use super::automaton::{Choice, Layer, Verdict};
use crate::house::random::Random;
use netstack::wire::ppp::{CHAP, PAP};

const MRU: u8 = 1;
const AUTHENTICATION: u8 = 3;
const MAGIC: u8 = 5;
/// What a peer takes that says nothing of it.
const DEFAULT_MRU: u16 = 1_500;
/// A peer that takes less is no way to the internet (RFC 791).
const SMALLEST_MRU: u16 = 576;
/// CHAP's algorithm MD5.
const MD5: u8 = 5;
/// Our own packets that come back before the line is called a loop.
const MOST_LOOPS: u32 = 3;

/// How the concentrator wants to know who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The password itself.
    Pap,
    /// Its digest with a challenge.
    Chap,
}

/// LCP's options.
#[derive(Debug)]
pub struct Lcp {
    /// The largest packet that we take, in bytes.
    mru: u16,
    asks_mru: bool,
    /// Ours; 0 when the peer wants none.
    pub magic: u32,
    /// The largest packet that the peer takes, in bytes.
    pub peer_mru: u16,
    /// What the peer wants of us.
    pub proof: Option<Proof>,
    loops: u32,
    refused_proofs: u32,
    random: Random,
}

impl Lcp {
    /// With the largest packet that the session can carry.
    pub fn new(mru: u16, mut random: Random) -> Lcp {
        let magic = random.next_u32().max(1);
        let (peer_mru, asks_mru) = (DEFAULT_MRU, true);
        Lcp { mru, asks_mru, magic, peer_mru, proof: None, loops: 0, refused_proofs: 0, random }
    }
}

impl Layer for Lcp {
    const NAME: &'static str = "LCP";

    fn ask(&self) -> Vec<Choice> {
        let mru = self.asks_mru.then(|| (MRU, self.mru.to_be_bytes().to_vec()));
        let magic = (self.magic != 0).then(|| (MAGIC, self.magic.to_be_bytes().to_vec()));
        mru.into_iter().chain(magic).collect()
    }

    fn begin(&mut self) {
        (self.peer_mru, self.proof) = (DEFAULT_MRU, None);
    }

    fn judge(&mut self, kind: u8, value: &[u8]) -> Verdict {
        let [chap_high, chap_low] = CHAP.to_be_bytes();
        match (kind, value) {
            (MRU, &[high, low]) => {
                let mru = u16::from_be_bytes([high, low]);
                if mru < SMALLEST_MRU {
                    return Verdict::Nak(vec![(MRU, self.mru.to_be_bytes().to_vec())]);
                }
                self.peer_mru = mru;
            }
            (AUTHENTICATION, value) if value == PAP.to_be_bytes() => self.proof = Some(Proof::Pap),
            (AUTHENTICATION, value) if value == [chap_high, chap_low, MD5] => self.proof = Some(Proof::Chap),
            (AUTHENTICATION, _) => {
                // CHAP is asked for first, then PAP.
                self.refused_proofs += 1;
                let pap = PAP.to_be_bytes().to_vec();
                let instead = if self.refused_proofs % 2 == 1 { vec![chap_high, chap_low, MD5] } else { pap };
                return Verdict::Nak(vec![(AUTHENTICATION, instead)]);
            }
            (MAGIC, &[a, b, c, d]) => {
                let magic = u32::from_be_bytes([a, b, c, d]);
                if magic == 0 || magic == self.magic {
                    self.loops += u32::from(magic == self.magic);
                    return Verdict::Nak(vec![(MAGIC, self.random.next_u32().to_be_bytes().to_vec())]);
                }
            }
            _ => return Verdict::Reject(vec![(kind, value.to_vec())]),
        }
        Verdict::Ack
    }

    fn naked(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (MRU, &[high, low]) => self.mru = self.mru.min(u16::from_be_bytes([high, low]).max(SMALLEST_MRU)),
            (MAGIC, _) => self.magic = self.random.next_u32().max(1),
            _ => {}
        }
    }

    fn rejected(&mut self, kind: u8) {
        match kind {
            MRU => self.asks_mru = false,
            MAGIC => self.magic = 0,
            _ => {}
        }
    }

    fn agreed(&self) -> Result<(), String> {
        if self.loops >= MOST_LOOPS { Err("our own packets come back: the line is a loop".into()) } else { Ok(()) }
    }
}
