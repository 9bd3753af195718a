//! The kernel: a look at what it holds, and actions applied to it.
use super::engine::{Action, Address, Firewall, Found, Link, Places, Plan, Route, Sysctl, Traffic};
use super::{bus, metrics, ruleset};
use crate::house::{Failure, private};
use crate::perm::Mac;
use ipnet::IpNet;
use netstack::conntrack::{self, Endings, Flow};
use netstack::netlink::{Change, Netlink};
use netstack::wireguard::{Device, Wireguard};
use netstack::{address, route};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// `RT_TABLE_MAIN`: the routes that a router is configured with.
const MAIN: u32 = 254;
/// `RTN_UNICAST`, `RTN_LOCAL` and `RTN_UNREACHABLE`.
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const UNREACHABLE: u8 = 7;
/// `RT_SCOPE_LINK`: an IPv6 address that the kernel made from the hardware address.
const SCOPE_LINK: u8 = 253;

/// A way into the kernel.
pub struct Kernel {
    netlink: Netlink,
    /// Opened when there is a tunnel to look at.
    wireguard: Option<Wireguard>,
    /// Where the metrics are to be shown, by the last look.
    private: Vec<SocketAddr>,
    /// Why the kernel has no fast path.
    slow: Option<String>,
}

/// What became of a plan.
#[derive(Default)]
pub struct Outcome {
    /// What the kernel took, in words.
    pub done: Vec<String>,
    /// What it refused.
    pub refused: Vec<Refused>,
}

/// An action that the kernel refused.
pub struct Refused {
    /// What was asked and why it was refused.
    pub words: String,
    /// Whether the router can do without it.
    pub bearable: bool,
    /// Whether it is to be tried again all the same.
    pub again: bool,
}

