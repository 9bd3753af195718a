//! The addresses that dhcp4d may give, as arithmetic on the server's own address.
use std::net::Ipv4Addr;

/// Addresses in a pool at most: router7's number for a /24.
pub const LARGEST: u32 = 230;

/// The server's address and network, and the addresses beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    server: u32,
    prefix: u8,
}

impl Subnet {
    /// The network of the server's interface. Prefixes of 31 and 32 bits have nobody else in them: an empty pool.
    pub fn new(server: Ipv4Addr, prefix: u8) -> Subnet {
        Subnet { server: server.into(), prefix: prefix.min(32) }
    }

    /// The server's address.
    pub fn server(&self) -> Ipv4Addr {
        self.server.into()
    }

    /// The dotted mask.
    pub fn mask(&self) -> Ipv4Addr {
        self.bits().into()
    }

    fn bits(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// The first and last host address, when the network has any and the server has one of them.
    fn hosts(&self) -> Option<(u32, u32)> {
        let network = self.server & self.bits();
        let hosts = (self.prefix <= 30).then(|| (network + 1, (network | !self.bits()) - 1))?;
        (hosts.0..=hosts.1).contains(&self.server).then_some(hosts)
    }

    /// Whether a client of this network can have `address` at all: not the server's, network's or broadcast.
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        address != self.server && self.hosts().is_some_and(|(first, last)| (first..=last).contains(&address))
    }

    /// How many addresses are in the pool.
    pub fn size(&self) -> u32 {
        self.hosts().map_or(0, |(first, last)| (last - first).min(LARGEST))
    }

    /// The pool's address number `index`: those after the server's own first, then from the network's beginning on.
    pub fn address(&self, index: u32) -> Option<Ipv4Addr> {
        let (first, last) = self.hosts()?;
        if index >= self.size() {
            return None;
        }
        let after = last - self.server;
        let address = if index < after { self.server + 1 + index } else { first + (index - after) };
        Some(address.into())
    }

    /// Whether `address` is in the pool.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.holds(address) && self.position(address) < self.size()
    }

    fn position(&self, address: Ipv4Addr) -> u32 {
        let address = u32::from(address);
        let Some((first, last)) = self.hosts() else { return u32::MAX };
        if address > self.server { address - self.server - 1 } else { last - self.server + (address - first) }
    }

    /// router7's lease number: the offset from the server's address + 1.
    pub fn number(&self, address: Ipv4Addr) -> i64 {
        i64::from(u32::from(address)) - i64::from(self.server) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn router7s_pool() {
        let subnet = Subnet::new([192, 168, 42, 1].into(), 24);
        assert_eq!(subnet.size(), 230);
        assert_eq!(subnet.address(0), Some([192, 168, 42, 2].into()));
        assert_eq!(subnet.address(229), Some([192, 168, 42, 231].into()));
        assert_eq!(subnet.address(230), None);
        assert_eq!(subnet.number([192, 168, 42, 4].into()), 2);
        assert!(subnet.holds([192, 168, 42, 250].into()) && !subnet.contains([192, 168, 42, 250].into()));
    }

    #[test]
    fn a_server_at_the_end_or_in_a_small_network() {
        let subnet = Subnet::new([10, 0, 0, 254].into(), 24);
        assert_eq!(subnet.address(0), Some([10, 0, 0, 1].into()));
        assert_eq!(subnet.size(), 230);
        let subnet = Subnet::new([10, 0, 0, 2].into(), 30);
        assert_eq!((subnet.size(), subnet.address(0)), (1, Some([10, 0, 0, 1].into())));
        assert_eq!(Subnet::new([10, 0, 0, 2].into(), 31).size(), 0);
        assert_eq!(Subnet::new([10, 0, 0, 2].into(), 32).address(0), None);
    }

    proptest! {
        #[test]
        fn every_address_of_a_pool_is_a_host_and_there_once(server in any::<u32>(), prefix in 0u8..=32) {
            let subnet = Subnet::new(server.into(), prefix);
            let pool: Vec<Ipv4Addr> = (0..subnet.size()).filter_map(|index| subnet.address(index)).collect();
            prop_assert_eq!(pool.len(), subnet.size() as usize);
            let distinct: std::collections::HashSet<_> = pool.iter().collect();
            prop_assert_eq!(distinct.len(), pool.len());
            for address in pool {
                prop_assert!(subnet.contains(address) && address != subnet.server());
            }
        }
    }
}
