//! Options of the IP Control Protocol (RFC 1332) with the name servers of RFC 1877.
use super::automaton::{Choice, Layer, Verdict};
use std::net::Ipv4Addr;

const ADDRESS: u8 = 3;
/// The first and the second name server.
const DNS: [u8; 2] = [129, 131];

/// IPCP's options.
#[derive(Debug)]
pub struct Ipcp {
    /// Our address; unspecified until the peer has named one.
    pub address: Ipv4Addr,
    /// Name servers; `None` = not to be asked for any more.
    dns: [Option<Ipv4Addr>; 2],
    has_address: bool,
}

impl Ipcp {
    /// Nothing known.
    pub fn new() -> Ipcp {
        Ipcp { address: Ipv4Addr::UNSPECIFIED, dns: [Some(Ipv4Addr::UNSPECIFIED); 2], has_address: true }
    }

    /// The name servers that were named.
    pub fn dns(&self) -> Vec<Ipv4Addr> {
        let mut all: Vec<Ipv4Addr> = self.dns.into_iter().flatten().filter(is_host).collect();
        all.dedup();
        all
    }
}

/// An address that one machine may have.
fn is_host(address: &Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 224 && !address.is_loopback()
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

impl Layer for Ipcp {
    const NAME: &'static str = "IPCP";

    fn ask(&self) -> Vec<Choice> {
        let address = self.has_address.then(|| (ADDRESS, self.address.octets().to_vec()));
        let dns = DNS.into_iter().zip(self.dns).filter_map(|(kind, dns)| Some((kind, dns?.octets().to_vec())));
        address.into_iter().chain(dns).collect()
    }

    fn begin(&mut self) {}

    fn judge(&mut self, kind: u8, value: &[u8]) -> Verdict {
        match (kind, ipv4(value)) {
            // Its own address is its own business; one of its own it does not get from us.
            (ADDRESS, Some(address)) if !address.is_unspecified() => Verdict::Ack,
            _ => Verdict::Reject(vec![(kind, value.to_vec())]),
        }
    }

    fn naked(&mut self, kind: u8, value: &[u8]) {
        let Some(address) = ipv4(value) else { return };
        if kind == ADDRESS && is_host(&address) {
            self.address = address;
        }
        for (_, dns) in DNS.iter().zip(&mut self.dns).filter(|(number, dns)| **number == kind && dns.is_some()) {
            *dns = Some(address).filter(is_host);
        }
    }

    fn rejected(&mut self, kind: u8) {
        self.has_address &= kind != ADDRESS;
        for (_, dns) in DNS.iter().zip(&mut self.dns).filter(|(number, _)| **number == kind) {
            *dns = None;
        }
    }

    fn agreed(&self) -> Result<(), String> {
        let has = self.has_address && is_host(&self.address);
        if has { Ok(()) } else { Err("the concentrator gives no IPv4 address".into()) }
    }
}
