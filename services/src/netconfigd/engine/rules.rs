//! A person's own rules: with devices as they are now, and held against a connection that is open.
use super::Wanted;
use super::forwards::{Known, Refused, find, interface_identifier};
use super::places::{Place, Places};
use crate::perm::Mac;
use crate::perm::entries::{Device, Wrong};
use crate::perm::firewall::{Direction, Rule, Rules, Verdict, Who};
use ipnet::IpNet;
use netstack::conntrack::Flow;
use std::net::{IpAddr, Ipv6Addr};

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruled {
    /// Its name; parts of one rule share it.
    pub name: String,
    /// What is done.
    pub verdict: Verdict,
    /// Which way the connection is begun.
    pub direction: Direction,
    /// Whom at home it is about.
    pub at: At,
    /// The LAN that the one at home is in; empty = any.
    pub lan: String,
    /// Who is at the other end.
    pub remote: Option<IpNet>,
    /// `IPPROTO_TCP`, `IPPROTO_UDP`; none = every protocol.
    pub protocols: Vec<u8>,
    /// First and last port of the one who answers.
    pub ports: Option<(u16, u16)>,
}

/// Whom at home a rule is about, as a packet shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// Everyone.
    All,
    /// Who sends with this hardware address.
    Hardware(Mac),
    /// Who has an address in this network.
    Net(IpNet),
    /// Whose IPv6 address ends so.
    Suffix(Ipv6Addr),
}

/// A connection as rules see it.
struct Begun<'a> {
    direction: Direction,
    home: IpAddr,
    mac: Option<Mac>,
    lan: &'a str,
    remote: IpAddr,
    protocol: u8,
    port: u16,
}

/// The rules of which `holds` says that they are in force; and what is left out for now: entry, field, words.
pub fn rules(
    wanted: &Wanted,
    rules: &Rules,
    known: &[Known],
    holds: impl Fn(&Rule) -> bool,
) -> (Vec<Ruled>, Vec<Refused>) {
    let (mut all, mut refused) = (Vec::new(), Vec::new());
    for rule in &rules.rules {
        match ruled(wanted, known, rule) {
            Ok(some) if holds(rule) => all.extend(some),
            Ok(_) => {}
            Err((field, words)) => refused.push((rule.entry.clone(), field, words)),
        }
    }
    (all, refused)
}

fn ruled(wanted: &Wanted, known: &[Known], rule: &Rule) -> Result<Vec<Ruled>, Wrong> {
    if !rule.lan.is_empty() && !wanted.interfaces.lans().contains(&rule.lan.as_str()) {
        return Err(("lan", format!("{:?} is the name of no LAN", rule.lan)));
    }
    let all = match &rule.who {
        Who::All => vec![At::All],
        Who::Net(net) => vec![At::Net(*net)],
        Who::Suffix(suffix) => vec![At::Suffix(*suffix)],
        Who::Device(device) => of_device(known, device, rule.direction)?,
    };
    let remote_is_ipv6 = rule.remote.map(|net| net.addr().is_ipv6());
    // Of a device's two families one may be what the other end has not.
    let fits = |at: &At| match at {
        At::All | At::Hardware(_) => true,
        At::Net(net) => remote_is_ipv6.is_none_or(|ipv6| ipv6 == net.addr().is_ipv6()),
        At::Suffix(_) => remote_is_ipv6.is_none_or(|ipv6| ipv6),
    };
    let one = |at: At| Ruled {
        name: rule.name.clone(),
        verdict: rule.verdict,
        direction: rule.direction,
        at,
        lan: rule.lan.clone(),
        remote: rule.remote,
        protocols: rule.protocols.clone(),
        ports: rule.ports,
    };
    Ok(all.into_iter().filter(fits).map(one).collect())
}

/// A device that sends is known by its hardware address, whatever addresses it takes. What is sent to it has to be known
/// by its addresses: that of its lease, and those that IPv6 makes of the hardware address.
fn of_device(known: &[Known], device: &Device, direction: Direction) -> Result<Vec<At>, Wrong> {
    let found = find(known, device);
    let mac = match (device, &found) {
        (Device::Hardware(mac), _) => *mac,
        (_, Ok(known)) => known.mac,
        (_, Err(wrong)) => return Err(wrong.clone()),
    };
    if direction != Direction::In {
        return Ok(vec![At::Hardware(mac)]);
    }
    let address = found.ok().and_then(|known| known.address).map(|address| At::Net(IpNet::from(IpAddr::V4(address))));
    Ok(address.into_iter().chain([At::Suffix(interface_identifier(mac).into())]).collect())
}

impl Begun<'_> {
    /// `None` for what no rule is about: what the router itself began, or the internet began with the router.
    fn of<'a>(flow: &Flow, places: &'a Places) -> Option<Begun<'a>> {
        // Where it really goes, and at which port, is where the answers come from.
        let (from, to) = (flow.original.source.ip(), flow.reply.source);
        let (direction, home, lan, remote) = match (places.of(from), places.of(to.ip())) {
            (Place::Lan(lan), Place::Internet) => (Direction::Out, from, lan, to.ip()),
            (Place::Internet, Place::Lan(lan)) => (Direction::In, to.ip(), lan, from),
            (Place::Lan(lan), Place::Lan(_)) => (Direction::Across, from, lan, to.ip()),
            (Place::Lan(lan), Place::Router) => (Direction::Router, from, lan, to.ip()),
            _ => return None,
        };
        let (protocol, port) = (flow.protocol, to.port());
        Some(Begun { direction, home, mac: places.mac(home), lan, remote, protocol, port })
    }
}

impl Ruled {
    fn fits(&self, begun: &Begun<'_>) -> bool {
        let at = match &self.at {
            At::All => true,
            At::Hardware(mac) => begun.mac == Some(*mac),
            At::Net(net) => net.contains(&begun.home),
            At::Suffix(suffix) => {
                matches!(begun.home, IpAddr::V6(home) if home.octets()[8..] == suffix.octets()[8..])
            }
        };
        at && self.direction == begun.direction
            && (self.lan.is_empty() || self.lan == begun.lan)
            && self.remote.is_none_or(|net| net.contains(&begun.remote))
            && (self.protocols.is_empty() || self.protocols.contains(&begun.protocol))
            && self.ports.is_none_or(|(first, last)| (first..=last).contains(&begun.port))
    }
}

/// What the first rule that fits says of a connection, and which way that is begun.
pub fn decide(rules: &[Ruled], flow: &Flow, places: &Places) -> (Option<Verdict>, Option<(Direction, String)>) {
    let Some(begun) = Begun::of(flow, places) else { return (None, None) };
    let rule = rules.iter().find(|rule| rule.fits(&begun));
    // The router is asked for names and addresses whatever the rules say.
    let basic = begun.direction == Direction::Router && [53, 67, 547].contains(&begun.port);
    (rule.filter(|_| !basic).map(|rule| rule.verdict), Some((begun.direction, begun.lan.to_owned())))
}
