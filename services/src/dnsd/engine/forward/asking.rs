//! Whom a question goes to, and when the next one's turn comes.
use super::super::flight::{Live, message};
use super::super::upstream::Upstream;
use super::super::{Action, Transport};
use super::{AGAIN, Forward, MOST_ASKED, TCP, attempt};
use netstack::time::Instant;

impl Forward {
    // The first time: the best one, and beside it one of whom too little is known.
    pub(super) fn begin(&mut self, now: Instant, at: usize, actions: &mut Vec<Action>) {
        self.ask(now, at, actions);
        let Some(Some(flight)) = self.flights.get(at) else { return };
        let unknown = |member: &&u8| {
            let upstream = self.upstreams.get(usize::from(**member));
            flight.tried & 1 << **member == 0 && upstream.is_some_and(|upstream| upstream.wants_measure(now))
        };
        let measured = self.members(flight.group).iter().find(unknown).copied();
        if let Some(measured) = measured {
            let next = flight.next;
            self.send(now, at, measured, Transport::Udp, actions);
            let left =
                self.flights.get(at).and_then(Option::as_ref).is_some_and(|flight| {
                    self.members(flight.group).iter().any(|member| flight.tried & 1 << member == 0)
                });
            if let Some(Some(flight)) = self.flights.get_mut(at)
                && left
            {
                flight.next = next;
            }
        }
    }

    // Asks the best one whose turn it is; a new round begins when all had theirs.
    pub(super) fn ask(&mut self, now: Instant, at: usize, actions: &mut Vec<Action>) {
        let Some(Some(flight)) = self.flights.get(at) else { return };
        let best = |mask: u32| {
            let members = self.members(flight.group).iter().copied().filter(|member| mask & 1 << member == 0);
            members.min_by_key(|member| self.upstreams.get(usize::from(*member)).map(Upstream::rank))
        };
        let first = best(flight.tried | flight.failed);
        let (upstream, again) = match first {
            Some(first) => (Some(first), false),
            None => (best(flight.failed), true),
        };
        if let Some(Some(flight)) = self.flights.get_mut(at)
            && again
        {
            flight.tried = flight.failed;
            flight.round = flight.round.saturating_add(1);
        }
        match upstream {
            Some(upstream) => self.send(now, at, upstream, Transport::Udp, actions),
            None => self.rest(at),
        }
    }

    // Nothing more is asked; what is under way may still come.
    fn rest(&mut self, at: usize) {
        if let Some(Some(flight)) = self.flights.get_mut(at) {
            flight.next = flight.end;
            let wake = flight.end;
            self.wake = Some(self.wake.map_or(wake, |earlier| earlier.min(wake)));
        }
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        at: usize,
        number: u8,
        transport: Transport,
        actions: &mut Vec<Action>,
    ) {
        let Some(Some(flight)) = self.flights.get_mut(at) else { return };
        let Some(upstream) = self.upstreams.get_mut(usize::from(number)).filter(|_| flight.asked < MOST_ASKED) else {
            return self.rest(at);
        };
        // Who is asked over TLS is asked in no other way.
        let transport = if upstream.server.is_secure() { Transport::Tls } else { transport };
        flight.tried |= 1 << number;
        flight.asked += 1;
        upstream.ask(now);
        let members = self.groups.get(usize::from(flight.group)).map(|(_, members)| members.as_slice());
        let others = members.unwrap_or_default().iter().any(|member| (flight.tried | flight.failed) & 1 << member == 0);
        let pause = match transport {
            _ if !others => AGAIN.max(upstream.hedge() * 2) * (1 << flight.round.min(4)),
            Transport::Udp | Transport::Tls => upstream.hedge(),
            Transport::Tcp => TCP.max(upstream.hedge() * 2),
        };
        flight.next = now + pause;
        let wake = flight.next.min(flight.end);
        self.wake = Some(self.wake.map_or(wake, |earlier| earlier.min(wake)));
        self.serial = self.serial.wrapping_add(1);
        let (id, capitals) = (
            (self.random)() as u16,
            match transport {
                // Nobody beside the way can forge what comes over TLS.
                Transport::Udp | Transport::Tcp if upstream.keeps_case => (self.random)(),
                _ => 0,
            },
        );
        let with_edns = !flight.plain;
        let message = message(id, &flight.key, capitals, with_edns, transport == Transport::Tls);
        let live =
            Live { serial: self.serial, id, upstream: number, with_edns, transport, sent: now, cold: false, capitals };
        let (new, to, patience) = (attempt(at, &live), upstream.server.clone(), upstream.hedge());
        let room = flight.room();
        if let Some(old) = flight.live.get_mut(room).and_then(|place| place.replace(live)) {
            actions.push(Action::Close(attempt(at, &old)));
        }
        actions.push(Action::Ask { attempt: new, to, transport, message, patience });
    }
}
