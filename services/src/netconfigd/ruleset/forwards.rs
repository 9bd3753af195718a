//! Port forwardings: the maps, the chains that ask them, and the way back.
use super::{TCP, UDP};
use crate::netconfigd::engine::Firewall;
use ipnet::Ipv4Net;
use netstack::nft::{Chain, Element, Field, Hook, Kind, Part, Policy, Rule, Set, Value};
use std::net::Ipv4Addr;

/// New connections to an address of the router's own that is neither loopback nor a LAN's may be forwarded: so it works
/// from inside as from outside, whatever addresses the uplink has. The port is asked for first: most are nobody's. `sets` are
/// the names of what [`forwardings`] made.
pub(super) fn forwarded(firewall: &Firewall, sets: &[String]) -> Chain {
    let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let nets: Vec<Ipv4Net> = firewall.lans.iter().flat_map(|lan| &lan.nets).copied().chain([loopback]).collect();
    let ours = |rule: Rule| rule.destination_outside(&nets).to_us();
    let bound = firewall.forwards.iter().filter(|forward| forward.source.is_some());
    let chain = bound.fold(Chain::plain("forwarded"), |chain, forward| {
        let steps = steps(forward.ports, forward.to_ports);
        steps.into_iter().fold(chain, |chain, (first, last, to)| {
            let rule = Rule::new().protocol(forward.protocol.into()).ports(first, last);
            let rule = forward.source.into_iter().fold(rule, |rule, net| rule.source(net.into()));
            chain.rule(ours(rule).dnat(forward.to, to))
        })
    });
    let service = [Part::Protocol, Part::Port];
    sets.iter().filter(|set| !set.starts_with(HOLES)).fold(chain, |chain, map| {
        [TCP, UDP].into_iter().fold(chain, |chain, protocol| {
            let rule = ours(Rule::new().protocol(protocol.into()).in_map(&service, map));
            chain.rule(rule.dnat_by(&service, map, map.starts_with(MOVED)))
        })
    })
}

/// Runs of ports that go one way: first, last, and the port there; `None` = the same as outside.
fn steps(ports: (u16, u16), to: (u16, u16)) -> Vec<(u16, u16, Option<u16>)> {
    match to {
        _ if to == ports => vec![(ports.0, ports.1, None)],
        (first, last) if first == last => vec![(ports.0, ports.1, Some(first))],
        (first, _) => (ports.0..=ports.1).map(|port| (port, port, Some(first + (port - ports.0)))).collect(),
    }
}

/// Beginnings of the names: forwardings with the port kept and with another, pinholes.
const KEPT: &str = "kept";
const MOVED: &str = "moved";
pub(super) const HOLES: &str = "pinholes";

/// Single ports and ranges stand apart: a table of single keys costs the kernel less, however many they are.
fn apart(name: &str, elements: Vec<Element>, set: impl Fn(&str, Vec<Element>) -> Set) -> Vec<Set> {
    let (single, ranges): (Vec<_>, Vec<_>) = elements.into_iter().partition(|element| element.key == element.last);
    let all = [(name.to_owned(), single), (format!("{name}_ranges"), ranges)];
    all.into_iter().filter(|(_, some)| !some.is_empty()).map(|(name, some)| set(&name, some)).collect()
}

/// Maps of forwardings, with the port kept and with another, and the sets of pinholes; those that have elements.
pub(super) fn forwardings(firewall: &Firewall) -> Vec<Set> {
    let (mut kept, mut moved) = (Vec::new(), Vec::new());
    for forward in firewall.forwards.iter().filter(|forward| forward.source.is_none()) {
        let at = |port| Value::new().protocol(forward.protocol).port(port);
        for (first, last, to) in steps(forward.ports, forward.to_ports) {
            let range = Element::range(at(first), at(last));
            let address = Value::new().ipv4(forward.to);
            match to {
                None => kept.push(range.to(address)),
                Some(port) => moved.push(range.to(address.port(port))),
            }
        }
    }
    let open = firewall.pinholes.iter().filter(|pinhole| pinhole.source.is_none());
    let holes: Vec<Element> = open
        .map(|pinhole| {
            let at = |port| Value::new().ipv6(pinhole.to).protocol(pinhole.protocol).port(port);
            Element::range(at(pinhole.ports.0), at(pinhole.ports.1))
        })
        .collect();
    let service = [Field::Protocol, Field::Port];
    let hole = [Field::Ipv6, Field::Protocol, Field::Port];
    let sets = [
        apart(KEPT, kept, |name, some| Set::map(name, &service, &[Field::Ipv4], some)),
        apart(MOVED, moved, |name, some| Set::map(name, &service, &[Field::Ipv4, Field::Port], some)),
        apart(HOLES, holes, |name, some| Set::ranges(name, &hole, some)),
    ];
    sets.into_iter().flatten().collect()
}

pub(super) fn postrouting(firewall: &Firewall) -> Chain {
    let chain = Chain::base("postrouting", Kind::Nat, Hook::Postrouting, 100, Policy::Accept)
        .rule(Rule::new().ipv4().oifname(firewall.uplink()).masquerade());
    if firewall.forwards.is_empty() {
        return chain;
    }
    // Whom a host of the same LAN has been led to would answer it directly, and not as the one it spoke to.
    firewall.lans.iter().fold(chain, |chain, lan| {
        let inside = Rule::new().ipv4().iifname(&lan.name).oifname(&lan.name);
        chain.rule(inside.forwarded().masquerade())
    })
}
