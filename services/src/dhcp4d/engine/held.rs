//! Addresses that are held for a while: offers outstanding, and addresses found in use by somebody else.
use super::table::Client;
use netstack::time::Instant;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long an offered address is kept for its client.
pub const OFFER: Duration = Duration::from_secs(10);
/// How long an address that was found in use is not given.
pub const QUARANTINE: Duration = Duration::from_secs(600);
/// Addresses in quarantine at a time: one more frees the one that was found first.
const MOST_CONFLICTS: usize = 1_024;

/// Offers, by address and by client.
#[derive(Debug, Default)]
pub struct Offers {
    by_address: HashMap<Ipv4Addr, (Client, Instant)>,
    by_client: HashMap<Client, Ipv4Addr>,
    /// In the order of their end, which is that of their making.
    ends: VecDeque<(Instant, Ipv4Addr)>,
}

impl Offers {
    /// Makes one; gives the address of the client's former one.
    pub fn add(&mut self, now: Instant, client: Client, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let former = self.remove(&client);
        let until = now + OFFER;
        self.by_address.insert(address, (client.clone(), until));
        self.by_client.insert(client, address);
        self.ends.push_back((until, address));
        former
    }

    /// Withdraws a client's; gives its address.
    pub fn remove(&mut self, client: &Client) -> Option<Ipv4Addr> {
        let address = self.by_client.remove(client)?;
        self.by_address.remove(&address);
        Some(address)
    }

    /// Ends what has run out, each handed over.
    pub fn expire(&mut self, now: Instant, mut each: impl FnMut(Ipv4Addr)) {
        while let Some((until, address)) = self.ends.front().copied().filter(|(until, _)| *until <= now) {
            self.ends.pop_front();
            // An offer that was taken, or made anew, has left its first end behind.
            if self.by_address.get(&address).is_some_and(|(_, end)| *end == until)
                && let Some((client, _)) = self.by_address.remove(&address)
            {
                self.by_client.remove(&client);
                each(address);
            }
        }
    }

    /// Whether it is outstanding.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// To whom an address was offered.
    pub fn whose(&self, now: Instant, address: Ipv4Addr) -> Option<&Client> {
        self.by_address.get(&address).filter(|(_, until)| now < *until).map(|(client, _)| client)
    }

    /// What a client was offered.
    pub fn of(&self, now: Instant, client: &Client) -> Option<Ipv4Addr> {
        let address = *self.by_client.get(client)?;
        self.whose(now, address).map(|_| address)
    }
}

/// Addresses found in use, each with the end of its quarantine.
#[derive(Debug, Default)]
pub struct Conflicts(BTreeMap<Ipv4Addr, Instant>);

impl Conflicts {
    /// One more; gives those that thereby are in quarantine no longer.
    pub fn add(&mut self, now: Instant, address: Ipv4Addr) -> Vec<Ipv4Addr> {
        let mut over: Vec<Ipv4Addr> = self.0.iter().filter(|(_, until)| **until <= now).map(|(at, _)| *at).collect();
        if self.0.len() - over.len() >= MOST_CONFLICTS {
            over.extend(self.oldest(|_| true));
        }
        for address in &over {
            self.0.remove(address);
        }
        self.0.insert(address, now + QUARANTINE);
        over
    }

    /// Whether it is in quarantine.
    pub fn holds(&self, now: Instant, address: Ipv4Addr) -> bool {
        self.0.get(&address).is_some_and(|until| now < *until)
    }

    /// Whether it is known as one, its quarantine over or not.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.0.contains_key(&address)
    }

    /// Ends its quarantine.
    pub fn remove(&mut self, address: Ipv4Addr) {
        self.0.remove(&address);
    }

    /// The one found first among those that may be taken.
    pub fn oldest(&self, may: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        self.0
            .iter()
            .filter(|(address, _)| may(**address))
            .min_by_key(|(_, until)| **until)
            .map(|(address, _)| *address)
    }

    /// One whose quarantine is over.
    pub fn over(&self, now: Instant) -> Option<Ipv4Addr> {
        self.0.iter().find(|(_, until)| **until <= now).map(|(address, _)| *address)
    }
}
