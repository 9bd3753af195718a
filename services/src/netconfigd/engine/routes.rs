//! Routes: those of interfaces.json, those that the uplink's configuration brings, and an unreachable one for each
//! delegated prefix, lest what nobody uses of it circles between the provider and us (RFC 7084, WPD-5).
use super::names::Role;
use super::{Action, FROM_FILE, FROM_LEASE, Found, Route, UPLINK, Wanted};
use super::{addresses, bypass};
use ipnet::{IpNet, Ipv6Net};
use std::net::Ipv6Addr;

/// fc00::/7.
const UNIQUE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

fn of(wanted: &Wanted, role: &Role, found: &Found) -> Vec<Route> {
    let Some(entry) = wanted.interfaces.interfaces.get(role.entry) else { return Vec::new() };
    let ways = if role.name == UPLINK { bypass::ways(wanted, found, role.index, wanted.ways()) } else { Vec::new() };
    let ways = ways.into_iter().map(|way| Route {
        destination: way.destination,
        gateway: way.gateway,
        index: role.index,
        source: way.source,
        protocol: way.protocol,
        unreachable: false,
    });
    let by_hand = entry.extra_routes.iter().flat_map(|route| {
        bypass::halves(&entry.name, route.destination.trunc()).into_iter().map(|net| (net, route.gateway))
    });
    let file = by_hand.map(|(destination, gateway)| Route {
        destination,
        gateway,
        index: role.index,
        source: None,
        protocol: FROM_FILE,
        unreachable: false,
    });
    // A host that still uses an address of a stale prefix is on its LAN, and is to be told (RFC 7084, L-14).
    let told = wanted.ipv6.iter().flat_map(|ipv6| &ipv6.announced).filter(|(lan, _)| *lan == role.name);
    let in_force = addresses::of(wanted, role);
    let stale = told.filter(|(_, prefix)| in_force.iter().all(|address| address.net.trunc() != IpNet::V6(*prefix)));
    let stale = stale.map(|(_, prefix)| Route {
        destination: IpNet::V6(*prefix),
        gateway: None,
        index: role.index,
        source: None,
        protocol: FROM_LEASE,
        unreachable: false,
    });
    let mut all: Vec<Route> = Vec::new();
    for route in stale.chain(ways).chain(file) {
        // Two for one destination would take turns for ever: the file's word counts.
        all.retain(|other| other.destination != route.destination);
        all.push(route);
    }
    all
}

/// One for each delegated prefix that is larger than a LAN; and where the LANs have a prefix of our own, one for all such
/// prefixes, which lead nowhere beyond a site (RFC 4193, section 4.3), unless the provider itself delegates one.
fn unreachable(wanted: &Wanted, lo: u32) -> Vec<Route> {
    let is_local = |net: &Ipv6Net| net.network().is_unique_local();
    let site = wanted.ipv6.iter().flat_map(|ipv6| &ipv6.local).any(is_local)
        && !wanted.delegations().any(|(prefix, _)| is_local(prefix));
    let larger = wanted.delegations().map(|(prefix, _)| *prefix).filter(|prefix| prefix.prefix_len() < 64);
    let all = larger.chain(site.then_some(UNIQUE_LOCAL));
    let route = |prefix| Route {
        destination: IpNet::V6(prefix),
        gateway: None,
        index: lo,
        source: None,
        protocol: FROM_LEASE,
        unreachable: true,
    };
    all.map(route).collect()
}

/// Adds what is missing, then takes away what an earlier lease or file left on the links that play an entry.
pub fn plan(wanted: &Wanted, roles: &[Role], found: &Found, actions: &mut Vec<Action>) {
    let mut stale = Vec::new();
    let all: Vec<Route> = roles.iter().flat_map(|role| of(wanted, role, found)).collect();
    for role in roles {
        let routes: Vec<Route> = all.iter().filter(|route| route.index == role.index).cloned().collect();
        let old: Vec<&Route> = found.routes.iter().filter(|old| old.index == role.index && !old.unreachable).collect();
        actions.extend(routes.iter().filter(|route| !old.contains(route)).cloned().map(Action::AddRoute));
        let knows = |old: &Route| match old.destination {
            IpNet::V4(_) => role.name == UPLINK && wanted.knows_ipv4(),
            IpNet::V6(_) => wanted.ipv6.is_some(),
        };
        for old in old.into_iter().filter(|old| !routes.contains(old)) {
            // Of IPv4 the kernel has one route to a destination, whatever link it leads to.
            let anywhere = matches!(old.destination, IpNet::V4(_));
            let routes = if anywhere { &all } else { &routes };
            let replaced = routes.iter().any(|route| route.destination == old.destination);
            let ours = old.protocol == FROM_FILE || (old.protocol == FROM_LEASE && knows(old));
            if ours && !replaced {
                stale.push(Action::DeleteRoute(old.clone()));
            }
        }
    }
    // A link that plays no entry any more keeps none of the file's routes.
    let nobodys = |old: &&Route| old.protocol == FROM_FILE && roles.iter().all(|role| role.index != old.index);
    stale.extend(found.routes.iter().filter(nobodys).cloned().map(Action::DeleteRoute));
    if let Some(lo) = found.links.iter().find(|link| link.name == "lo").filter(|_| wanted.ipv6.is_some()) {
        let routes = unreachable(wanted, lo.index);
        let old = || found.routes.iter().filter(|old| old.unreachable && old.protocol == FROM_LEASE);
        actions.extend(routes.iter().filter(|route| old().all(|old| old != *route)).cloned().map(Action::AddRoute));
        stale.extend(old().filter(|old| !routes.contains(old)).cloned().map(Action::DeleteRoute));
    }
    actions.append(&mut stale);
}
