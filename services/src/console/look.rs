//! A look at the kernel's network, in the words of the tables.
use super::engine::{Face, Network};
use netstack::address::Address;
use netstack::link::Link;
use netstack::netlink::Netlink;
use netstack::route::Route;
use std::io;

/// `RT_TABLE_MAIN` and `RTN_UNICAST`.
const MAIN: (u32, u8) = (254, 1);

/// Reads interfaces, addresses and routes.
///
/// # Errors
/// When the kernel refuses.
pub fn network() -> io::Result<Network> {
    let mut netlink = Netlink::route()?;
    let (links, addresses, routes) = (netlink.links()?, netlink.addresses()?, netlink.routes()?);
    let main: Vec<&Route> = routes.iter().filter(|route| (route.table, route.kind) == MAIN).collect();
    let default = main.iter().find(|route| route.destination.prefix_len() == 0 && route.destination.addr().is_ipv4());
    Ok(Network {
        faces: links.iter().map(|link| face(link, &addresses)).collect(),
        gateway: default.and_then(|route| route.gateway).map(|gateway| gateway.to_string()),
        routes: main.iter().map(|route| words(route, &links)).collect(),
    })
}

fn face(link: &Link, addresses: &[Address]) -> Face {
    let of_link = addresses.iter().filter(|address| address.index == link.index);
    let octets = link.mac.unwrap_or_default();
    Face {
        name: link.name.clone(),
        mac: crate::perm::Mac(octets).to_string(),
        mtu: link.mtu,
        up: link.up,
        carrier: link.running,
        addresses: of_link.map(ToString::to_string).collect(),
    }
}

fn words(route: &Route, links: &[Link]) -> String {
    let mut words =
        if route.destination.prefix_len() == 0 { "default".to_owned() } else { route.destination.to_string() };
    if let Some(gateway) = route.gateway {
        words.push_str(&format!(" via {gateway}"));
    }
    if let Some(link) = links.iter().find(|link| Some(link.index) == route.interface) {
        words.push_str(&format!(" dev {}", link.name));
    }
    if let Some(source) = route.source {
        words.push_str(&format!(" src {source}"));
    }
    words
}
