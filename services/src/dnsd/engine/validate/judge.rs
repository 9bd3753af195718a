//! One answer, judged (RFC 4035 5): every RRset on the way from the question to its end, and that nothing nearer exists;
//! or that there is nothing.
use super::super::answer::Note;
use super::super::name;
use super::denial::{Proofs, Proven};
use super::limits::{self, Budget};
use super::records::{Parsed, parent, suffix};
use super::signature;
use super::zones::{Need, Place, Zones, unproven};
use domain::base::iana::{Rcode, Rtype};
use netstack::time::Instant;

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is signed, from the root down.
    Secure,
    /// It need not be signed, and that is proven.
    Insecure(Option<Note>),
    /// It is not what its zone has published.
    Bogus(Note),
}

impl Verdict {
    // Of two parts of one answer.
    fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Bogus(note), _) | (_, Verdict::Bogus(note)) => Verdict::Bogus(note),
            (Verdict::Insecure(note), Verdict::Insecure(other)) => Verdict::Insecure(note.or(other)),
            (Verdict::Insecure(note), _) | (_, Verdict::Insecure(note)) => Verdict::Insecure(note),
            (Verdict::Secure, Verdict::Secure) => Verdict::Secure,
        }
    }
}

/// An answer that is being judged.
#[derive(Debug)]
pub struct Job {
    name: Box<[u8]>,
    rtype: Rtype,
    /// The answer.
    pub parsed: Parsed,
    /// What is known of each of its RRsets.
    verdicts: Vec<Option<Verdict>>,
    /// Of those that are signed, for how long each may be kept, in seconds.
    pub holds: Vec<Option<u32>>,
    budget: Budget,
}

impl Job {
    /// An answer to the question for a name (lower-case) and type; `None` when it cannot be read.
    pub fn new(name: &[u8], rtype: Rtype, message: &[u8]) -> Option<Job> {
        let parsed = Parsed::of(message)?;
        let (verdicts, holds) = (vec![None; parsed.sets.len()], vec![None; parsed.sets.len()]);
        Some(Job { name: name.into(), rtype, parsed, verdicts, holds, budget: Budget::default() })
    }

    /// Judges as far as is known. What was checked is not checked again.
    ///
    /// # Errors
    /// Says what has to be asked first.
    pub fn judge(&mut self, zones: &Zones, now: Instant, wall: Option<u32>) -> Result<Verdict, Need> {
        let (mut name, mut verdict) = (self.name.clone(), Verdict::Secure);
        if self.rtype == Rtype::RRSIG {
            // Nothing signs signatures.
            return Ok(Verdict::Insecure(None));
        }
        for _ in 0..limits::ALIASES {
            let ends: Vec<usize> = self
                .parsed
                .sets
                .iter()
                .enumerate()
                .filter(|(_, set)| {
                    let wanted = set.rtype == self.rtype || self.rtype == Rtype::ANY;
                    wanted && set.section == super::records::Section::Answer && *set.owner == *name
                })
                .map(|(at, _)| at)
                .collect();
            if !ends.is_empty() {
                for at in ends {
                    verdict = verdict.and(self.set(at, zones, now, wall)?);
                }
                return Ok(verdict);
            }
            let dname = self.parsed.sets.iter().enumerate().find(|(_, set)| {
                let above = *set.owner != *name && name::is_below(&name, &set.owner);
                set.rtype == Rtype::DNAME && set.section == super::records::Section::Answer && above
            });
            let dname = dname.map(|(at, set)| (at, renamed(&name, &set.owner, &set.data)));
            let alias = self.parsed.answer(&name, Rtype::CNAME);
            let alias = alias.map(|(at, set)| (at, !set.signatures.is_empty(), only(&set.data)));
            let (at, target) = match (alias, dname) {
                (Some((at, true, target)), _) | (Some((at, _, target)), None) => (at, target),
                // What a DNAME makes is not signed, but must be what it makes.
                (Some((made, _, target)), Some((at, renamed))) => {
                    if target != renamed {
                        return Ok(Verdict::Bogus(Note::Bogus));
                    }
                    if let (Some(set), Some(hold)) = (self.parsed.sets.get(made), self.holds.get_mut(made)) {
                        *hold = Some(set.ttl);
                    }
                    (at, target)
                }
                (None, Some((at, renamed))) => (at, renamed),
                (None, None) => return Ok(verdict.and(self.nothing(&name, zones, now, wall)?)),
            };
            verdict = verdict.and(self.set(at, zones, now, wall)?);
            match (target, verdict) {
                (_, Verdict::Bogus(_)) => return Ok(verdict),
                (Some(target), _) => name = target,
                // A DNAME leads to a name that is too long.
                (None, _) if self.parsed.rcode == Rcode::YXDOMAIN => return Ok(verdict),
                (None, _) => return Ok(Verdict::Bogus(Note::Bogus)),
            }
        }
        Ok(Verdict::Bogus(Note::Bogus))
    }

