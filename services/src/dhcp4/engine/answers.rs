//! What the answers of servers do to the client; and giving the lease back.
use super::{Action, CONFLICT, Engine, Held, State};
use crate::dhcp4::message::{Answer, Identity, Kind, Lease, Request};
use crate::perm::Mac;
use netstack::time::Instant;
use std::net::Ipv4Addr;
use std::time::Duration;

/// After so long a provider is looked for behind a modem that has no line yet.
const MODEM: Duration = Duration::from_secs(15);
/// The pause after a NAK of an address that was just offered, lest two servers keep us in a circle, and after a DECLINE.
const PAUSE_AFTER_NAK: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn received(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
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
                actions.extend(answer.ignored.iter().map(|words| Action::Complain(format!("ignored: {words}"))));
                self.bound(now, lease.clone(), actions);
            }
            (Kind::Nak, State::InitReboot | State::Requesting | State::Renewing | State::Rebinding, _) => {
                self.refused(now, answer.server, actions);
            }
            _ => {}
        }
    }

    fn bound(&mut self, now: Instant, mut lease: Lease, actions: &mut Vec<Action>) {
        let fresh = matches!(self.state, State::InitReboot | State::Requesting);
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
        let before = self.in_use.replace(lease.clone());
        if let Some(mac) = self.mac().filter(|_| fresh) {
            // Used at once; whoever has it already is heard meanwhile.
            actions.push(Action::Probe(mac, lease.address));
            let before = before.filter(|before| before.address != lease.address);
            self.checked = Some((lease.address, now + CONFLICT, before));
        }
        self.state = State::Bound;
        let renewal = if lease.smells_of_a_modem() { lease.t1().min(MODEM) } else { lease.t1() };
        self.deadline = Some(self.asked + renewal);
        self.held = Some(Held { lease, since: Some(self.asked) });
    }

    /// Somebody else has the address: he keeps it.
    pub(super) fn claimed(&mut self, now: Instant, by: Mac, address: Ipv4Addr, actions: &mut Vec<Action>) {
        let ours = [self.link, self.spoof].contains(&Some(by));
        let checked = self.checked.as_ref().is_some_and(|(checked, until, _)| *checked == address && now < *until);
        let (Some(mac), true, false) = (self.mac(), checked, ours) else { return };
        let request = Request {
            kind: Kind::Decline,
            xid: self.random.next_u32(),
            secs: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            requested: Some(address),
            server: self.held.as_ref().and_then(|held| held.lease.server),
        };
        let message = request.emit(&Identity { mac, wishes: &self.wishes });
        actions.push(Action::Broadcast { source: Ipv4Addr::UNSPECIFIED, message });
        actions.push(Action::Forget);
        let before = self.checked.take().and_then(|(_, _, before)| before);
        let then = if before.is_some() { "; the configuration before it is back" } else { "" };
        actions.push(Action::Say(format!("{address} is used by {by}: declined{then}")));
        actions.extend(before.clone().map(Action::Restored));
        (self.in_use, self.held, self.offer) = (before, None, None);
        self.state = State::Init;
        self.deadline = Some(now + PAUSE_AFTER_NAK);
    }

    fn refused(&mut self, now: Instant, server: Option<Ipv4Addr>, actions: &mut Vec<Action>) {
        let requesting = self.state == State::Requesting;
        let lease = if requesting { self.offer.as_ref() } else { self.held.as_ref().map(|held| &held.lease) };
        let ours = lease.and_then(|lease| lease.server);
        let by = server.map_or_else(String::new, |server| format!(" by {server}"));
        if ours.is_some() && ours != server {
            // Whoever it is may be right (another network) or meddling: it counts only if our own stays silent.
            if !self.foreign_nak {
                actions.push(Action::Complain(format!("a refusal{by}, which is not the server asked, is ignored")));
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

    pub(super) fn release(&mut self, now: Instant, actions: &mut Vec<Action>) {
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
            let message = request.emit(&Identity { mac, wishes: &self.wishes });
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
