//! Fresh offers that wait until the LAN had its say: whether somebody else has the address already (RFC 2131, section
//! 2.2). The answer is late by less than 100 ms.
use crate::dhcp4d::message::Query;
use crate::perm::Mac;
use netstack::time::Instant;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long an answer to the probe is awaited: between this and [`STEP`] more.
const WAIT: Duration = Duration::from_millis(75);
/// Offers that are due within this are sent together.
const STEP: u64 = 15;
/// Less than this is no time to ask about another address.
const SHORTEST: Duration = Duration::from_millis(20);
/// More offers at a time are sent unasked.
const MOST: usize = 256;

/// One offer.
#[derive(Debug)]
pub struct Offer {
    /// When it is sent.
    pub due: Instant,
    /// The network's place.
    pub net: usize,
    /// What is answered.
    pub query: Query,
    /// The address that is to be offered.
    pub address: Ipv4Addr,
}

/// Offers in the order in which they are due.
#[derive(Debug, Default)]
pub struct Waiting(VecDeque<Offer>);

impl Waiting {
    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.0.len() < MOST
    }

    /// Whether the client's offer is waiting already.
    pub fn has(&self, query: &Query) -> bool {
        self.0.iter().any(|offer| offer.query.client == query.client)
    }

    /// Lets one wait.
    pub fn add(&mut self, now: Instant, net: usize, query: Query, address: Ipv4Addr) {
        let due = Instant::from_millis((now + WAIT).as_millis() / STEP * STEP + STEP);
        self.0.push_back(Offer { due, net, query, address });
    }

    /// When the next is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|offer| offer.due)
    }

    /// One that is due.
    pub fn due(&mut self, now: Instant) -> Option<Offer> {
        self.0.front().filter(|offer| offer.due <= now)?;
        self.0.pop_front()
    }

    /// One of whose address somebody else says that it has it.
    pub fn struck(&mut self, nets: &[bool], mac: Mac, address: Ipv4Addr) -> Option<Offer> {
        let hit = |offer: &Offer| {
            offer.address == address && offer.query.client.mac != mac && nets.get(offer.net) == Some(&true)
        };
        let at = self.0.iter().position(hit)?;
        self.0.remove(at)
    }

    /// Puts one back with another address, in its old turn; it comes back when there is no time left to ask.
    pub fn again(&mut self, now: Instant, offer: Offer) -> Option<Offer> {
        if offer.due < now + SHORTEST {
            return Some(offer);
        }
        let at = self.0.partition_point(|other| other.due <= offer.due);
        self.0.insert(at, offer);
        None
    }

    /// Forgets all: the networks are others now.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