    // One RRset of the answer.
    fn set(&mut self, at: usize, zones: &Zones, now: Instant, wall: Option<u32>) -> Result<Verdict, Need> {
        if let Some(Some(verdict)) = self.verdicts.get(at) {
            return Ok(*verdict);
        }
        let Some(set) = self.parsed.sets.get(at) else { return Ok(Verdict::Bogus(Note::Bogus)) };
        // A DS is its parent's.
        let home = if set.rtype == Rtype::DS { parent(&set.owner) } else { &set.owner };
        let signer =
            set.signatures.iter().map(|signature| &*signature.signer).find(|signer| name::is_below(home, signer));
        let verdict = match zones.around(now, signer.unwrap_or(home))? {
            Place::Insecure(note) => Verdict::Insecure(note),
            Place::Bogus(note) => Verdict::Bogus(note),
            Place::Secure(depth, keys) => match signer {
                None => Verdict::Bogus(Note::RrsigsMissing),
                // Who signs is no zone.
                Some(signer) if suffix(signer, depth).len() != signer.len() => Verdict::Bogus(Note::DnskeyMissing),
                Some(zone) => match signature::check(set, zone, &keys, wall, &mut self.budget) {
                    Err(note) => Verdict::Bogus(note),
                    Ok(signed) => {
                        if let Some(hold) = self.holds.get_mut(at) {
                            *hold = Some(signed.ttl);
                        }
                        match signed.wildcard {
                            None => Verdict::Secure,
                            Some(closest) => {
                                let (holds, budget) = (&mut self.holds, &mut self.budget);
                                let told = |at: usize, ttl: u32| {
                                    if let Some(hold) = holds.get_mut(at) {
                                        *hold = Some(ttl);
                                    }
                                };
                                match Proofs::gather(&self.parsed, zone, &keys, wall, budget, told) {
                                    Err(note) => Verdict::Bogus(note),
                                    Ok(mut proofs) => match proofs.no_closer(&set.owner, closest, budget) {
                                        Proven::Secure => Verdict::Secure,
                                        Proven::Insecure(note) => Verdict::Insecure(note),
                                        Proven::Not => Verdict::Bogus(unproven(&self.parsed, &proofs)),
                                    },
                                }
                            }
                        }
                    }
                },
            },
        };
        if let Some(known) = self.verdicts.get_mut(at) {
            *known = Some(verdict);
        }
        Ok(verdict)
    }

    // The answer ends at a name without what was asked for.
    fn nothing(&mut self, name: &[u8], zones: &Zones, now: Instant, wall: Option<u32>) -> Result<Verdict, Need> {
        let home = if self.rtype == Rtype::DS { parent(name) } else { name };
        let signers =
            self.parsed.authority().filter(|(_, set)| matches!(set.rtype, Rtype::NSEC | Rtype::NSEC3 | Rtype::SOA));
        let signers = signers.flat_map(|(_, set)| &set.signatures).map(|signature| &signature.signer);
        let signer = signers.filter(|signer| name::is_below(home, signer)).max_by_key(|signer| signer.len()).cloned();
        let mut wrong = Note::NsecMissing;
        if let Some(zone) = signer {
            match zones.around(now, &zone)? {
                Place::Insecure(note) => return Ok(Verdict::Insecure(note)),
                Place::Bogus(note) => return Ok(Verdict::Bogus(note)),
                Place::Secure(depth, _) if suffix(&zone, depth).len() != zone.len() => wrong = Note::DnskeyMissing,
                Place::Secure(_, keys) => {
                    let (holds, budget) = (&mut self.holds, &mut self.budget);
                    let told = |at: usize, ttl: u32| {
                        if let Some(hold) = holds.get_mut(at) {
                            *hold = Some(ttl);
                        }
                    };
                    let mut proofs = match Proofs::gather(&self.parsed, &zone, &keys, wall, budget, told) {
                        Ok(proofs) => proofs,
                        Err(note) => return Ok(Verdict::Bogus(note)),
                    };
                    let mut proven = match self.parsed.rcode {
                        Rcode::NXDOMAIN => proofs.no_name(name, budget),
                        _ => proofs.no_data(name, self.rtype, budget),
                    };
                    if proven == Proven::Not && self.parsed.rcode == Rcode::NXDOMAIN {
                        // Some servers say so of a name that has only others below it.
                        proven = proofs.no_data(name, self.rtype, budget);
                        if proven != Proven::Not {
                            self.parsed.rcode = Rcode::NOERROR;
                        }
                    }
                    match proven {
                        Proven::Secure => return Ok(Verdict::Secure),
                        Proven::Insecure(note) => return Ok(Verdict::Insecure(note)),
                        Proven::Not => wrong = unproven(&self.parsed, &proofs),
                    }
                }
            }
        }
        // Nothing is proven; nothing need be where nothing is signed.
        Ok(match zones.around(now, home)? {
            Place::Insecure(note) => Verdict::Insecure(note),
            Place::Bogus(note) => Verdict::Bogus(note),
            Place::Secure(..) => Verdict::Bogus(wrong),
        })
    }
}

// The name that an alias leads to; it has one.
fn only(data: &[Box<[u8]>]) -> Option<Box<[u8]>> {
    match data {
        [target] => Some(target.clone()),
        _ => None,
    }
}

// What a DNAME makes of a name below it.
fn renamed(name: &[u8], owner: &[u8], data: &[Box<[u8]>]) -> Option<Box<[u8]>> {
    let [target] = data else { return None };
    let made = [name.get(..name.len() - owner.len())?, &**target].concat();
    (made.len() <= name::LONGEST).then(|| made.into_boxed_slice())
}
