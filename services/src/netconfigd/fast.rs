//! The fast path's NICs: added when they come, never all anew, and one that is refused keeps none of the others away.
use super::ruleset::{FAST, TABLE};
use netstack::nft::flowtable;
use std::collections::BTreeSet;

/// What was refused, so that it is not asked for again and again: number and name of each NIC.
#[derive(Debug, Default)]
pub struct Fast {
    refused: BTreeSet<(u32, String)>,
    complaints: Vec<String>,
}

impl Fast {
    /// Makes the flowtable's NICs these. What was done, in words.
    pub fn follow(&mut self, nics: Vec<(u32, String)>) -> Vec<String> {
        self.refused.retain(|refused| nics.contains(refused));
        if self.refused.is_empty() {
            self.complaints.clear();
        }
        // None where the kernel has no flowtables, or a person wants none.
        let Ok(Some(listed)) = flowtable::devices(TABLE, FAST) else { return Vec::new() };
        let mut done = Vec::new();
        let gone: Vec<&str> =
            listed.iter().map(String::as_str).filter(|name| nics.iter().all(|nic| nic.1 != *name)).collect();
        if !gone.is_empty() && flowtable::change(TABLE, FAST, &gone, false).is_ok() {
            done.push(format!("no more fast path by {}", gone.join(", ")));
        }
        let is_new = |nic: &&(u32, String)| !listed.contains(&nic.1) && !self.refused.contains(*nic);
        let new: Vec<(u32, String)> = nics.iter().filter(is_new).cloned().collect();
        let names: Vec<&str> = new.iter().map(|(_, name)| name.as_str()).collect();
        if names.is_empty() {
            return done;
        }
        if flowtable::change(TABLE, FAST, &names, true).is_ok() {
            done.push(format!("fast path by {}", names.join(", ")));
            return done;
        }
        for nic in &new {
            match flowtable::change(TABLE, FAST, &[&nic.1], true) {
                Ok(()) => done.push(format!("fast path by {}", nic.1)),
                Err(error) => {
                    self.complaints.push(format!("{error}; what it carries meets the rules"));
                    self.refused.insert(nic.clone());
                }
            }
        }
        done
    }

    /// What was refused, in words.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }
}