impl Kernel {
    /// Opens rtnetlink.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn open() -> Result<Kernel, Failure> {
        let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
        Ok(Kernel { netlink, wireguard: None, private: Vec::new(), slow: None })
    }

    /// Reads everything that a plan depends on, but for the ruleset.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn look(&mut self, sysctls: &[Sysctl]) -> Result<Found, Failure> {
        let links = self.netlink.links().map_err(Failure::during("the list of interfaces"))?;
        let addresses = self.netlink.addresses().map_err(Failure::during("the list of addresses"))?;
        let routes = self.netlink.routes().map_err(Failure::during("the list of routes"))?;
        self.private = private::served(&links, &addresses, metrics::PORT);
        let read = |sysctl: &Sysctl| {
            let value = fs::read_to_string(Path::new("/proc/sys").join(&sysctl.path)).ok()?;
            Some((sysctl.path.clone(), value.trim().to_owned()))
        };
        // A kernel without disciplines has none to show.
        let queues = self.netlink.qdiscs().unwrap_or_default();
        Ok(Found {
            tunnels: self.tunnels_of(&links),
            queues,
            links: links.into_iter().map(link).collect(),
            addresses: addresses.iter().filter_map(found_address).collect(),
            routes: routes.into_iter().filter_map(found_route).collect(),
            firewall: None,
            sysctls: sysctls.iter().filter_map(read).collect(),
        })
    }

    /// Where the metrics are to be shown, by the last look.
    pub fn private(&self) -> &[SocketAddr] {
        &self.private
    }

    /// What the metrics show besides; nothing where the kernel does not say.
    pub fn lines(&mut self) -> metrics::Lines {
        let links = self.netlink.links().unwrap_or_default();
        let queues = self.netlink.qdiscs().unwrap_or_default();
        metrics::Lines { tunnels: self.tunnels_of(&links), queues, links }
    }

    fn wireguard(&mut self) -> io::Result<&mut Wireguard> {
        if self.wireguard.is_none() {
            self.wireguard = Some(Wireguard::open()?);
        }
        self.wireguard.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Those that can be read; what cannot be is asked for anew, and that is refused in words.
    fn tunnels_of(&mut self, links: &[netstack::link::Link]) -> Vec<Device> {
        let tunnels = links.iter().filter(|link| link.kind.as_deref() == Some("wireguard"));
        tunnels.filter_map(|link| self.wireguard().and_then(|wireguard| wireguard.device(link.index)).ok()).collect()
    }

    /// What goes to WireGuard.
    fn tunnel(&mut self, action: &Action) -> Result<(), String> {
        let wireguard = self.wireguard().map_err(|error| error.to_string())?;
        let done = match action {
            Action::SetTunnel { index, key, port } => wireguard.set_device(*index, key.as_ref(), *port),
            Action::SetPeer { index, change } => wireguard.set_peer(*index, change),
            Action::RemovePeer { index, key } => wireguard.remove_peer(*index, key),
            _ => Ok(()),
        };
        done.map_err(|error| error.to_string())
    }

    /// An entrance that leads nowhere is none.
    fn lead(&mut self, index: u32, through: u32) -> Result<(), String> {
        self.netlink.change(Change::Entrance(index)).map_err(|error| error.to_string())?;
        self.netlink.change(Change::Lead(index, through)).map_err(|error| {
            // That it cannot be taken away either would be another line of the same trouble.
            let _ = self.netlink.change(Change::NoEntrance(index));
            error.to_string()
        })
    }

    /// Applies a plan in its order and brings `found` up to date. While no ruleset of ours is in the kernel, nothing is
    /// done that would open a way for the internet.
    pub fn apply(&mut self, plan: &Plan, found: &mut Found) -> Outcome {
        let mut outcome = Outcome::default();
        let mut batch: Vec<(&Action, Change)> = Vec::new();
        for action in &plan.actions {
            if found.firewall.is_none() && action.wants_firewall(plan.uplink) {
                outcome.refuse(action, found, "not before the ruleset is in the kernel");
                continue;
            }
            // What rtnetlink takes goes there in as few system calls as the order allows.
            if let Some(change) = change(action) {
                batch.push((action, change));
                continue;
            }
            self.flush(&mut batch, found, &mut outcome);
            let result = match action {
                Action::Set(sysctl) => set(sysctl),
                Action::Firewall(firewall) => {
                    self.commit(firewall).and_then(|()| self.close(found.firewall.as_ref(), firewall))
                }
                Action::SetTunnel { .. } | Action::SetPeer { .. } | Action::RemovePeer { .. } => {
                    self.tunnel(action).map_err(|why| format!("{}: {why}", action.words(found)))
                }
                Action::Lead { index, through } => {
                    self.lead(*index, *through).map_err(|why| format!("{}: {why}", action.words(found)))
                }
                Action::Forget { address } => forget(|flow| flow.carries(*address)).map(drop),
                _ => Ok(()),
            };
            match result {
                Ok(()) => outcome.take(action, found),
                Err(words) => {
                    let sysctl = matches!(action, Action::Set(sysctl) if !sysctl.essential());
                    let (bearable, again) = (sysctl || action.is_extra(), !sysctl);
                    outcome.refused.push(Refused { words, bearable, again });
                }
            }
        }
        self.flush(&mut batch, found, &mut outcome);
        outcome
    }

    /// Puts a ruleset in; without the fast path where the kernel has none.
    fn commit(&mut self, firewall: &Firewall) -> Result<(), String> {
        let slow = || Firewall { offload: false, ..firewall.clone() };
        if !firewall.offload {
            return ruleset::commit(firewall);
        }
        if self.slow.is_some() {
            return ruleset::commit(&slow());
        }
        ruleset::commit(firewall).or_else(|words| {
            ruleset::commit(&slow())?;
            self.slow = Some(format!("no fast path: {words}"));
            Ok(())
        })
    }

    /// Why the kernel has no fast path, when it has none.
    pub fn slow(&self) -> Option<&String> {
        self.slow.as_ref()
    }

    /// Ends the connections that could be begun before and cannot now. After a restart of ours it is not known what could
    /// be before: those end that a person's rules refuse.
    fn close(&mut self, before: Option<&Firewall>, now: &Firewall) -> Result<(), String> {
        if before.is_some_and(|before| !before.opens_more_than(now)) || (before.is_none() && now.rules.is_empty()) {
            return Ok(());
        }
        let places = self.places().map_err(|error| format!("where connections lead: {error}"))?;
        let ended = forget(|flow| match before {
            Some(before) => before.admits(flow, &places) && !now.admits(flow, &places),
            None => now.refuses(flow, &places),
        })?;
        if ended > 0 {
            log::info!("{ended} connections ended: they are refused now");
        }
        Ok(())
    }

    /// Counts what connections have carried: those that have ended, and when `stand` those that stand. Says whether no
    /// end was missed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn count(&mut self, endings: &mut Endings, traffic: &mut Traffic, stand: bool) -> io::Result<bool> {
        traffic.place(self.places()?);
        let mut whole = endings.drain(|flow| traffic.end(&flow));
        if stand {
            traffic.look(|take, ended| {
                conntrack::flows(|flow| take(&flow))?;
                whole &= endings.drain(|flow| ended.push(flow));
                Ok::<(), io::Error>(())
            })?;
        }
        Ok(whole)
    }

    fn places(&mut self) -> io::Result<Places> {
        let names: BTreeMap<u32, String> =
            self.netlink.links()?.into_iter().map(|link| (link.index, link.name)).collect();
        let mut routes = self.netlink.routes()?;
        routes.sort_by_key(|route| route.metric);
        let place = |route: route::Route| match route.kind {
            LOCAL => Some((route.destination, None)),
            UNICAST => Some((route.destination, Some(names.get(&route.interface?)?.clone()))),
            _ => None,
        };
        let neighbours = self.netlink.neighbours()?.into_iter();
        let neighbours = neighbours.map(|neighbour| (neighbour.address, Mac(neighbour.mac)));
        Ok(Places::new(routes.into_iter().filter_map(place), neighbours))
    }

    fn flush(&mut self, batch: &mut Vec<(&Action, Change)>, found: &mut Found, outcome: &mut Outcome) {
        if batch.is_empty() {
            return;
        }
        let changes: Vec<Change> = batch.iter().map(|(_, change)| change.clone()).collect();
        let result = self.netlink.apply(&changes);
        for (action, change) in batch.drain(..) {
            let what = change.to_string();
            match result.as_ref().map(|errors| errors.iter().find(|error| error.what == what)) {
                Ok(None) => outcome.take(action, found),
                Ok(Some(error)) if error.words.is_empty() => outcome.refuse(action, found, error.errno.desc()),
                Ok(Some(error)) => outcome.refuse(action, found, &format!("{} ({})", error.errno.desc(), error.words)),
                Err(error) => outcome.refuse(action, found, &error.to_string()),
            }
        }
    }
}

