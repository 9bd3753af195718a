//! What is sent in which state, and when the next is due.
use super::{Action, Engine, Held, State};
use crate::dhcp4::message::{Identity, Kind, Request};
use netstack::time::Instant;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Transmissions of a REQUEST in INIT-REBOOT before it is left for a DISCOVER: at 0 and 4 s, left at 12 s.
const REBOOT_TRIES: u32 = 2;
/// Transmissions of a REQUEST for an offer before another is sought: at 0, 4, 12 and 28 s, left at 60 s.
const REQUEST_TRIES: u32 = 4;
/// Between two REQUESTs in RENEWING or REBINDING (RFC 2131, section 4.4.5).
const SHORTEST_RENEWAL: Duration = Duration::from_secs(60);

impl Engine {
    /// Sends the message of the present state and sets the timer for the next.
    pub(super) fn transmit(&mut self, now: Instant, actions: &mut Vec<Action>) {
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
                // Not the modem's again: somebody else's is wanted.
                let modem = self.held.as_ref().is_some_and(|held| held.lease.smells_of_a_modem());
                request.requested = address.filter(|_| !modem);
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
        let message = request.emit(&Identity { mac, wishes: &self.wishes });
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

    pub(super) fn timeout(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let ends = self.held.as_ref().and_then(|held| {
            let since = held.since?;
            Some((since + held.lease.t2(), since + held.lease.duration()))
        });
        match (self.state, ends) {
            (State::Bound, _) if self.held.as_ref().is_some_and(|held| held.lease.smells_of_a_modem()) => {
                self.discover(now, "the address looks like a modem's own: looking for the provider", actions);
            }
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
}
