//! What to advertise on each LAN and when: RFC 4861, section 6.2, and what RFC 9096 adds for prefixes that are gone.
//!
//! Configuration, links, solicitations and time come in as [`Event`]s, what is to be done goes out as [`Action`]s. The
//! one timer is [`Engine::deadline`]. A LAN's timers are in `lan`, the message in `content`, what hosts may still hold
//! in `memory`.
mod content;
mod lan;
mod memory;

pub use memory::Memory;

use crate::house::random::Random;
use crate::perm::announced::Announced;
use crate::perm::lease6::Timed;
use crate::perm::stamp::Clock;
use ipnet::Ipv6Net;
use lan::Lan;
use netstack::time::Instant;
use std::net::Ipv6Addr;

/// What the files say of one LAN.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The LAN's name.
    pub name: String,
    /// The domain in which its machines have their names; `lan` when empty.
    pub domain: String,
    /// Its /64 of each prefix.
    pub prefixes: Vec<Timed<Ipv6Net>>,
    /// The prefixes that the router serves, whole: hosts reach them through it whatever the uplink does (RFC 7084, L-3).
    pub routes: Vec<Timed<Ipv6Net>>,
    /// The M flag: addresses are to be had by DHCPv6.
    pub managed: bool,
    /// The O flag: other configuration is.
    pub other_config: bool,
    /// NAT64's prefix (RFC 8781), if a person has said so.
    pub pref64: Option<Ipv6Net>,
    /// A captive portal's API (RFC 8910), if a person has said so.
    pub captive_portal: Option<String>,
}

/// A link by which can be sent: it has carrier and a link-local address that is not tentative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// In bytes.
    pub mtu: u32,
    /// Its link-local address.
    pub address: Ipv6Addr,
}

/// What happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// The files were read: every LAN there is.
    Configured(Vec<Settings>),
    /// A LAN's link came, went or changed.
    Link(&'a str, Option<Link>),
    /// Whether the uplink has an IPv6 default route.
    DefaultRoute(bool),
    /// A valid router solicitation came in by a LAN.
    Solicited(&'a str, Ipv6Addr),
    /// [`Engine::deadline`] has come.
    Timeout,
    /// The machine is about to be switched off.
    Farewell,
}

/// What is to be done, in this order: what hosts are told is on the disk before they are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write down what hosts may hold from now on.
    Remember(Announced),
    /// Send an advertisement out of a LAN.
    Send {
        /// The LAN.
        lan: String,
        /// To all nodes, or to one that asked.
        to: Ipv6Addr,
        /// From the ICMPv6 type on.
        message: Vec<u8>,
    },
    /// A line for the log.
    Say(String),
}

/// The advertising router.
#[derive(Debug)]
pub struct Engine {
    lans: Vec<Lan>,
    memory: Memory,
    default_route: bool,
    random: Random,
}

impl Engine {
    /// A router without LANs; `memory` is what hosts may hold from before.
    pub fn new(memory: Memory, random: Random) -> Engine {
        Engine { lans: Vec::new(), memory, default_route: false, random }
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.lans.iter().filter_map(Lan::deadline).chain(self.memory.deadline()).min()
    }

    /// Takes one event; `clock.boot` and `clock.wall` only stamp what is written.
    pub fn handle(&mut self, clock: &Clock, event: Event) -> Vec<Action> {
        let (now, mut actions) = (clock.now, Vec::new());
        match event {
            Event::Configured(all) => self.configure(now, all, &mut actions),
            Event::Link(name, link) => {
                if let Some(lan) = self.named(name) {
                    lan.follow(now, link);
                }
            }
            Event::DefaultRoute(there) => {
                if self.default_route != there {
                    self.default_route = there;
                    let words = if there { "has an" } else { "has no" };
                    actions.push(Action::Say(format!("the uplink {words} IPv6 default route")));
                    self.lans.iter_mut().for_each(|lan| lan.changed(now));
                }
            }
            Event::Solicited(name, source) => {
                let mut random = self.random.clone();
                if let Some(lan) = self.named(name) {
                    lan.solicited(now, source, &mut random);
                }
                self.random = random;
            }
            Event::Timeout => {}
            Event::Farewell => {
                for lan in &self.lans {
                    actions.extend(lan.send(now, false, &self.memory));
                }
                return actions;
            }
        }
        self.refresh(clock, &mut actions);
        for lan in &mut self.lans {
            lan.run(now, self.default_route, &self.memory, &mut self.random, &mut actions);
        }
        actions
    }

    fn named(&mut self, name: &str) -> Option<&mut Lan> {
        self.lans.iter_mut().find(|lan| lan.settings.name == name)
    }

    fn configure(&mut self, now: Instant, all: Vec<Settings>, actions: &mut Vec<Action>) {
        let (kept, gone): (Vec<Lan>, Vec<Lan>) =
            self.lans.drain(..).partition(|lan| all.iter().any(|settings| settings.name == lan.settings.name));
        self.lans = kept;
        for mut lan in gone {
            // Its hosts have no router here any more, and no prefix.
            lan.settings.prefixes.iter_mut().for_each(|prefix| prefix.valid_until = Instant::default());
            actions.extend(lan.send(now, false, &self.memory));
        }
        for settings in all {
            match self.named(&settings.name) {
                Some(lan) => lan.configure(now, settings),
                None => self.lans.push(Lan::new(now, settings)),
            }
        }
    }

    // What is in force may have changed by the files or by time alone.
    fn refresh(&mut self, clock: &Clock, actions: &mut Vec<Action>) {
        let in_force: Vec<(&str, &Timed<Ipv6Net>)> = self
            .lans
            .iter()
            .flat_map(|lan| lan.settings.prefixes.iter().map(|one| (lan.settings.name.as_str(), one)))
            .collect();
        let outcome = self.memory.refresh(clock.now, &in_force);
        for (name, words) in &outcome.changed {
            actions.push(Action::Say(format!("{name}: {words}")));
        }
        for lan in &mut self.lans {
            if outcome.changed.iter().any(|(name, _)| *name == lan.settings.name) {
                lan.changed(clock.now);
            }
        }
        if outcome.write {
            actions.push(Action::Remember(self.memory.file(clock)));
        }
    }
}
