//! Where an address is, by the routes: a packet that came from elsewhere would have been refused (RFC 3704).
use super::UPLINK;
use crate::perm::Mac;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Neighbours that are remembered.
const NEIGHBOURS: usize = 8_192;

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The router itself.
    Router,
    /// Behind the uplink.
    Internet,
    /// Behind another interface, by its name.
    Lan(&'a str),
    /// Nowhere: no route leads there.
    Nowhere,
}

/// Routes and neighbours at one moment.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// By destination: the interface's name, or none for an address of the router's own.
    routes: BTreeMap<IpNet, Option<String>>,
    neighbours: BTreeMap<IpAddr, Mac>,
}

impl Places {
    /// Of two routes to the same network the first counts, so the better ones come first.
    pub fn new(
        routes: impl IntoIterator<Item = (IpNet, Option<String>)>,
        neighbours: impl IntoIterator<Item = (IpAddr, Mac)>,
    ) -> Places {
        let mut places = Places { neighbours: neighbours.into_iter().collect(), ..Places::default() };
        for (net, interface) in routes {
            places.routes.entry(net.trunc()).or_insert(interface);
        }
        places
    }

    /// Takes the routes of now, and the neighbours of now beside those that were known before, as far as there is room.
    pub fn renew(&mut self, now: Places) {
        let before = std::mem::replace(&mut self.neighbours, now.neighbours);
        let room = NEIGHBOURS.saturating_sub(self.neighbours.len());
        for (address, mac) in before.into_iter().take(room) {
            self.neighbours.entry(address).or_insert(mac);
        }
        self.routes = now.routes;
    }

    /// Where it is, by the longest prefix.
    pub fn of(&self, address: IpAddr) -> Place<'_> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let nets = (0..=longest).rev().filter_map(|length| IpNet::new(address, length).ok());
        let route = nets.filter_map(|net| self.routes.get(&net.trunc())).next();
        match route {
            None => Place::Nowhere,
            Some(None) => Place::Router,
            Some(Some(name)) if name == UPLINK => Place::Internet,
            Some(Some(name)) => Place::Lan(name),
        }
    }

    /// The hardware address of a neighbour.
    pub fn mac(&self, address: IpAddr) -> Option<Mac> {
        self.neighbours.get(&address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_says_where() {
        let route = |net: &str, interface: Option<&str>| (net.parse().unwrap(), interface.map(str::to_owned));
        let places = Places::new(
            [
                route("192.168.42.1/32", None),
                route("192.168.42.0/24", Some("lan0")),
                route("192.168.42.0/24", Some("lan1")),
                route("0.0.0.0/0", Some("uplink0")),
                route("2001:db8:a::/64", Some("guest")),
            ],
            [("192.168.42.7".parse().unwrap(), Mac([2, 0, 0, 0, 0, 7]))],
        );
        for (address, place) in [
            ("192.168.42.1", Place::Router),
            ("192.168.42.7", Place::Lan("lan0")),
            ("9.9.9.9", Place::Internet),
            ("2001:db8:a::1", Place::Lan("guest")),
            ("2001:db8:b::1", Place::Nowhere),
        ] {
            assert_eq!(places.of(address.parse().unwrap()), place, "{address}");
        }
        assert!(places.mac("192.168.42.7".parse().unwrap()).is_some());
    }
}
