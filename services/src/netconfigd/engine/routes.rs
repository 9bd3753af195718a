//! Routes: those of interfaces.json, and the two of the lease (the gateway on the link, the default through it).
use super::names::Role;
use super::{Action, FROM_FILE, FROM_LEASE, Found, Route, UPLINK, Wanted};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr};

fn default_v4() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0))
}

fn of_file(wanted: &Wanted, role: &Role) -> Vec<Route> {
    let Some(entry) = wanted.interfaces.interfaces.get(role.entry) else { return Vec::new() };
    let route = |route: &crate::perm::interfaces::Route| Route {
        destination: route.destination.trunc(),
        gateway: route.gateway,
        index: role.index,
        source: None,
        protocol: FROM_FILE,
    };
    entry.extra_routes.iter().map(route).collect()
}

/// A WireGuard interface with a default route of its own takes the lease's place.
fn tunnelled(wanted: &Wanted) -> bool {
    let mut tunnels = wanted.interfaces.interfaces.iter().filter(|entry| entry.name.starts_with("wg"));
    tunnels.any(|entry| entry.extra_routes.iter().any(|route| route.destination == default_v4()))
}

fn of_lease(wanted: &Wanted, role: &Role) -> Vec<Route> {
    let Some(lease) = wanted.lease.as_ref().filter(|_| role.name == UPLINK) else { return Vec::new() };
    let Some(router) = lease.router else { return Vec::new() };
    let source = Some(IpAddr::V4(lease.address.0));
    let route = |destination, gateway| Route { destination, gateway, index: role.index, source, protocol: FROM_LEASE };
    // The gateway may lie outside the lease's subnet.
    let mut routes = vec![route(IpNet::from(IpAddr::V4(router)), None)];
    if !tunnelled(wanted) {
        routes.push(route(default_v4(), Some(IpAddr::V4(router))));
    }
    routes
}

/// Adds what is missing, then takes away what an earlier lease or file left on the links that play an entry.
pub fn plan(wanted: &Wanted, roles: &[Role], found: &Found, actions: &mut Vec<Action>) {
    let mut stale = Vec::new();
    for role in roles {
        let routes: Vec<Route> = of_lease(wanted, role).into_iter().chain(of_file(wanted, role)).collect();
        for route in &routes {
            if !found.routes.contains(route) {
                actions.push(Action::AddRoute(route.clone()));
            }
        }
        let leased = role.name == UPLINK && wanted.lease.is_some();
        for old in found.routes.iter().filter(|old| old.index == role.index && !routes.contains(old)) {
            let replaced = routes.iter().any(|route| route.destination == old.destination);
            let ours = old.protocol == FROM_FILE || (old.protocol == FROM_LEASE && leased);
            if ours && !replaced {
                stale.push(Action::DeleteRoute(old.clone()));
            }
        }
    }
    actions.append(&mut stale);
}
