//! Where WireGuard's peers are: the addresses of names, asked for again when a peer has not been heard for long and when
//! the uplink has changed. Pure: it is told the time, what the kernel holds and what was answered.
use super::{Found, Place, UPLINK};
use crate::house::asking::Question;
use crate::perm::wireguard::{Endpoint, Tunnels};
use ipnet::IpNet;
use netstack::time::Instant;
use netstack::wireguard::{Device, Key};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Both sides agree on new keys every two minutes while packets go; older keys say that none get through (the protocol's
/// REKEY_AFTER_TIME of 120 s, with a rekey's time-outs).
const STALE: Duration = Duration::from_secs(135);
/// How often it is looked whether a peer was heard.
const LOOK: Duration = Duration::from_secs(30);
/// First and longest wait before a name without an address is asked for again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest wait for a peer that stays silent while its name has the same address.
const SILENT: Duration = Duration::from_secs(300);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Failures after which it is said: at the start of the machine a few are usual.
const QUIET: u32 = 3;
/// Addresses of one name that are looked at.
const MOST: usize = 16;

/// A peer with an endpoint.
#[derive(Debug)]
struct Held {
    endpoint: Endpoint,
    at: Option<SocketAddr>,
    insist: bool,
    /// The last handshake, as the kernel shows it, and since when it shows that one.
    handshake: Duration,
    since: Instant,
    /// Bytes sent to it, and whether there were more while it was silent: then its address is no use.
    sent: u64,
    in_vain: bool,
}

impl Held {
    fn is_stale(&self, now: Instant) -> bool {
        now.since(self.since) > STALE
    }
}

/// A name.
#[derive(Debug, Default)]
struct Name {
    /// When it is to be asked for.
    ask_at: Option<Instant>,
    wait: Duration,
    /// Questions without an answer yet, and until when one is waited for.
    open: Vec<u16>,
    until: Option<Instant>,
    gathered: Vec<IpAddr>,
    failures: u32,
}

impl Name {
    fn ask(&mut self, now: Instant) {
        if self.open.is_empty() {
            self.ask_at = Some(self.ask_at.map_or(now, |at| at.min(now)));
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Endpoints {
    peers: BTreeMap<(String, Key), Held>,
    names: BTreeMap<String, Name>,
    next: u16,
    look_at: Option<Instant>,
    /// The uplink's addresses and gateways.
    uplink: Option<Vec<String>>,
}

impl Endpoints {
    /// Follows the file.
    pub fn follow(&mut self, now: Instant, tunnels: &Tunnels) {
        let mut before = std::mem::take(&mut self.peers);
        for tunnel in &tunnels.tunnels {
            for peer in &tunnel.peers {
                let Some(endpoint) = &peer.endpoint else { continue };
                let of = (tunnel.name.clone(), peer.key);
                let old = before.remove(&of);
                let held = match old {
                    Some(held) if held.endpoint == *endpoint => held,
                    old => {
                        let at = match endpoint {
                            Endpoint::At(at) => Some(*at),
                            Endpoint::Named(name, _) => {
                                self.names.entry(name.clone()).or_default().ask(now);
                                None
                            }
                        };
                        let (handshake, sent, in_vain) = (Duration::ZERO, 0, false);
                        // What was written anew counts; at a start of ours the kernel may know better.
                        let insist = old.is_some();
                        Held { endpoint: endpoint.clone(), at, insist, handshake, since: now, sent, in_vain }
                    }
                };
                self.peers.insert(of, held);
            }
        }
        let used = |name: &String| {
            self.peers.values().any(|held| matches!(&held.endpoint, Endpoint::Named(of, _) if of == name))
        };
        self.names.retain(|name, _| used(name));
        self.look_at = if self.peers.is_empty() { None } else { self.look_at.or(Some(now + LOOK)) };
    }

    /// Takes in what the kernel holds: who was heard, and what the uplink is.
    pub fn look(&mut self, now: Instant, found: &Found) {
        let uplink = uplink(found);
        let changed = self.uplink.replace(uplink.clone()).is_some_and(|before| before != uplink);
        self.look_at = if self.peers.is_empty() { None } else { Some(now + LOOK) };
        for ((tunnel, key), held) in &mut self.peers {
            let device = found.tunnels.iter().find(|device: &&Device| device.name == *tunnel);
            let Some(peer) = device.and_then(|device| device.peers.iter().find(|peer| peer.key == *key)) else {
                continue;
            };
            if held.at == peer.endpoint {
                held.insist = false;
            }
            if peer.handshake != held.handshake {
                (held.handshake, held.since, held.in_vain) = (peer.handshake, now, false);
            }
            let stale = held.is_stale(now);
            held.in_vain |= stale && peer.sent > held.sent;
            held.sent = peer.sent;
            if let Endpoint::Named(name, _) = &held.endpoint
                && let Some(name) = self.names.get_mut(name)
            {
                if changed {
                    name.wait = Duration::ZERO;
                    name.ask(now);
                } else if !stale && name.failures == 0 {
                    name.wait = Duration::ZERO;
                } else if stale && name.ask_at.is_none() && name.open.is_empty() {
                    name.wait = (name.wait * 2).clamp(LOOK, SILENT);
                    name.ask_at = Some(now + name.wait - LOOK);
                }
            }
        }
    }

    /// Whether it is time for [`Endpoints::look`].
    pub fn wants_a_look(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// When something is to be done.
    pub fn deadline(&self) -> Option<Instant> {
        let names = self.names.values().flat_map(|name| [name.ask_at, name.until]).flatten();
        names.chain(self.look_at).min()
    }

    /// Questions whose time has come. Those whose answer has not come are given up, and their numbers told.
    pub fn due(&mut self, now: Instant) -> (Vec<Question>, Vec<u16>) {
        let (mut questions, mut given_up, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for (text, name) in &mut self.names {
            if name.until.is_some_and(|until| until <= now) {
                given_up.append(&mut name.open);
                over.push(text.clone());
            } else if name.ask_at.is_some_and(|at| at <= now) {
                name.ask_at = None;
                name.until = Some(now + PATIENCE);
                for ipv6 in [false, true] {
                    self.next = self.next.wrapping_add(1);
                    name.open.push(self.next);
                    questions.push(Question { id: self.next, name: text.clone(), ipv6 });
                }
            }
        }
        for text in over {
            self.conclude(now, &text);
        }
        (questions, given_up)
    }

    /// An answer; none when it could not be asked or has failed. Whether a peer is now to be asked elsewhere.
    pub fn answered(&mut self, now: Instant, id: u16, addresses: &[IpAddr]) -> bool {
        let Some((text, name)) = self.names.iter_mut().find(|(_, name)| name.open.contains(&id)) else { return false };
        name.open.retain(|open| *open != id);
        name.gathered.extend(addresses.iter().take(MOST));
        let text = text.clone();
        if name.open.is_empty() { self.conclude(now, &text) } else { false }
    }

    fn conclude(&mut self, now: Instant, text: &str) -> bool {
        let Some(name) = self.names.get_mut(text) else { return false };
        name.until = None;
        let mut addresses = std::mem::take(&mut name.gathered);
        if addresses.is_empty() {
            name.failures = name.failures.saturating_add(1);
            name.wait = (name.wait * 2).clamp(RETRY.0, RETRY.1);
            name.ask_at = Some(now + name.wait);
            return false;
        }
        name.failures = 0;
        // IPv4 first: where both work either will do, and where one does not it is the other that is new.
        addresses.sort_unstable();
        addresses.dedup();
        let mut moved = false;
        for held in self.peers.values_mut() {
            let Endpoint::Named(of, port) = &held.endpoint else { continue };
            if of == text {
                moved |= held.choose(now, &addresses, *port);
            }
        }
        moved
    }

    /// Where the peers are to be asked.
    pub fn places(&self) -> Vec<Place> {
        let place =
            |(of, held): (&(String, Key), &Held)| Some(Place { of: of.clone(), at: held.at?, insist: held.insist });
        self.peers.iter().filter_map(place).collect()
    }

    /// Names that have had no address for a while, in words.
    pub fn complaints(&self) -> Vec<String> {
        let failing = self.names.iter().filter(|(_, name)| name.failures >= QUIET).map(|(text, _)| text);
        let of = |text: &String| {
            let mut peers = self.peers.iter();
            peers.find(|(_, held)| matches!(&held.endpoint, Endpoint::Named(name, _) if name == text))
        };
        let words = |text: &String| {
            let ((tunnel, key), _) = of(text)?;
            Some(format!("{tunnel}: endpoint {text:?} of peer {key} has no address; it is asked for again"))
        };
        failing.filter_map(words).collect()
    }
}

impl Held {
    fn choose(&mut self, now: Instant, addresses: &[IpAddr], port: u16) -> bool {
        let here = self.at.and_then(|at| addresses.iter().position(|address| *address == at.ip()));
        let next = match here {
            Some(here) if self.in_vain => (here + 1) % addresses.len(),
            Some(here) => here,
            None => 0,
        };
        self.in_vain = false;
        let at = addresses.get(next).map(|address| SocketAddr::new(*address, port));
        let moved = at != self.at;
        // One that has been silent for long is not where it was last heard from.
        self.insist |= (moved && self.at.is_some()) || self.is_stale(now);
        self.at = at;
        moved || self.insist
    }
}

/// Addresses and ways of the uplink, without what changes by itself.
fn uplink(found: &Found) -> Vec<String> {
    let Some(link) = found.links.iter().find(|link| link.name == UPLINK) else { return Vec::new() };
    let addresses = found.addresses.iter().filter(|address| address.index == link.index && !address.deprecated);
    let global = |net: &IpNet| !matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local());
    let addresses = addresses.map(|address| address.net).filter(global).map(|net| net.to_string());
    let gateways = found.routes.iter().filter(|route| route.index == link.index && route.destination.prefix_len() == 0);
    let gateways = gateways.filter_map(|route| route.gateway).map(|gateway| gateway.to_string());
    let mut all: Vec<String> = addresses.chain(gateways).collect();
    all.sort_unstable();
    all
}
