//! A name server as a person writes it: `ADDRESS`, `ADDRESS:PORT`, `tls://ADDRESS#NAME`, `tls://ADDRESS` or `tls://NAME`.
//! With TLS (RFC 7858) the certificate has to hold for the name, or for the address where there is none (RFC 8310, strict).
use super::resolver::{PORT, is_label};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The port of DNS over TLS.
pub const TLS_PORT: u16 = 853;
/// What comes before a server that is asked over TLS.
const TLS: &str = "tls://";

/// A name server at its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where it is asked.
    pub address: SocketAddr,
    /// Whose certificate it must show, a name or an address; it is asked over TLS then, and never otherwise.
    pub proves: Option<Arc<str>>,
}

/// What a person may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A server whose address is known.
    At(Server),
    /// A server with TLS whose address is asked for first.
    Named {
        /// Its name, lower-case, which its certificate must hold for.
        name: Arc<str>,
        /// The port.
        port: u16,
    },
}

impl Server {
    /// Whether it is asked over TLS.
    pub fn is_secure(&self) -> bool {
        self.proves.is_some()
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Server {
        Server { address, proves: None }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proves {
            None => write!(f, "{}", self.address),
            Some(name) if **name == *self.address.ip().to_string() => write!(f, "{TLS}{}", self.address),
            Some(name) => write!(f, "{TLS}{}#{name}", self.address),
        }
    }
}

impl Upstream {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with the text, to be said after it.
    pub fn parse(text: &str) -> Result<Upstream, &'static str> {
        let Some(rest) = text.strip_prefix(TLS) else {
            let address =
                at(text, PORT).ok_or("is neither an address nor an address and a port, nor tls:// and one")?;
            return usable(address).map(|address| Upstream::At(address.into()));
        };
        let (place, name) = rest.split_once('#').map_or((rest, None), |(place, name)| (place, Some(name)));
        if let Some(address) = at(place, TLS_PORT) {
            let address = usable(address)?;
            let proves = match name {
                None => address.ip().to_string(),
                Some(name) => domain(name).ok_or("has no name that a certificate could hold for behind its #")?,
            };
            return Ok(Upstream::At(Server { address, proves: Some(proves.into()) }));
        }
        if name.is_some() {
            return Err("has a name before its # where an address belongs");
        }
        let (name, port) = match place.rsplit_once(':') {
            None => (place, TLS_PORT),
            Some((name, port)) => (name, port.parse().ok().filter(|port| *port > 0).ok_or("has no port behind its :")?),
        };
        let name = domain(name).ok_or("names neither an address nor a domain behind tls://")?;
        Ok(Upstream::Named { name: name.into(), port })
    }

    /// Whether it is asked over TLS.
    pub fn is_secure(&self) -> bool {
        self.server().is_none_or(Server::is_secure)
    }

    /// Its address and what it proves, when these are known without asking.
    pub fn server(&self) -> Option<&Server> {
        match self {
            Upstream::At(server) => Some(server),
            Upstream::Named { .. } => None,
        }
    }
}

fn at(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
    address.or_else(|| text.parse().ok())
}

fn usable(address: SocketAddr) -> Result<SocketAddr, &'static str> {
    if cannot_be_asked(address.ip()) || address.port() == 0 { Err("cannot be asked") } else { Ok(address) }
}

// A name of the world: a single label, or a number at its end, is none that an authority vouches for.
fn domain(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = name.contains('.') && !last.bytes().all(|byte| byte.is_ascii_digit());
    (is_name && name.len() <= 253 && name.split('.').all(is_label)).then_some(name)
}

/// Whether an address is nobody's who could answer.
pub fn cannot_be_asked(address: IpAddr) -> bool {
    // A link-local address says nothing without its link.
    let of_a_link = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.is_unspecified() || address.is_multicast() || broadcast || of_a_link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_shown() {
        for (text, shown, proves) in [
            ("9.9.9.9", "9.9.9.9:53", None),
            ("[2620:fe::fe]:5353", "[2620:fe::fe]:5353", None),
            ("tls://9.9.9.9", "tls://9.9.9.9:853", Some("9.9.9.9")),
            ("tls://9.9.9.9#DNS.Quad9.net.", "tls://9.9.9.9:853#dns.quad9.net", Some("dns.quad9.net")),
            ("tls://[2620:fe::fe]#dns.quad9.net", "tls://[2620:fe::fe]:853#dns.quad9.net", Some("dns.quad9.net")),
            ("tls://2620:fe::fe#dns.quad9.net", "tls://[2620:fe::fe]:853#dns.quad9.net", Some("dns.quad9.net")),
            ("tls://[2620:fe::fe]:8853", "tls://[2620:fe::fe]:8853", Some("2620:fe::fe")),
        ] {
            let Ok(Upstream::At(server)) = Upstream::parse(text) else { panic!("{text}") };
            assert_eq!((server.to_string().as_str(), server.proves.as_deref()), (shown, proves));
            assert_eq!(Upstream::parse(shown).unwrap().server(), Some(&server), "what is shown can be written");
        }
        for (text, port) in [("tls://DNS.quad9.net", 853), ("tls://dns.quad9.net:8853", 8853)] {
            assert_eq!(Upstream::parse(text), Ok(Upstream::Named { name: "dns.quad9.net".into(), port }));
        }
    }

    #[test]
    fn what_cannot_be_asked_or_believed_is_refused() {
        for text in [
            "",
            "dns.quad9.net",
            "tls://",
            "tls://#dns.quad9.net",
            "tls://9.9.9.9#",
            "tls://9.9.9.9#a b.example",
            "tls://9.9.9.9#9.9.9.9",
            "tls://router",
            "tls://0.0.0.0#dns.example",
            "tls://9.9.9.9:0",
            "tls://dns.example:0",
            "tls://dns.example:x",
            "tls://dns.example#other.example",
            "tls://999.9.9.9",
            "https://dns.example/dns-query",
            "fe80::1",
        ] {
            assert!(Upstream::parse(text).is_err(), "{text}");
        }
    }
}
