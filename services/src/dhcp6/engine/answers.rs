//! What servers' messages do to the client (RFC 9915, sections 18.2.9 and 18.2.10).
use super::exchange::{self, Exchange};
use super::{Action, Engine, State, words};
use crate::dhcp6::message::{Answer, For, name};
use netstack::time::Instant;
use netstack::wire::dhcpv6::{Kind, status};
use std::time::Duration;

/// IRT_DEFAULT and IRT_MINIMUM: when configuration without leases is asked for again, in seconds.
const REFRESH: (u32, u32) = (86_400, 600);

impl Engine {
    pub(super) fn received(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        if answer.client != self.identity.duid || !self.works() {
            return;
        }
        let of = |exchange: &Option<Exchange>| {
            exchange.as_ref().is_some_and(|exchange| exchange.xid == answer.xid && exchange.sent() > 0)
        };
        if answer.kind == Kind::Reply && of(&self.information) {
            return self.informed(now, answer, actions);
        }
        if !of(&self.exchange) {
            return;
        }
        actions.extend(
            answer
                .ignored
                .iter()
                .take(1)
                .map(|words| Action::Complain(format!("of a server's message is ignored: {words}"))),
        );
        let seconds = |limit: Option<u32>, before: u64| limit.map_or(before, u64::from);
        self.max_rt = (seconds(answer.sol_max_rt, self.max_rt.0), seconds(answer.inf_max_rt, self.max_rt.1));
        match (self.state, answer.kind) {
            (State::Soliciting, Kind::Advertise) => self.offered(now, answer, actions),
            (State::Soliciting, Kind::Reply) if answer.rapid_commit && self.wishes.rapid_commit => {
                self.obtained(now, answer, actions);
            }
            (State::Requesting, Kind::Reply) if self.is_asked(&answer.server) => self.obtained(now, answer, actions),
            (State::Renewing | State::Rebinding, Kind::Reply) => self.extended(now, answer, actions),
            (State::Confirming, Kind::Reply) => self.confirmed(now, answer, actions),
            (State::Releasing, Kind::Reply) => self.enter(State::Off, now),
            _ => {}
        }
    }

