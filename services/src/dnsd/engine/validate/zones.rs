//! What is known of zones: where they begin, what their parents say of their keys, and the keys. From the root down, each
//! step proven by the one before (RFC 4035 5.2); bounded in number and in time.
use super::super::answer::Note;
use super::super::name;
use super::denial::{Border, Proofs};
use super::keys::{self, Ds, Key};
use super::limits::{self, Budget};
use super::records::{Parsed, labels, parent, suffix};
use super::signature;
use domain::base::iana::Rtype;
use netstack::time::Instant;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

/// For how long it is remembered that a zone is bogus, and that nobody answered, in seconds.
const BOGUS: u32 = 30;
const UNREACHABLE: u32 = 1;
/// The least and the most time that anything is remembered, in seconds.
const LIFE: (u32, u32) = (5, 3_600);

/// What has to be asked before more can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The keys of a zone.
    Keys(Box<[u8]>),
    /// Whether a zone begins at this name.
    Border(Box<[u8]>),
}

impl Need {
    /// The question: name and type.
    pub fn question(&self) -> (&[u8], Rtype) {
        match self {
            Need::Keys(name) => (name, Rtype::DNSKEY),
            Need::Border(name) => (name, Rtype::DS),
        }
    }
}

/// The zone around a name.
#[derive(Debug, Clone)]
pub enum Place {
    /// It is signed, and these are its name's count of labels and its keys.
    Secure(usize, Rc<[Key]>),
    /// It is not, and that is proven.
    Insecure(Option<Note>),
    /// It should be, and something is wrong.
    Bogus(Note),
}

#[derive(Debug, Clone)]
enum Keys {
    Good(Rc<[Key]>),
    Bogus(Note),
}

#[derive(Debug, Clone)]
enum Cut {
    Signed(Rc<[Ds]>),
    Insecure(Option<Note>),
    None,
    Bogus(Note),
}

type Table<T> = HashMap<Box<[u8]>, (T, Instant)>;

/// All that is known.
#[derive(Debug, Default)]
pub struct Zones {
    anchors: Rc<[Ds]>,
    exempt: HashSet<Box<[u8]>>,
    // The longest of these.
    longest: usize,
    cuts: Table<Cut>,
    keys: Table<Keys>,
}

impl Zones {
    /// The root's keys, and domains that are not judged (RFC 7646). Forgets everything.
    pub fn new(anchors: &[Ds], exempt: &[Box<[u8]>]) -> Zones {
        let longest = exempt.iter().map(|domain| domain.len()).max().unwrap_or_default();
        Zones { anchors: anchors.into(), exempt: exempt.iter().cloned().collect(), longest, ..Zones::default() }
    }

    /// Whether a name is not judged.
    pub fn is_exempt(&self, name: &[u8]) -> bool {
        let (mut name, mut is_exempt) = (name, false);
        // Every question comes by here: most names are longer than what is exempt, or nothing is.
        while !is_exempt && name.len() > 1 && !self.exempt.is_empty() {
            is_exempt = name.len() <= self.longest && self.exempt.contains(name);
            name = parent(name);
        }
        is_exempt
    }

    /// How much is known: zones' keys and cuts.
    pub fn len(&self) -> usize {
        self.cuts.len() + self.keys.len()
    }

    /// The zone that a name lies in, from the root down.
    ///
    /// # Errors
    /// Says what has to be asked first.
    pub fn around(&self, now: Instant, name: &[u8]) -> Result<Place, Need> {
        if self.is_exempt(name) {
            return Ok(Place::Insecure(None));
        }
        let mut keys = match self.keys_of(now, &[0])? {
            Keys::Good(keys) => keys,
            Keys::Bogus(note) => return Ok(Place::Bogus(note)),
        };
        let mut depth = 0;
        for count in 1..=labels(name) {
            let here = suffix(name, count);
            let cut = self.cuts.get(here).filter(|(_, until)| now < *until);
            match cut.map(|(cut, _)| cut).ok_or_else(|| Need::Border(here.into()))? {
                Cut::None => {}
                Cut::Insecure(note) => return Ok(Place::Insecure(*note)),
                Cut::Bogus(note) => return Ok(Place::Bogus(*note)),
                Cut::Signed(_) => match self.keys_of(now, here)? {
                    Keys::Good(good) => (keys, depth) = (good, count),
                    Keys::Bogus(note) => return Ok(Place::Bogus(note)),
                },
            }
        }
        Ok(Place::Secure(depth, keys))
    }

    /// Forgets what is bogus on the way from the root to a name.
    pub fn doubt(&mut self, name: &[u8]) {
        for count in 0..=labels(name) {
            let here = suffix(name, count);
            if matches!(self.cuts.get(here), Some((Cut::Bogus(_), _))) {
                self.cuts.remove(here);
            }
            if matches!(self.keys.get(here), Some((Keys::Bogus(_), _))) {
                self.keys.remove(here);
            }
        }
    }

    fn keys_of(&self, now: Instant, zone: &[u8]) -> Result<Keys, Need> {
        let known = self.keys.get(zone).filter(|(_, until)| now < *until);
        known.map(|(keys, _)| keys.clone()).ok_or_else(|| Need::Keys(zone.into()))
    }

