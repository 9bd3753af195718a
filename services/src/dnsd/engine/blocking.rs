//! Names that are not answered: what lists say of a name, for whom each list holds, and what is counted. What the table
//! says of a name is kept beside its answer, so that asking again costs nothing.
use super::stored::Stored;
use crate::blocklist::{MOST_LISTS, Marks, OWN, OWN_NAME, Table, Verdict};
use crate::perm::Mac;
use crate::perm::blocklists::Answer;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

/// Some at home: what is said must all be so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whom {
    /// Who has one of these hardware addresses.
    pub macs: Option<Vec<Mac>>,
    /// Who is in this LAN.
    pub lan: Option<String>,
    /// Who has an address in this network.
    pub net: Option<IpNet>,
}

/// A list, for whom it holds just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// Where it is: a list of the same name from elsewhere is another.
    pub url: String,
    /// How its names are answered.
    pub answer: Answer,
    /// For whom; none = for everybody.
    pub whom: Option<Vec<Whom>>,
}

/// What a person has written, as it holds just now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The lists.
    pub lists: Vec<Listing>,
    /// How a person's own names are answered.
    pub own: Answer,
    /// For whom nothing is blocked.
    pub exempt: Vec<Whom>,
    /// Networks of the LANs.
    pub lans: Vec<(String, IpNet)>,
    /// Which device has which address, as far as is known.
    pub hardware: Vec<(IpAddr, Mac)>,
    /// It matters who asks by more than the address.
    pub names_devices: bool,
}

/// What a table has said of a name and of those that its answer leads to.
#[derive(Debug, Default)]
pub struct Remark {
    generation: u32,
    marks: Option<Box<[Marks; 2]>>,
}

impl Remark {
    /// What the table of now says.
    pub fn of(&mut self, blocker: &Blocker, name: &[u8], stored: &Stored) -> Option<&[Marks; 2]> {
        if self.generation != blocker.generation {
            self.generation = blocker.generation;
            self.marks = blocker.marks(name, Some(stored)).map(Box::new);
        }
        self.marks.as_deref()
    }
}

#[derive(Debug, Default, Clone)]
struct Slot {
    answer: Answer,
    count: usize,
    whom: Vec<Whom>,
}

/// The table, and for whom it holds.
#[derive(Debug, Default)]
pub struct Blocker {
    table: Option<Table>,
    wanted: Wanted,
    generation: u32,
    /// By the table's numbers of the lists.
    slots: Vec<Slot>,
    /// Lists that hold for everybody.
    everybody: u32,
    hardware: HashMap<IpAddr, (Mac, Option<String>)>,
    /// How often each list has blocked, since the start.
    counts: Vec<(String, u64)>,
}

impl Blocker {
    /// Another table, or none.
    pub fn set_table(&mut self, table: Option<Table>) {
        self.table = table;
        self.generation = self.generation.wrapping_add(1).max(1);
        self.arrange();
    }

    /// Others for whom it holds.
    pub fn set_wanted(&mut self, wanted: &Wanted) {
        if self.wanted != *wanted {
            self.wanted.clone_from(wanted);
            self.hardware = wanted.hardware.iter().map(|(address, mac)| (*address, (*mac, None))).collect();
            self.arrange();
        }
    }

    // Finds the lists of the file in the table.
    fn arrange(&mut self) {
        (self.slots, self.everybody) = (Vec::new(), 0);
        let Some(table) = &self.table else { return };
        for (number, listed) in table.lists().iter().enumerate().take(MOST_LISTS) {
            let mut slot = Slot::default();
            let found = self.wanted.lists.iter().find(|list| list.name == listed.name && list.url == listed.url);
            let (holds, whom) = match found {
                _ if number == OWN => {
                    slot.answer = self.wanted.own;
                    (true, None)
                }
                Some(list) => {
                    slot.answer = list.answer;
                    (true, list.whom.as_ref())
                }
                None => (false, None),
            };
            match whom {
                Some(whom) => slot.whom.clone_from(whom),
                None if holds => self.everybody |= 1 << number,
                None => {}
            }
            let name = if number == OWN { OWN_NAME } else { &listed.name };
            let known = self.counts.iter().position(|(counted, _)| counted == name);
            slot.count = known.unwrap_or(self.counts.len());
            if known.is_none() && self.counts.len() < 4 * MOST_LISTS {
                self.counts.push((name.to_owned(), 0));
            }
            self.slots.push(slot);
        }
    }

    /// What the table says of a name, and of those that an answer leads to.
    pub fn marks(&self, name: &[u8], stored: Option<&Stored>) -> Option<[Marks; 2]> {
        let table = self.table.as_ref()?;
        let (own, mut behind) = (table.marks(name), Marks::default());
        if let Some(stored) = stored {
            stored.aliases(|alias| behind = behind.and(table.marks(alias)));
        }
        (!own.is_empty() || !behind.is_empty()).then_some([own, behind])
    }

    /// What is done with such a name for a client: the number of the list that blocks it. What a list lets through by its
    /// own name is not blocked for what it leads to.
    pub fn judge(&self, who: IpAddr, [own, behind]: &[Marks; 2]) -> Verdict {
        let lists = self.lists_for(who);
        match own.verdict(lists) {
            Verdict::Free => behind.verdict(lists),
            said => said,
        }
    }

    /// How a list's names are answered; this one is counted.
    pub fn blocked(&mut self, list: usize) -> Answer {
        let Some(slot) = self.slots.get(list) else { return Answer::default() };
        if let Some((_, count)) = self.counts.get_mut(slot.count) {
            *count += 1;
        }
        slot.answer
    }

    fn lists_for(&self, who: IpAddr) -> u32 {
        let who = who.to_canonical();
        // The router itself has to find whoever it needs.
        if who.is_loopback() {
            return 0;
        }
        let fits = |whom: &Whom| self.fits(who, whom);
        if self.wanted.exempt.iter().any(fits) {
            return 0;
        }
        let some = self.slots.iter().enumerate().filter(|(_, slot)| slot.whom.iter().any(fits));
        some.fold(self.everybody, |lists, (number, _)| lists | 1 << number)
    }

    fn fits(&self, who: IpAddr, whom: &Whom) -> bool {
        let known = self.hardware.get(&who);
        let is_device = |macs: &Vec<Mac>| known.is_some_and(|(mac, _)| macs.contains(mac));
        let is_here = |lan: &String| match known {
            Some((_, Some(seen))) => seen == lan,
            _ => self.wanted.lans.iter().any(|(name, net)| name == lan && net.contains(&who)),
        };
        whom.macs.as_ref().is_none_or(is_device)
            && whom.lan.as_ref().is_none_or(is_here)
            && whom.net.as_ref().is_none_or(|net| net.contains(&who))
    }

    /// Whether somebody should be looked for among the neighbours before the question is answered.
    pub fn wonders(&self, who: IpAddr) -> bool {
        self.wanted.names_devices
            && self.table.is_some()
            && !who.is_loopback()
            && self.hardware.get(&who.to_canonical()).is_none_or(|(_, lan)| lan.is_none())
    }

    /// Who is behind which address, and in which LAN.
    pub fn neighbours(&mut self, all: impl Iterator<Item = (IpAddr, Mac, String)>) {
        self.hardware = self.wanted.hardware.iter().map(|(address, mac)| (*address, (*mac, None))).collect();
        self.hardware.extend(all.map(|(address, mac, lan)| (address, (mac, Some(lan)))));
    }

    /// How often each list has blocked a name.
    pub fn counts(&self) -> &[(String, u64)] {
        &self.counts
    }

    /// The table, for who shows it.
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }
}
