//! The client's state machine: RFC 2131 figure 5, with one difference: the end of a lease takes nothing away.
//!
//! Time, packets and the link come in as [`Event`]s, what is to be done goes out as [`Action`]s. The one timer is
//! [`Engine::deadline`].
use super::message::{Answer, Identity, Kind, Lease, Request};
use crate::house::random::Random;
use crate::perm::Mac;
use netstack::time::Instant;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Transmissions of a REQUEST in INIT-REBOOT before it is left for a DISCOVER: at 0 and 4 s, left at 12 s.
const REBOOT_TRIES: u32 = 2;
/// Transmissions of a REQUEST for an offer before another is sought: at 0, 4, 12 and 28 s, left at 60 s.
const REQUEST_TRIES: u32 = 4;
/// The pause after the NAK of an address that was just offered, lest two servers keep us in a circle.
const PAUSE_AFTER_NAK: Duration = Duration::from_secs(10);
/// Between two REQUESTs in RENEWING or REBINDING (RFC 2131, section 4.4.5).
const SHORTEST_RENEWAL: Duration = Duration::from_secs(60);

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
    /// Forget the stored ACK. Configuration stays.
    Forget,
    /// A line for the log.
    Say(String),
}

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
    hostname: String,
    link: Option<Mac>,
    spoof: Option<Mac>,
    held: Option<Held>,
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
    pub fn new(now: Instant, hostname: String, stored: Option<Lease>, random: Random) -> Engine {
        Engine {
            state: State::Init,
            hostname,
            link: None,
            spoof: None,
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
        self.link.and(self.spoof.or(self.link))
    }

    /// The address in hand, if its lease has not run out.
    fn current(&self, now: Instant) -> Option<Ipv4Addr> {
        let held = self.held.as_ref()?;
        held.since.is_none_or(|since| now < since + held.lease.duration()).then_some(held.lease.address)
    }

    /// The link has come, gone or changed: the old address is asked for at once, else any.
    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.offer = None;
        if self.mac().is_none() {
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

    /// Sends the message of the present state and sets the timer for the next.
    fn transmit(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(mac) = self.mac() else { return };
        let held = self.held.as_ref().map(|held| (held.lease.address, held.lease.server));
        let address = held.map(|(address, _)| address);
        let mut request = Request {
            kind: Kind::Request,
            xid: self.xid,
            secs: u16::try_from((now - self.began).as_secs()).unwrap_or(u16::MAX),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            requested: None,
            server: None,
        };
        let mut server = None;
        match self.state {
            State::Init | State::Bound => return,
            State::InitReboot => request.requested = address,
            State::Selecting => {
                request.kind = Kind::Discover;
                request.requested = address;
            }
            State::Requesting => {
                request.requested = self.offer.as_ref().map(|offer| offer.address);
                request.server = self.offer.as_ref().and_then(|offer| offer.server);
            }
            State::Renewing | State::Rebinding => {
                request.ciaddr = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
                server = held.and_then(|(_, server)| server).filter(|_| self.state == State::Renewing);
            }
        }
        let message = request.emit(&Identity { mac, hostname: &self.hostname });
        let source = request.ciaddr;
        actions.push(match server {
            Some(server) => Action::Unicast { server, source, message },
            None => Action::Broadcast { source, message },
        });
        self.asked = now;
        self.deadline = Some(self.next_try(now));
        self.tries = self.tries.saturating_add(1);
    }

    fn next_try(&mut self, now: Instant) -> Instant {
        let end = match (self.state, &self.held) {
            (State::Renewing, Some(Held { lease, since: Some(since) })) => *since + lease.t2(),
            (State::Rebinding, Some(Held { lease, since: Some(since) })) => *since + lease.duration(),
            _ => {
                // 4, 8, 16, 32, 64, 64, ... seconds, each a second more or less.
                let seconds = 4u64 << self.tries.min(4);
                return now + Duration::from_millis(seconds * 1_000 - 1_000 + u64::from(self.random.below(2_001)));
            }
        };
        end.min(now + ((end - now) / 2).max(SHORTEST_RENEWAL))
    }

    fn timeout(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let ends = self.held.as_ref().and_then(|held| {
            let since = held.since?;
            Some((since + held.lease.t2(), since + held.lease.duration()))
        });
        match (self.state, ends) {
            (State::Bound, _) => {
                actions.push(Action::Say("renewing".to_owned()));
                self.enter(State::Renewing, now, actions);
            }
            (State::Renewing, Some((t2, _))) if now >= t2 => {
                actions.push(Action::Say("the server is silent, asking any server (REBINDING)".to_owned()));
                self.enter(State::Rebinding, now, actions);
            }
            (State::Rebinding, Some((_, end))) if now >= end => {
                let text = "the lease has run out: its configuration stays, looking for a server";
                self.discover(now, text, actions);
            }
            (State::Renewing, _) => self.transmit(now, actions),
            (State::Rebinding, _) if !self.foreign_nak => self.transmit(now, actions),
            (State::InitReboot, _) if self.tries < REBOOT_TRIES && !self.foreign_nak => self.transmit(now, actions),
            (State::Requesting, _) if self.tries < REQUEST_TRIES => self.transmit(now, actions),
            (State::Selecting, _) => self.transmit(now, actions),
            (State::Init, _) => self.enter(State::Selecting, now, actions),
            _ => self.discover(now, "no answer, looking for a server", actions),
        }
    }

    fn discover(&mut self, now: Instant, why: &str, actions: &mut Vec<Action>) {
        self.offer = None;
        actions.push(Action::Say(why.to_owned()));
        self.enter(State::Selecting, now, actions);
    }

    fn received(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        if self.mac() != Some(answer.chaddr) || answer.xid != self.xid {
            return;
        }
        match (answer.kind, self.state, &answer.lease) {
            (Kind::Offer, State::Selecting, Some(offer)) => {
                let server = offer.server.map_or_else(String::new, |server| format!(" by {server}"));
                actions.push(Action::Say(format!("offered {}{server}", offer.address)));
                self.offer = Some(offer.clone());
                self.enter(State::Requesting, now, actions);
            }
            // The ACK may name another server than the OFFER did; some providers' do.
            (Kind::Ack, State::InitReboot | State::Requesting | State::Renewing | State::Rebinding, Some(lease)) => {
                self.bound(lease.clone(), actions);
            }
            (Kind::Nak, State::InitReboot | State::Requesting | State::Renewing | State::Rebinding, _) => {
                self.refused(now, answer.server, actions);
            }
            _ => {}
        }
    }

    fn bound(&mut self, mut lease: Lease, actions: &mut Vec<Action>) {
        if let Some(earlier) = self.offer.take().or_else(|| self.held.take().map(|held| held.lease)) {
            lease.fill_from(&earlier);
        }
        let (t1, end) = (lease.t1().as_secs(), lease.duration().as_secs());
        let mut text = format!("has {}/{} for {end} s, renewal in {t1} s", lease.address, lease.prefix());
        if let Some(server) = lease.server {
            text.push_str(&format!(", from {server}"));
        }
        actions.push(Action::Say(text));
        actions.push(Action::Obtained(lease.clone()));
        self.state = State::Bound;
        self.deadline = Some(self.asked + lease.t1());
        self.held = Some(Held { lease, since: Some(self.asked) });
    }

    fn refused(&mut self, now: Instant, server: Option<Ipv4Addr>, actions: &mut Vec<Action>) {
        let requesting = self.state == State::Requesting;
        let lease = if requesting { self.offer.as_ref() } else { self.held.as_ref().map(|held| &held.lease) };
        let ours = lease.and_then(|lease| lease.server);
        let by = server.map_or_else(String::new, |server| format!(" by {server}"));
        if ours.is_some() && ours != server {
            // Whoever it is may be right (another network) or meddling: it counts only if our own stays silent.
            if !self.foreign_nak {
                actions.push(Action::Say(format!("a refusal{by}, which is not the server asked, is ignored")));
            }
            self.foreign_nak = true;
            return;
        }
        self.held = None;
        self.offer = None;
        actions.push(Action::Say(format!("refused{by}; the configuration stays until another comes")));
        actions.push(Action::Forget);
        if requesting {
            self.state = State::Init;
            self.deadline = Some(now + PAUSE_AFTER_NAK);
        } else {
            self.enter(State::Selecting, now, actions);
        }
    }

    fn release(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let (Some(mac), Some(address)) = (self.mac(), self.current(now)) {
            let server = self.held.as_ref().and_then(|held| held.lease.server);
            let request = Request {
                kind: Kind::Release,
                xid: self.random.next_u32(),
                secs: 0,
                ciaddr: address,
                requested: None,
                server,
            };
            let message = request.emit(&Identity { mac, hostname: &self.hostname });
            actions.push(match server {
                Some(server) => Action::Unicast { server, source: address, message },
                None => Action::Broadcast { source: address, message },
            });
            actions.push(Action::Say(format!("{address} given back; the next link or start asks anew")));
        }
        actions.push(Action::Forget);
        (self.held, self.offer, self.deadline) = (None, None, None);
        self.state = State::Init;
    }
}
