//! Proofs that something does not exist (RFC 4035 5.4, RFC 5155 8, RFC 6840 4).
use super::super::answer::Note;
use super::super::name;
use super::keys::Key;
use super::limits::Budget;
use super::nsec::Nsec;
use super::nsec3::Nsec3;
use super::records::Parsed;
use super::signature;
use domain::base::iana::Rtype;

/// What the proofs come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proven {
    /// It is not there.
    Secure,
    /// There may be something that is not signed.
    Insecure(Option<Note>),
    /// Nothing is proven.
    Not,
}

/// What is at a name, as its zone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Another zone begins there, and nothing vouches for its keys.
    Insecure(Option<Note>),
    /// No zone begins there.
    None,
    /// Nothing is proven.
    Unproven,
}

/// The types of a name that has an NSEC or NSEC3 record.
#[derive(Debug, Clone)]
pub struct Types(pub Box<[u8]>);

impl Types {
    /// Whether it has this type (RFC 4034 4.1.2).
    pub fn has(&self, rtype: Rtype) -> bool {
        let [window, low] = rtype.to_int().to_be_bytes();
        let mut rest = &*self.0;
        while let &[number, length, ref bits @ ..] = rest {
            let length = usize::from(length);
            if number == window {
                let byte = bits.get(..length).and_then(|bits| bits.get(usize::from(low >> 3)));
                return byte.is_some_and(|byte| byte & 0x80 >> (low & 7) != 0);
            }
            rest = bits.get(length..).unwrap_or_default();
        }
        false
    }

    /// Another zone begins there: this is what its parent says.
    pub fn is_cut(&self) -> bool {
        self.has(Rtype::NS) && !self.has(Rtype::SOA)
    }

    /// Whether they prove that the name has no record of a type; `is_root` for the root, which nobody is above.
    pub fn lack(&self, rtype: Rtype, is_root: bool) -> bool {
        let right_side = match rtype {
            // Only the parent knows of a DS.
            Rtype::DS => is_root || !self.has(Rtype::SOA),
            _ => !self.is_cut(),
        };
        right_side && !self.has(rtype) && !self.has(Rtype::CNAME)
    }

    /// What they say of a border at the name.
    pub fn border(&self, is_root: bool) -> Border {
        if (self.has(Rtype::SOA) && !is_root) || self.has(Rtype::DS) {
            return Border::Unproven;
        }
        if self.has(Rtype::NS) { Border::Insecure(None) } else { Border::None }
    }

    /// Nothing that is below a name of these types can be judged by its zone's NSEC.
    pub fn hide_below(&self) -> bool {
        self.is_cut() || self.has(Rtype::DNAME)
    }
}

/// The proofs of one zone in one message, their signatures checked.
#[derive(Debug)]
pub struct Proofs {
    nsec: Nsec,
    nsec3: Nsec3,
    /// For how long they hold, in seconds.
    pub ttl: u32,
}

impl Proofs {
    /// Those that a zone has signed. `told` hears of each RRset and for how long it holds.
    ///
    /// # Errors
    /// When one of the zone's does not hold.
    pub fn gather(
        parsed: &Parsed,
        zone: &[u8],
        keys: &[Key],
        wall: Option<u32>,
        budget: &mut Budget,
        mut told: impl FnMut(usize, u32),
    ) -> Result<Proofs, Note> {
        let mut proofs = Proofs { nsec: Nsec::new(zone), nsec3: Nsec3::new(zone), ttl: u32::MAX };
        for (at, set) in parsed.authority() {
            let proves = matches!(set.rtype, Rtype::NSEC | Rtype::NSEC3);
            let ours = set.signatures.iter().any(|signature| *signature.signer == *zone);
            if set.rtype == Rtype::SOA && !ours && *set.owner == *zone {
                return Err(Note::RrsigsMissing);
            }
            if !(proves || set.rtype == Rtype::SOA) || !ours || !name::is_below(&set.owner, zone) {
                continue;
            }
            let signed = signature::check(set, zone, keys, wall, budget)?;
            if signed.wildcard.is_some() {
                // It speaks of the wildcard, not of this name.
                return Err(Note::Bogus);
            }
            proofs.ttl = proofs.ttl.min(signed.ttl);
            told(at, signed.ttl);
            for data in &set.data {
                match set.rtype {
                    Rtype::NSEC => proofs.nsec.add(&set.owner, data),
                    Rtype::NSEC3 => proofs.nsec3.add(&set.owner, data),
                    _ => {}
                }
            }
        }
        Ok(proofs)
    }

    /// Nothing was there to prove anything.
    pub fn are_none(&self) -> bool {
        self.nsec.is_empty() && self.nsec3.is_empty()
    }

    /// Whether a name does not exist.
    pub fn no_name(&mut self, name: &[u8], budget: &mut Budget) -> Proven {
        either(self.nsec.no_name(name), || self.nsec3.no_name(name, budget))
    }

    /// Whether a name has no record of a type.
    pub fn no_data(&mut self, name: &[u8], rtype: Rtype, budget: &mut Budget) -> Proven {
        either(self.nsec.no_data(name, rtype), || self.nsec3.no_data(name, rtype, budget))
    }

    /// Whether nothing nearer than the wildcard below a name's last `closest` labels fits it.
    pub fn no_closer(&mut self, name: &[u8], closest: usize, budget: &mut Budget) -> Proven {
        either(self.nsec.no_closer(name, closest), || self.nsec3.no_closer(name, closest, budget))
    }

    /// What is at a name.
    pub fn border(&mut self, name: &[u8], budget: &mut Budget) -> Border {
        match self.nsec.border(name) {
            Border::Unproven => self.nsec3.border(name, budget),
            border => border,
        }
    }
}

fn either(first: Proven, second: impl FnOnce() -> Proven) -> Proven {
    if first == Proven::Not { second() } else { first }
}
