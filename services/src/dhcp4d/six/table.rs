//! Who has which interface identifier on a LAN. With each prefix of the LAN it makes an address, so that a binding goes
//! on when the provider gives another prefix.
use crate::dhcp4d::engine::table::{Stamp, stamp};
use netstack::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bindings of one LAN.
const MOST: usize = 1_024;
/// Identifiers that somebody else was found to have, and for how long they are given to nobody.
const MOST_DECLINED: usize = 256;
const DECLINED: Duration = Duration::from_secs(600);
/// Tries to find a free one.
const TRIES: u64 = 16;
/// Smaller ones are a person's: `::1` is the router.
const SMALLEST: u64 = 0x1_0000;

/// DUID and number of an identity association.
pub type Who = (Box<[u8]>, u32);

/// What an association has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The lower 64 bits of its addresses.
    pub iid: u64,
    /// End of their valid lifetime, on boot time.
    pub expiry: Stamp,
}

/// The bindings of one LAN.
#[derive(Debug, Default)]
pub struct Table {
    bindings: BTreeMap<Who, Binding>,
    taken: BTreeMap<u64, Who>,
    declined: Vec<(u64, Instant)>,
}

impl Table {
    /// Every binding, by its client.
    pub fn bindings(&self) -> &BTreeMap<Who, Binding> {
        &self.bindings
    }

    /// The identifier that a client has or would be given: its own; the one it asks for; one that follows from its name.
    /// None when the table is full.
    pub fn choose(&self, now: Instant, who: &Who, wish: Option<u64>) -> Option<u64> {
        if let Some(binding) = self.bindings.get(who) {
            return Some(binding.iid);
        }
        let running = |(_, binding): &(&Who, &Binding)| binding.expiry > stamp(now);
        if self.bindings.len() >= MOST && self.bindings.iter().filter(running).count() >= MOST {
            return None;
        }
        let wish = wish.filter(|iid| *iid >= SMALLEST);
        wish.into_iter().chain((0..TRIES).map(|turn| identifier(who, turn))).find(|iid| self.is_free(now, *iid))
    }

    fn is_free(&self, now: Instant, iid: u64) -> bool {
        let owner = self.taken.get(&iid).and_then(|owner| self.bindings.get(owner));
        let declined = self.declined.iter().any(|(other, until)| *other == iid && now < *until);
        !declined && !is_reserved(iid) && owner.is_none_or(|binding| binding.expiry <= stamp(now))
    }

    /// Binds an identifier that [`Table::choose`] gave; whose binding ends by that.
    pub fn bind(&mut self, now: Instant, who: &Who, binding: Binding) -> Vec<Who> {
        let mut ended: Vec<Who> =
            self.taken.get(&binding.iid).filter(|owner| *owner != who).cloned().into_iter().collect();
        if self.bindings.len() >= MOST && !self.bindings.contains_key(who) {
            let over = self.bindings.iter().filter(|(_, one)| one.expiry <= stamp(now)).map(|(who, _)| who.clone());
            ended.extend(over);
        }
        ended.dedup();
        for one in &ended {
            self.end(one);
        }
        self.taken.insert(binding.iid, who.clone());
        self.bindings.insert(who.clone(), binding);
        ended
    }

    /// Takes a binding from the log; says whether there is room.
    pub fn restore(&mut self, who: Who, binding: Binding) -> bool {
        let free = self.bindings.len() < MOST && !self.taken.contains_key(&binding.iid) && !is_reserved(binding.iid);
        if free && !self.bindings.contains_key(&who) {
            self.taken.insert(binding.iid, who.clone());
            self.bindings.insert(who, binding);
            return true;
        }
        false
    }

    /// Ends a binding; its identifier, if there was one.
    pub fn end(&mut self, who: &Who) -> Option<u64> {
        let binding = self.bindings.remove(who)?;
        self.taken.remove(&binding.iid);
        Some(binding.iid)
    }

    /// Gives the identifier to nobody for a while.
    pub fn decline(&mut self, now: Instant, iid: u64) {
        self.declined.retain(|(_, until)| now < *until);
        if self.declined.len() == MOST_DECLINED {
            self.declined.remove(0);
        }
        self.declined.push((iid, now + DECLINED));
    }
}

/// Identifiers that are no host's (RFC 5453, and those of the router and a person).
fn is_reserved(iid: u64) -> bool {
    iid < SMALLEST
        || (0x0200_5eff_fe00_0000..=0x0200_5eff_feff_ffff).contains(&iid)
        || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&iid)
}

/// An identifier that tells nothing of the hardware, the same each time (RFC 7943): FNV-1a, its bits mixed.
fn identifier((duid, iaid): &Who, turn: u64) -> u64 {
    let bytes = duid.iter().copied().chain(iaid.to_be_bytes()).chain(turn.to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(number: u32) -> Who {
        ([0, 3, 0, 1, 2, 0, 0, 0, 0, 1].into(), number)
    }

    #[test]
    fn a_full_table_gives_again_what_has_run_out() {
        let mut table = Table::default();
        let now = Instant::from_secs(100);
        for number in 0..MOST as u32 {
            let iid = table.choose(now, &who(number), None).unwrap();
            let expiry = stamp(now) + i64::from(number >= 3);
            assert!(table.bind(now, &who(number), Binding { iid, expiry }).is_empty());
        }
        let iid = table.choose(now, &who(9_999), None).unwrap();
        let ended = table.bind(now, &who(9_999), Binding { iid, expiry: i64::MAX });
        assert_eq!(ended, [who(0), who(1), who(2)]);
        for number in [10_000, 10_001] {
            let iid = table.choose(now, &who(number), None).unwrap();
            table.bind(now, &who(number), Binding { iid, expiry: i64::MAX });
        }
        assert_eq!(table.choose(now, &who(10_002), None), None);
        assert_eq!(table.bindings.len(), table.taken.len());
    }

    #[test]
    fn a_wish_counts_where_it_is_free_and_no_routers() {
        let mut table = Table::default();
        let now = Instant::from_secs(100);
        let own = table.choose(now, &who(1), None).unwrap();
        assert_eq!(table.choose(now, &who(1), Some(0x7777_7777)), Some(0x7777_7777));
        assert_eq!(table.choose(now, &who(1), Some(1)), Some(own), "::1 is the router");
        table.bind(now, &who(2), Binding { iid: 0x7777_7777, expiry: i64::MAX });
        assert_eq!(table.choose(now, &who(1), Some(0x7777_7777)), Some(own));
        table.decline(now, own);
        assert_ne!(table.choose(now, &who(1), None), Some(own));
        assert_eq!(table.choose(now + DECLINED, &who(1), None), Some(own));
        assert!(!table.restore(who(3), Binding { iid: 0x7777_7777, expiry: 0 }), "somebody has it");
    }
}