impl Outcome {
    fn take(&mut self, action: &Action, found: &mut Found) {
        // What is gone afterwards has its name before.
        let before = matches!(action, Action::DeleteLink { .. }).then(|| action.words(found));
        found.took(action);
        self.done.push(before.unwrap_or_else(|| action.words(found)));
    }

    fn refuse(&mut self, action: &Action, found: &Found, why: &str) {
        let (words, bearable) = (format!("{}: {why}", action.words(found)), action.is_extra());
        self.refused.push(Refused { words, bearable, again: true });
    }
}

fn forget(is_over: impl FnMut(&Flow) -> bool) -> Result<usize, String> {
    conntrack::forget(is_over).map_err(|error| format!("the table of connections: {error}"))
}

/// Writes a sysctl.
///
/// # Errors
/// The kernel's.
pub fn set(sysctl: &Sysctl) -> Result<(), String> {
    netstack::sysctl::set(&sysctl.path, &sysctl.value).map(drop).map_err(|error| error.to_string())
}

fn change(action: &Action) -> Option<Change> {
    let bare = |index: u32, net: &IpNet| address::Address::new(index, net.addr(), net.prefix_len());
    let full = |wanted: &Address| address::Address {
        deprecated: wanted.deprecated,
        protocol: wanted.protocol,
        ..bare(wanted.index, &wanted.net)
    };
    Some(match action {
        Action::Set(_) | Action::Firewall(_) | Action::Forget { .. } => return None,
        Action::SetTunnel { .. } | Action::SetPeer { .. } | Action::RemovePeer { .. } => return None,
        Action::Lead { .. } => return None,
        Action::AddLink { name, kind } => Change::AddLink(name.clone(), kind),
        Action::SetQueue { index, cake } => Change::Cake(*index, *cake),
        Action::DropQueue { index } => Change::NoCake(*index),
        Action::NoLead { index } => Change::NoEntrance(*index),
        Action::AddBridge { name, mac } => Change::AddBridge(name.clone(), mac.map(|mac| mac.0)),
        Action::Rename { index, to, .. } => Change::Rename(*index, to.clone()),
        Action::SetMac { index, mac } => Change::Mac(*index, mac.0),
        Action::SetMtu { index, mtu } => Change::Mtu(*index, *mtu),
        Action::SetMaster { index, master } => Change::Master(*index, *master),
        Action::SetStp { index, on } => Change::BridgeStp(*index, *on),
        Action::SetVlanFiltering { index, on } => Change::BridgeVlanFiltering(*index, *on),
        Action::Up { index } => Change::Up(*index, true),
        Action::AddVlan { name, over, number } => Change::AddVlan(name.clone(), *over, *number),
        Action::DeleteLink { index } => Change::DeleteLink(*index),
        Action::AddAddress(address) => Change::ReplaceAddress(full(address)),
        Action::DeleteAddress { index, net } => Change::DeleteAddress(bare(*index, net)),
        Action::AddRoute(route) => Change::ReplaceRoute(to_kernel(route)),
        Action::DeleteRoute(route) => Change::DeleteRoute(to_kernel(route)),
    })
}

