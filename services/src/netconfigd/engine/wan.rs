//! What holds on the uplink: the fixed configuration of interfaces.json where there is one, else the leases.
use super::{FROM_FILE, FROM_LEASE, Wanted};
use crate::perm::interfaces::Interface;
use crate::perm::lease4;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr};

/// The smallest MTU that a provider may ask for, which IPv6 needs (RFC 8200, section 5), and the largest, in bytes.
const MTU: std::ops::RangeInclusive<u32> = 1_280..=1_500;

/// A route of the uplink before it has a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Destination.
    pub destination: IpNet,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// The router's own source.
    pub source: Option<IpAddr>,
    /// [`FROM_FILE`] or [`FROM_LEASE`].
    pub protocol: u8,
}

impl Wanted {
    fn uplink(&self) -> Option<&Interface> {
        self.interfaces.uplink()
    }

    /// The DHCPv4 lease, where the file has not fixed the gateway.
    pub fn lease_in_force(&self) -> Option<&lease4::Checked> {
        self.lease.as_ref().filter(|_| self.uplink().is_none_or(|uplink| uplink.gateway.is_none()))
    }

    /// Whether it is known what IPv4 the uplink is to have, so that anything else is stale.
    pub fn knows_ipv4(&self) -> bool {
        self.lease.is_some() || self.uplink().is_some_and(|uplink| uplink.gateway.is_some())
    }

    /// The uplink's MTU: a person's, else the provider's if it is sane. That of a PPPoE session was agreed on with the
    /// concentrator, a person's word included.
    pub fn uplink_mtu(&self) -> Option<u32> {
        let by_file = self.uplink().filter(|uplink| uplink.pppoe.is_none()).map(|uplink| uplink.mtu);
        let by_file = by_file.filter(|mtu| *mtu != 0);
        by_file.or_else(|| self.lease_in_force()?.mtu.filter(|mtu| MTU.contains(mtu)))
    }

    /// What is passed over in the provider's configuration, in words.
    pub fn passed_over(&self) -> Vec<String> {
        let mtu = self.lease_in_force().and_then(|lease| lease.mtu).filter(|mtu| !MTU.contains(mtu));
        let words = |mtu| format!("uplink0: the provider's MTU {mtu} is ignored: not {} to {}", MTU.start(), MTU.end());
        mtu.map(words).into_iter().collect()
    }

    /// Prefixes delegated to the router.
    pub fn delegations(&self) -> impl Iterator<Item = &(Ipv6Net, bool)> {
        self.ipv6.iter().flat_map(|ipv6| &ipv6.delegations)
    }

    /// The routes of the uplink that follow from its configuration; [`super::bypass`] says what becomes of the default ones.
    pub fn ways(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        if let Some(uplink) = self.uplink() {
            let way = |destination, gateway| Way { destination, gateway, source: None, protocol: FROM_FILE };
            if let Some(gateway) = uplink.gateway {
                let mut nets = uplink.addr.iter().chain(&uplink.extra_addrs);
                if !nets.any(|net| net.contains(&IpAddr::V4(gateway))) {
                    ways.push(way(IpNet::from(IpAddr::V4(gateway)), None));
                }
                ways.push(way(IpNet::V4(Ipv4Net::default()), Some(gateway.into())));
            }
            if let Some(gateway) = uplink.gateway6 {
                ways.push(way(IpNet::V6(Ipv6Net::default()), Some(gateway.into())));
            }
        }
        if let Some(lease) = self.lease_in_force() {
            of_lease(lease, &mut ways);
        }
        ways
    }
}

fn of_lease(lease: &lease4::Checked, ways: &mut Vec<Way>) {
    let source = Some(IpAddr::V4(lease.address.0));
    let way = |destination, gateway| Way { destination, gateway, source, protocol: FROM_LEASE };
    let host = |address: Ipv4Addr| IpNet::from(IpAddr::V4(address));
    let subnet = Ipv4Net::new(lease.address.0, lease.address.1).unwrap_or_default();
    // A gateway may lie outside the lease's subnet. The default one has its own route in any case, as router7's.
    ways.extend(lease.router.map(|router| way(host(router), None)));
    for route in &lease.routes {
        let gateway = Some(route.gateway).filter(|gateway| !gateway.is_unspecified());
        let outside = gateway.filter(|gateway| !subnet.contains(gateway) && Some(*gateway) != lease.router);
        let known = |gateway: &Ipv4Addr| ways.iter().any(|way| way.destination == host(*gateway));
        if let Some(gateway) = outside.filter(|gateway| !known(gateway)) {
            ways.push(way(host(gateway), None));
        }
        ways.push(way(IpNet::V4(route.destination.trunc()), gateway.map(IpAddr::V4)));
    }
    if let Some(router) = lease.router {
        ways.push(way(IpNet::V4(Ipv4Net::default()), Some(router.into())));
    }
}
