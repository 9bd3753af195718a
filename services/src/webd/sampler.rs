//! Looks at the uplink every two seconds: what it has carried, and how long an echo to the provider's gateway takes.
use super::history::{History, Look, STEP};
use netstack::event::{Interest, Loop, Token};
use netstack::link::Link;
use netstack::netlink::Netlink;
use netstack::ping::{Heard, Ping};
use netstack::time::Instant;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Echoes come under this token.
pub const TOKEN: Token = Token(1);
/// Looks between two echoes, and echoes between two questions for the gateway.
const ECHO: u64 = 5;
const GATEWAY: u64 = 6;

/// The uplink's name.
const UPLINK: &str = "uplink0";

/// What is looked with.
#[derive(Debug)]
pub struct Sampler {
    netlink: Netlink,
    ping: Option<Ping>,
    gateway: Option<IpAddr>,
    turn: u64,
    sent: Option<(u16, Instant)>,
    rtt: Option<f32>,
    next: Instant,
}

impl Sampler {
    /// Begins at once.
    pub fn new(netlink: Netlink, now: Instant) -> Sampler {
        let (ping, gateway, sent, rtt) = (None, None, None, None);
        Sampler { netlink, ping, gateway, turn: 0, sent, rtt, next: now }
    }

    /// When the next look is due.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// The kernel's tables, for whoever shows them.
    pub fn netlink(&mut self) -> &mut Netlink {
        &mut self.netlink
    }

    /// Where the echoes go.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// Looks, if it is time: the look that came of it.
    pub fn look(&mut self, turn: &Loop, now: Instant, history: &mut History) -> Option<Look> {
        if now < self.next {
            return None;
        }
        self.next = (self.next + STEP).max(now + STEP / 2);
        let links = self.netlink.links().unwrap_or_default();
        let uplink = links.iter().find(|link| link.name == UPLINK);
        if self.turn.is_multiple_of(ECHO) {
            self.echo(turn, now, uplink);
        }
        self.turn += 1;
        let Some(uplink) = uplink else {
            history.gone();
            return None;
        };
        let counts = (uplink.statistics.received.bytes, uplink.statistics.sent.bytes);
        history.counted(Duration::from_nanos(now.as_nanos()), counts, self.rtt)
    }

    /// An echo has come back.
    pub fn ready(&mut self, now: Instant) {
        while let Some(Ok(Some(heard))) = self.ping.as_ref().map(Ping::receive) {
            if let (Heard::Reply { sequence, .. }, Some((wanted, at))) = (heard, self.sent)
                && sequence == wanted
            {
                self.rtt = Some(now.since(at).as_secs_f32() * 1_000.0);
                self.sent = None;
            }
        }
    }

    fn echo(&mut self, turn: &Loop, now: Instant, uplink: Option<&Link>) {
        if self.sent.take().is_some() || uplink.is_none() {
            // Nothing has come back of the last one.
            self.rtt = None;
        }
        if self.gateway.is_none() || self.turn.is_multiple_of(ECHO * GATEWAY) {
            let gateway = uplink.and_then(|uplink| self.way_out(uplink));
            if gateway != self.gateway {
                (self.gateway, self.ping, self.rtt) = (gateway, None, None);
            }
        }
        let Some(gateway) = self.gateway else { return };
        if self.ping.is_none() {
            let opened = Ping::open(gateway.is_ipv6()).and_then(|ping| {
                turn.add(&ping, TOKEN, Interest::READ)?;
                Ok(ping)
            });
            match opened {
                Ok(ping) => self.ping = Some(ping),
                // Before netconfigd has opened them to our groups, or by hand: the curve stays empty until then.
                Err(_) => return,
            }
        }
        let sequence = (self.turn / ECHO) as u16;
        let sent = self.ping.as_ref().map(|ping| ping.send(SocketAddr::new(gateway, 0), sequence, None));
        if matches!(sent, Some(Ok(()))) {
            self.sent = Some((sequence, now));
        }
    }

    /// The gateway of the default route by the uplink; IPv4's where there is one.
    fn way_out(&mut self, uplink: &Link) -> Option<IpAddr> {
        let routes = self.netlink.routes().ok()?;
        let ours = routes.iter().filter(|route| route.interface == Some(uplink.index));
        let default = ours.filter(|route| route.destination.prefix_len() == 0);
        let gateways = default.filter_map(|route| route.gateway);
        // A link-local one would want its interface beside it, which an echo does not say.
        gateways.filter(|gateway| gateway.is_ipv4()).min()
    }
}