fn to_kernel(wanted: &Route) -> route::Route {
    if wanted.unreachable {
        return route::Route::unreachable(wanted.destination, wanted.protocol);
    }
    let route = route::Route::new(wanted.destination, wanted.index, wanted.gateway, wanted.protocol);
    route::Route { source: wanted.source, ..route }
}

fn link(found: netstack::link::Link) -> Link {
    let nic = found.mac.is_some() && !found.loopback && matches!(found.kind.as_deref(), None | Some("veth"));
    let bus = if nic { bus::of(&found.name) } else { None };
    let mac = found.mac.map(Mac);
    Link {
        index: found.index,
        mac,
        permanent: found.permanent_mac.map(Mac),
        mtu: found.mtu,
        up: found.up,
        master: found.master,
        vlan: found.vlan,
        bridge: found.bridge,
        ppp: found.kind.as_deref() == Some("ppp"),
        kind: found.kind,
        ours: found.ours,
        nic,
        bus,
        name: found.name,
    }
}

fn found_address(found: &address::Address) -> Option<Address> {
    let net = IpNet::new(found.ip, found.prefix).ok()?;
    let automatic = !found.permanent || (found.ip.is_ipv6() && found.scope == SCOPE_LINK);
    let (deprecated, protocol) = (found.deprecated, found.protocol);
    Some(Address { index: found.index, net, automatic, deprecated, protocol })
}

fn found_route(found: route::Route) -> Option<Route> {
    if found.table != MAIN || ![UNICAST, UNREACHABLE].contains(&found.kind) {
        return None;
    }
    let unreachable = found.kind != UNICAST;
    let route::Route { destination, gateway, interface, source, protocol, .. } = found;
    Some(Route { destination, gateway, index: interface?, source, protocol, unreachable })
}
