//! The addresses on which a service of the house listens: private ones, of interfaces that are no uplink.
use super::Failure;
use super::rarely::Rarely;
use netstack::address::Address;
use netstack::event::{Interest, Loop, Token};
use netstack::link::Link;
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// The private addresses of interfaces that are up and whose name does not begin with `uplink`, with a port.
pub fn served(links: &[Link], addresses: &[Address], port: u16) -> Vec<SocketAddr> {
    let mut served: Vec<SocketAddr> = Vec::new();
    for address in addresses.iter().filter(|address| !address.tentative && is_private(address.ip)) {
        let link = links.iter().find(|link| link.index == address.index);
        let socket = match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, port, 0, address.index).into(),
            ip => SocketAddr::new(ip, port),
        };
        let ours = link.is_some_and(|link| link.up && !link.name.starts_with("uplink"));
        if ours && !served.contains(&socket) {
            served.push(socket);
        }
    }
    served
}

/// Knows these addresses, and when they change.
#[derive(Debug)]
pub struct Addresses {
    monitor: Monitor,
    netlink: Netlink,
    complaint: Rarely,
}

impl Addresses {
    /// Listens for changes, under a token of the caller's.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn open(turn: &Loop, token: Token) -> Result<Addresses, Failure> {
        // Before the first look: nothing that happens after it is missed.
        let monitor = Monitor::open().map_err(Failure::during("news of addresses"))?;
        turn.add(&monitor, token, Interest::READ)?;
        let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
        Ok(Addresses { monitor, netlink, complaint: Rarely::default() })
    }

    /// Takes the news; says whether there was any.
    pub fn changed(&mut self) -> bool {
        self.monitor.drain().any()
    }

    /// Those of now, with a port; none while the kernel does not tell.
    pub fn served(&mut self, now: Instant, port: u16) -> Vec<SocketAddr> {
        match self.netlink.links().and_then(|links| Ok((links, self.netlink.addresses()?))) {
            Ok((links, addresses)) => served(&links, &addresses, port),
            Err(error) => {
                self.complaint.warn(now, || format!("no word of the addresses: {error}"));
                Vec::new()
            }
        }
    }
}

/// The same, and before all others lan0's own address, which may not be there yet.
pub fn served_with(links: &[Link], addresses: &[Address], lan: Option<Ipv4Addr>, port: u16) -> Vec<SocketAddr> {
    let mut wanted: Vec<SocketAddr> = lan.map(|lan| SocketAddr::new(IpAddr::V4(lan), port)).into_iter().collect();
    for address in served(links, addresses, port) {
        if !wanted.contains(&address) {
            wanted.push(address);
        }
    }
    wanted
}

/// As router7 sees it: loopback, RFC 1918, RFC 6598, unique local and link-local.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            // gokrazy's own management network.
            let excluded = ip.segments().starts_with(&[0xfdf5, 0x3606, 0x2a21]);
            !excluded && (ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, up: bool) -> Link {
        Link { index, name: name.into(), up, ..Link::default() }
    }

    #[test]
    fn private_addresses_of_interfaces_that_are_up_and_no_uplink() {
        let links = [link(1, "lo", true), link(2, "uplink0", true), link(3, "lan0", true), link(4, "wg0", false)];
        let address = |index, ip: &str| Address::new(index, ip.parse().unwrap(), 24);
        let mut tentative = address(3, "fe80::2");
        tentative.tentative = true;
        let addresses = [
            address(1, "127.0.0.1"),
            address(1, "::1"),
            address(2, "10.0.0.2"),
            address(2, "fe80::9"),
            address(3, "192.168.42.1"),
            address(3, "100.127.0.1"),
            address(3, "100.128.0.1"),
            address(3, "2001:db8::1"),
            address(3, "fd00::1"),
            address(3, "fdf5:3606:2a21::1"),
            address(3, "fe80::1"),
            address(4, "10.9.0.1"),
            tentative,
        ];
        let texts: Vec<String> = served(&links, &addresses, 53).iter().map(SocketAddr::to_string).collect();
        let private =
            ["127.0.0.1:53", "[::1]:53", "192.168.42.1:53", "100.127.0.1:53", "[fd00::1]:53", "[fe80::1%3]:53"];
        assert_eq!(texts, private);
    }

    #[test]
    fn lan0s_address_is_served_before_it_exists_and_once() {
        let links = [link(3, "lan0", true)];
        let addresses = [Address::new(3, "192.168.42.1".parse().unwrap(), 24)];
        let texts = |lan: &str| -> Vec<String> {
            served_with(&links, &addresses, lan.parse().ok(), 53).iter().map(SocketAddr::to_string).collect()
        };
        assert_eq!(texts(""), ["192.168.42.1:53"]);
        assert_eq!(texts("192.168.42.1"), ["192.168.42.1:53"]);
        assert_eq!(texts("203.0.113.1"), ["203.0.113.1:53", "192.168.42.1:53"]);
    }
}
