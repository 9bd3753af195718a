//! The client's state machine: RFC 2131 figure 5, with one difference: the end of a lease takes nothing away.
//!
//! Time, packets and the link come in as [`Event`]s, what is to be done goes out as [`Action`]s. The one timer is
//! [`Engine::deadline`]. What it sends and when is in `timers`, what answers do to it in `answers`.
mod answers;
mod timers;

use super::message::{Answer, Lease};
use super::wishes::Wishes;
use crate::house::random::Random;
use crate::perm::Mac;
use netstack::time::Instant;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The states of RFC 2131, figure 5 (REBOOTING is counted as INIT-REBOOT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Without a link, released, or in the pause after a NAK.
    Init,
    /// Asking for the address held before.
    InitReboot,
    /// Looking for a server.
    Selecting,
    /// Asking for the offered address.
    Requesting,
    /// All is well until T1.
    Bound,
    /// Past T1: asking the server that gave the lease.
    Renewing,
    /// Past T2: asking any server.
    Rebinding,
}

/// What happens to the client.
#[derive(Debug)]
pub enum Event<'a> {
    /// The interface's hardware address while it has a carrier, else nothing.
    Link(Option<Mac>),
    /// The address that the interface is to take by interfaces.json, if any.
    Spoof(Option<Mac>),
    /// What the provider wants to be told and asked.
    Wishes(Wishes),
    /// A person has configured the uplink by hand (or has stopped doing so).
    Rest(bool),
    /// Somebody with this hardware address says that an address is his.
    Claimed(Mac, Ipv4Addr),
    /// A DHCP message arrived for port 68.
    Received(&'a Answer),
    /// [`Engine::deadline`] has come.
    Timeout,
    /// A person wants the lease given back.
    Release,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a message to 255.255.255.255 from `source`, in a broadcast frame.
    Broadcast {
        /// The IP source; 0.0.0.0 without an address.
        source: Ipv4Addr,
        /// The DHCP message.
        message: Vec<u8>,
    },
    /// Send a message to a server, routed as the kernel sees fit.
    Unicast {
        /// The server.
        server: Ipv4Addr,
        /// The IP source, which netconfigd has put on the interface.
        source: Ipv4Addr,
        /// The DHCP message.
        message: Vec<u8>,
    },
    /// Write the lease down and announce it.
    Obtained(Lease),
    /// Write the configuration down that was in use before; its lease is not held any more.
    Restored(Lease),
    /// Ask by ARP whether somebody else has the address, and listen for [`CONFLICT`].
    Probe(Mac, Ipv4Addr),
    /// Forget the stored ACK. Configuration stays.
    Forget,
    /// A line for the log.
    Say(String),
    /// A line for the log that any packet may cause: to be said rarely.
    Complain(String),
}

/// How long somebody else may answer for an address that we have begun to use.
pub const CONFLICT: Duration = Duration::from_secs(2);

/// The lease in hand.
#[derive(Debug)]
struct Held {
    lease: Lease,
    /// When its REQUEST was sent, from which its times count; unknown for one that came from the disk.
    since: Option<Instant>,
}

/// The client of one interface.
#[derive(Debug)]
pub struct Engine {
    state: State,
    wishes: Wishes,
    rests: bool,
    link: Option<Mac>,
    spoof: Option<Mac>,
    held: Option<Held>,
    /// The configuration that is in use, whatever has become of its lease.
    in_use: Option<Lease>,
    /// The address that is being checked, until when, and the configuration before it.
    checked: Option<(Ipv4Addr, Instant, Option<Lease>)>,
    offer: Option<Lease>,
    xid: u32,
    /// When this exchange began, for `secs`.
    began: Instant,
    /// When the last REQUEST left: the lease counts from then (RFC 2131, section 4.4.1).
    asked: Instant,
    tries: u32,
    foreign_nak: bool,
    deadline: Option<Instant>,
    random: Random,
}

impl Engine {
    /// A client that has no link yet; `stored` is the lease of the ACK kept from before.
    pub fn new(now: Instant, wishes: Wishes, stored: Option<Lease>, random: Random) -> Engine {
        Engine {
            state: State::Init,
            wishes,
            rests: false,
            link: None,
            spoof: None,
            in_use: stored.clone(),
            checked: None,
            held: stored.map(|lease| Held { lease, since: None }),
            offer: None,
            xid: 0,
            began: now,
            asked: now,
            tries: 0,
            foreign_nak: false,
            deadline: None,
            random,
        }
    }

    /// The state it is in.
    #[cfg(test)]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether a server may be about to answer.
    pub fn awaits_answer(&self) -> bool {
        !matches!(self.state, State::Init | State::Bound)
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Takes one event; what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Link(link) => {
                if self.link != link {
                    self.link = link;
                    self.begin(now, &mut actions);
                }
            }
            Event::Spoof(spoof) => {
                let before = self.mac();
                self.spoof = spoof;
                if self.mac() != before {
                    self.begin(now, &mut actions);
                }
            }
            Event::Wishes(wishes) => {
                if self.wishes != wishes {
                    self.wishes = wishes;
                    self.begin(now, &mut actions);
                }
            }
            Event::Rest(rests) => {
                if std::mem::replace(&mut self.rests, rests) != rests {
                    actions.extend(
                        rests.then(|| Action::Say("the uplink is configured without DHCP: resting".to_owned())),
                    );
                    self.begin(now, &mut actions);
                }
            }
            Event::Claimed(by, address) => self.claimed(now, by, address, &mut actions),
            Event::Received(answer) => self.received(now, answer, &mut actions),
            Event::Timeout => {
                if self.deadline.is_some_and(|deadline| deadline <= now) {
                    self.timeout(now, &mut actions);
                }
            }
            Event::Release => self.release(now, &mut actions),
        }
        actions
    }

    /// The address to ask with: the one the interface is to take, even before netconfigd has set it.
    fn mac(&self) -> Option<Mac> {
        self.link.filter(|_| !self.rests).and(self.spoof.or(self.link))
    }

    /// The address in hand, if its lease has not run out.
    fn current(&self, now: Instant) -> Option<Ipv4Addr> {
        let held = self.held.as_ref()?;
        held.since.is_none_or(|since| now < since + held.lease.duration()).then_some(held.lease.address)
    }

    /// The link has come, gone or changed: the old address is asked for at once, else any.
    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.offer = None;
        self.checked = None;
        if self.mac().is_none() {
            actions.extend((!self.rests).then(|| Action::Say("no carrier".to_owned())));
            self.state = State::Init;
            self.deadline = None;
        } else if let Some(address) = self.current(now) {
            actions.push(Action::Say(format!("asking for {address} again")));
            self.enter(State::InitReboot, now, actions);
        } else {
            actions.push(Action::Say("looking for a server".to_owned()));
            self.enter(State::Selecting, now, actions);
        }
    }

    /// Begins an exchange: new xid, `secs` from zero, first transmission at once.
    fn enter(&mut self, state: State, now: Instant, actions: &mut Vec<Action>) {
        self.state = state;
        self.tries = 0;
        self.foreign_nak = false;
        // REQUESTING goes on with the xid of its OFFER and the `secs` of its DISCOVER.
        if state != State::Requesting {
            self.xid = self.random.next_u32();
            self.began = now;
        }
        self.transmit(now, actions);
    }
}
