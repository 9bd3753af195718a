//! The addresses that dhcp4d may give, as arithmetic on the server's own address.
use std::net::Ipv4Addr;

/// Addresses in the pool of a /24 or less at most: router7's number.
const OF_24: u32 = 230;
/// Addresses in a pool at most.
pub const LARGEST: u32 = 65_536;

/// The router's address and network, and the addresses beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    server: u32,
    prefix: u8,
    /// First and last address of the pool, where a person has said so.
    pool: Option<(u32, u32)>,
}

impl Subnet {
    /// The network of the router's interface. Prefixes of 31 and 32 bits have nobody else in them: an empty pool.
    pub fn new(server: Ipv4Addr, prefix: u8) -> Subnet {
        Subnet { server: server.into(), prefix: prefix.min(32), pool: None }
    }

    /// With this pool; `None` when it is not within the network, the wrong way round or larger than [`LARGEST`].
    pub fn with_pool(self, first: Ipv4Addr, last: Ipv4Addr) -> Option<Subnet> {
        let (first, last) = (u32::from(first), u32::from(last));
        let (lowest, highest) = self.hosts()?;
        let fits = lowest <= first && first <= last && last <= highest && last - first < LARGEST;
        fits.then_some(Subnet { pool: Some((first, last)), ..self })
    }

    /// The router's address.
    pub fn server(&self) -> Ipv4Addr {
        self.server.into()
    }

    /// The dotted mask.
    pub fn mask(&self) -> Ipv4Addr {
        self.bits().into()
    }

    /// Whether an address is in the network, be it a host's or not.
    pub fn spans(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.bits() == self.server & self.bits()
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

    /// How many places the pool has. In a network larger than a /24 as many of a hundred as in a /24.
    pub fn size(&self) -> u32 {
        match (self.pool, self.hosts()) {
            (_, None) => 0,
            (Some((first, last)), _) => last - first + 1,
            (None, Some((first, last))) if last - first < 256 => (last - first).min(OF_24),
            (None, Some((first, last))) => ((last - first) / 254 * OF_24).min(LARGEST),
        }
    }

    /// The address at a place: those after the server's own first, then from the network's beginning on. None at the
    /// server's own, where a pool goes over it.
    pub fn address(&self, index: u32) -> Option<Ipv4Addr> {
        let (first, last) = self.hosts()?;
        if index >= self.size() {
            return None;
        }
        let after = last - self.server;
        let address = match self.pool {
            Some((first, _)) => first + index,
            None if index < after => self.server + 1 + index,
            None => first + (index - after),
        };
        (address != self.server).then(|| address.into())
    }

    /// The place of an address, when it is in the pool.
    pub fn index(&self, address: Ipv4Addr) -> Option<u32> {
        let (first, last) = self.hosts()?;
        let address = u32::from(address);
        if address == self.server || !(first..=last).contains(&address) {
            return None;
        }
        let index = match self.pool {
            Some((first, _)) => address.checked_sub(first)?,
            None if address > self.server => address - self.server - 1,
            None => last - self.server + (address - first),
        };
        (index < self.size()).then_some(index)
    }

    /// Whether the address is in the pool.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.index(address).is_some()
    }

    /// router7's lease number: the offset from the server's address + 1.
    pub fn number(&self, address: Ipv4Addr) -> i64 {
        i64::from(u32::from(address)) - i64::from(self.server) - 1
    }
}

/// Which places of a pool are taken.
#[derive(Debug, Clone, Default)]
pub struct Places {
    words: Vec<u64>,
    size: u32,
    taken: u32,
}

impl Places {
    /// All free.
    pub fn new(size: u32) -> Places {
        Places { words: vec![0; size.div_ceil(64) as usize], size, taken: 0 }
    }

    /// Takes a place or frees it.
    pub fn set(&mut self, index: u32, taken: bool) {
        let Some(word) = self.words.get_mut((index / 64) as usize) else { return };
        let bit = 1 << (index % 64);
        match (*word & bit != 0, taken) {
            (false, true) => self.taken += 1,
            (true, false) => self.taken -= 1,
            _ => return,
        }
        *word ^= bit;
    }

    /// The first free place from `start` on, and on from the beginning.
    pub fn free(&self, start: u32) -> Option<u32> {
        if self.taken >= self.size {
            return None;
        }
        let count = self.words.len() as u32;
        let (first, offset) = (start / 64 % count, start % 64);
        // The first word twice: its upper part before all others, its lower part after them.
        (0..=count).find_map(|step| {
            let at = (first + step) % count;
            let mut free = !self.words[at as usize];
            if step == 0 {
                free &= u64::MAX << offset;
            }
            let index = at * 64 + free.trailing_zeros();
            (free != 0 && index < self.size).then_some(index)
        })
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

    #[test]
    fn larger_networks_and_a_persons_pool() {
        let subnet = Subnet::new([10, 0, 0, 1].into(), 22);
        assert_eq!(subnet.size(), 920);
        assert_eq!(Subnet::new([10, 0, 0, 1].into(), 8).size(), LARGEST);
        let ends = |first: [u8; 4], last: [u8; 4]| subnet.with_pool(first.into(), last.into());
        let pool = ends([10, 0, 0, 0], [10, 0, 0, 9]);
        assert_eq!(pool, None, "the network's own address");
        assert_eq!(ends([10, 0, 0, 9], [10, 0, 0, 8]), None);
        assert_eq!(ends([10, 0, 3, 9], [10, 0, 4, 8]), None);
        let pool = ends([10, 0, 0, 1], [10, 0, 1, 0]).unwrap();
        assert_eq!((pool.size(), pool.address(0), pool.address(1)), (256, None, Some([10, 0, 0, 2].into())));
        assert!(pool.contains([10, 0, 1, 0].into()) && !pool.contains([10, 0, 1, 1].into()));
    }

    proptest! {
        #[test]
        fn a_place_is_found_while_there_is_one(size in 1u32..200, start in 0u32..200, free in 0u32..200) {
            let mut places = Places::new(size);
            (0..size).for_each(|index| places.set(index, true));
            prop_assert_eq!(places.free(start % size), None);
            places.set(free % size, false);
            prop_assert_eq!(places.free(start % size), Some(free % size));
            places.set(free % size, true);
            prop_assert_eq!(places.free(start % size), None);
        }

        #[test]
        fn every_address_of_a_pool_is_a_host_and_there_once(server in any::<u32>(), prefix in 20u8..=32) {
            let subnet = Subnet::new(server.into(), prefix);
            let pool: Vec<Ipv4Addr> = (0..subnet.size()).filter_map(|index| subnet.address(index)).collect();
            prop_assert_eq!(pool.len(), subnet.size() as usize);
            let distinct: std::collections::HashSet<_> = pool.iter().collect();
            prop_assert_eq!(distinct.len(), pool.len());
            for address in pool {
                prop_assert!(subnet.contains(address) && address != subnet.server());
                prop_assert_eq!(subnet.index(address).and_then(|index| subnet.address(index)), Some(address));
            }
        }
    }
}