    fn is_asked(&self, server: &[u8]) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.server == server)
    }

    /// How much an offer is worth: a prefix is what the LAN lives on, then the server's preference counts.
    fn worth(&self, answer: &Answer) -> Option<(bool, u8, bool)> {
        let prefix = answer.offers(For::Prefix) && self.wishes.want(For::Prefix);
        let address = answer.offers(For::Address) && self.wishes.want(For::Address);
        (prefix || address).then_some((prefix, answer.preference, address))
    }

    fn offered(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        if let Some(exchange) = &mut self.exchange {
            exchange.limit(self.max_rt.0);
        }
        let Some(worth) = self.worth(answer).filter(|_| answer.status.is_none()) else {
            let why =
                answer.status.as_ref().map(words).or_else(|| answer.ias.iter().find_map(|ia| ia.status).map(name));
            actions.push(Action::Complain(format!(
                "a server has nothing for us: {}",
                why.unwrap_or_else(|| "no lease".into())
            )));
            return;
        };
        let best = self.offer.as_ref().and_then(|offer| self.worth(offer));
        if best.is_none_or(|best| worth > best) {
            self.offer = Some(answer.clone());
        }
        let waited = self.exchange.as_ref().is_some_and(|exchange| exchange.sent() > 1);
        if waited || (answer.preference == u8::MAX && worth.0) {
            self.enter(State::Requesting, now);
            self.go_on(now, actions);
        }
    }

    /// The final answer to a SOLICIT or a REQUEST.
    fn obtained(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        if let Some(status) = &answer.status {
            actions.push(Action::Complain(format!("a server refuses: {}", words(status))));
            match status.0 {
                // It cannot now, or wants what it gets anyway: the message is repeated in its time.
                status::UNSPEC_FAIL | status::USE_MULTICAST => {}
                _ => self.retry(State::Soliciting, now, actions),
            }
            return;
        }
        if self.worth(answer).is_none() {
            let why = answer.ias.iter().find_map(|ia| ia.status).map_or_else(|| "no lease".into(), name);
            actions.push(Action::Complain(format!("a server has taken its offer back: {why}")));
            return self.retry(State::Soliciting, now, actions);
        }
        self.bindings.replace(now, answer);
        self.bound(now, actions);
    }

    /// An answer to a RENEW or REBIND.
    fn extended(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        if let Some(status) = &answer.status {
            actions.push(Action::Complain(format!("a server does not extend: {}", words(status))));
            match status.0 {
                status::UNSPEC_FAIL | status::USE_MULTICAST => {}
                status::NO_BINDING => self.unknown(now, answer, actions),
                _ => self.retry(State::Soliciting, now, actions),
            }
            return;
        }
        let had_prefix = self.bindings.valid(For::Prefix, now).next().is_some();
        let before = self.bindings.clone();
        self.bindings.extend(now, answer);
        if answer.ias.iter().any(|ia| ia.status == Some(status::NO_BINDING)) {
            self.keep(now, actions);
            return self.unknown(now, answer, actions);
        }
        let prefix = self.bindings.valid(For::Prefix, now).next().is_some();
        let refused =
            answer.ias.iter().find(|ia| ia.is_for == For::Prefix && !answer.offers(For::Prefix)).map(|ia| ia.status);
        if let Some(why) = refused.filter(|_| had_prefix && self.wishes.want(For::Prefix)) {
            // It stays in use until its valid lifetime ends; meanwhile whoever has another is welcome.
            let why = why.map_or_else(|| "it holds nothing".into(), name);
            let still = if prefix { "stays in use while it is valid" } else { "is gone" };
            actions.push(Action::Complain(format!("the prefix is not extended ({why}) and {still}")));
            self.keep(now, actions);
            return self.retry(State::Soliciting, now, actions);
        }
        // What the answer does not name is asked for again, as if it had not come.
        let named = |is_for: For| answer.ias.iter().any(|ia| ia.is_for == is_for && !ia.items.is_empty());
        let missing = self.bindings.valid(For::Prefix, now).next().is_some()
            && !named(For::Prefix)
            && self.wishes.want(For::Prefix);
        if missing || !self.bindings.any_valid(now) {
            actions.push(Action::Complain("a server's answer does not name our leases".into()));
            if self.bindings != before {
                self.keep(now, actions);
            }
            return;
        }
        self.bound(now, actions);
    }

    /// The server does not know (some of) our leases: it is asked for them, by REQUEST.
    fn unknown(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        actions.push(Action::Complain("a server does not know our leases (NoBinding): asking it for them".into()));
        let held = |is_for: For, iaid: u32| {
            let of_iaid =
                self.bindings.all.iter().filter(move |binding| (binding.is_for, binding.iaid) == (is_for, iaid));
            of_iaid.flat_map(|binding| &binding.items).filter(|item| item.is_valid(now))
        };
        let mut offer = answer.clone();
        for ia in &mut offer.ias {
            let item = |item: &crate::perm::lease6::Timed<ipnet::Ipv6Net>| crate::dhcp6::message::Item {
                net: item.value,
                preferred: 0,
                valid: 0,
            };
            ia.items = held(ia.is_for, ia.iaid).map(item).collect();
        }
        self.offer = Some(offer);
        self.retry(State::Requesting, now, actions);
    }

    /// An answer to a CONFIRM.
    fn confirmed(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        if let Some(status) = answer.status.as_ref().filter(|status| status.0 == status::NOT_ON_LINK) {
            actions.push(Action::Say(format!("the address does not fit the link any more: {}", words(status))));
            self.bindings.all.retain(|binding| binding.is_for == For::Prefix);
            self.keep(now, actions);
            return self.retry(State::Soliciting, now, actions);
        }
        actions.push(Action::Say("the address still fits".into()));
        self.enter(State::Bound, now);
        // Its times were not written down: it is renewed soon.
        for binding in &mut self.bindings.all {
            binding.t1 = now;
        }
        self.timeout(now, actions);
    }

    /// Configuration without leases.
    fn informed(&mut self, now: Instant, answer: &Answer, actions: &mut Vec<Action>) {
        if let Some(limit) = answer.inf_max_rt {
            self.max_rt.1 = limit.into();
        }
        if let Some(status) = &answer.status {
            actions.push(Action::Complain(format!("a server does not inform: {}", words(status))));
            return;
        }
        let refresh = answer.refresh.unwrap_or(REFRESH.0).max(REFRESH.1);
        let at = now + Duration::from_secs(refresh.into());
        self.information = Some(Exchange::new(exchange::INFORMATION, at, &mut self.random));
        let server = std::mem::take(&mut self.bindings.server);
        let bare = Answer { ias: Vec::new(), ..answer.clone() };
        self.bindings.extend(now, &bare);
        self.bindings.server = server;
        actions.push(Action::Say(format!("knows {} DNS servers, without leases", self.bindings.dns.len())));
        self.keep(now, actions);
    }
}