    /// What has come of a question; none when nobody had an answer.
    pub fn learn(&mut self, now: Instant, wall: Option<u32>, need: &Need, message: Option<&[u8]>) {
        let parsed = message.map(Parsed::of);
        let until = |life: u32| now + Duration::from_secs(u64::from(life));
        let held = |life: u32| until(life.clamp(LIFE.0, LIFE.1));
        match need {
            Need::Keys(zone) => {
                let delegation = match self.cuts.get(zone).map(|(cut, _)| cut) {
                    _ if **zone == [0] => Rc::clone(&self.anchors),
                    Some(Cut::Signed(delegation)) => Rc::clone(delegation),
                    // Forgotten meanwhile: it is asked for again.
                    _ => return,
                };
                let keys = match parsed {
                    None => (Keys::Bogus(Note::NoReachableAuthority), until(UNREACHABLE)),
                    Some(parsed) => match keys_in(parsed.as_ref(), zone, &delegation, wall) {
                        Ok((keys, life)) => (Keys::Good(keys.into()), held(life)),
                        Err(note) => (Keys::Bogus(note), until(BOGUS)),
                    },
                };
                make_room(&mut self.keys, now);
                self.keys.insert(zone.clone(), keys);
            }
            Need::Border(name) => {
                let Ok(Place::Secure(depth, keys)) = self.around(now, parent(name)) else { return };
                let zone = suffix(name, depth);
                let cut = match parsed {
                    None => (Cut::Bogus(Note::NoReachableAuthority), until(UNREACHABLE)),
                    Some(parsed) => match cut_in(parsed.as_ref(), name, zone, &keys, wall) {
                        Ok((cut, life)) => (cut, held(life)),
                        Err(note) => (Cut::Bogus(note), until(BOGUS)),
                    },
                };
                make_room(&mut self.cuts, now);
                self.cuts.insert(name.clone(), cut);
            }
        }
    }
}

fn keys_in(
    parsed: Option<&Parsed>,
    zone: &[u8],
    delegation: &[Ds],
    wall: Option<u32>,
) -> Result<(Vec<Key>, u32), Note> {
    let (_, set) = parsed.ok_or(Note::Bogus)?.answer(zone, Rtype::DNSKEY).ok_or(Note::DnskeyMissing)?;
    keys::trusted(set, delegation, wall, &mut Budget::default())
}

// What is at a name of a zone with these keys.
fn cut_in(
    parsed: Option<&Parsed>,
    name: &[u8],
    zone: &[u8],
    keys: &[Key],
    wall: Option<u32>,
) -> Result<(Cut, u32), Note> {
    let parsed = parsed.ok_or(Note::Bogus)?;
    let mut budget = Budget::default();
    if let Some((_, set)) = parsed.answer(name, Rtype::DS) {
        let signed = signature::check(set, zone, keys, wall, &mut budget)?;
        if signed.wildcard.is_some() {
            return Err(Note::Bogus);
        }
        let records = set.data.iter().filter_map(|data| Ds::of(data));
        let cut =
            keys::usable(records).map_or_else(|note| Cut::Insecure(Some(note)), |usable| Cut::Signed(usable.into()));
        return Ok((cut, signed.ttl));
    }
    // An alias stands alone at its name, and below a DNAME there is nothing.
    let alias = parsed.sets.iter().find(|set| {
        let is_dname = set.rtype == Rtype::DNAME && *set.owner != *name && name::is_below(name, &set.owner);
        is_dname || (set.rtype == Rtype::CNAME && *set.owner == *name && !set.signatures.is_empty())
    });
    if let Some(alias) = alias {
        let signed = signature::check(alias, zone, keys, wall, &mut budget)?;
        return Ok((Cut::None, signed.ttl));
    }
    let mut proofs = Proofs::gather(parsed, zone, keys, wall, &mut budget, |_, _| ())?;
    match proofs.border(name, &mut budget) {
        Border::Insecure(note) => Ok((Cut::Insecure(note), proofs.ttl)),
        Border::None => Ok((Cut::None, proofs.ttl)),
        Border::Unproven => Err(unproven(parsed, &proofs)),
    }
}

/// Why nothing is proven.
pub fn unproven(parsed: &Parsed, proofs: &Proofs) -> Note {
    let unsigned = parsed.authority().any(|(_, set)| matches!(set.rtype, Rtype::NSEC | Rtype::NSEC3));
    match (proofs.are_none(), unsigned) {
        (true, true) => Note::RrsigsMissing,
        (true, false) => Note::NsecMissing,
        (false, _) => Note::Bogus,
    }
}

// Whoever ends first goes first.
fn make_room<T>(table: &mut Table<T>, now: Instant) {
    if table.len() < limits::ZONES {
        return;
    }
    table.retain(|_, (_, until)| now < *until);
    if table.len() < limits::ZONES {
        return;
    }
    let first = table.iter().min_by_key(|(_, (_, until))| *until).map(|(name, _)| name.clone());
    first.map(|name| table.remove(&name));
}
