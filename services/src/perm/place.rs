//! A server as a person writes it: `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`.
use super::entries::is_host_name;
use std::fmt;
use std::net::IpAddr;

/// An address or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address.
    At(IpAddr),
    /// A name, in lower case.
    Named(String),
}

impl Host {
    /// The address, where it is written by one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Host::At(address) => Some(*address),
            Host::Named(_) => None,
        }
    }

    /// The name, where it is written by one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Host::At(_) => None,
            Host::Named(name) => Some(name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::At(address) => address.fmt(f),
            Host::Named(name) => f.write_str(name),
        }
    }
}

/// A host and a port of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl Place {
    /// Understands a text; `port` is meant where it says none. `None` = it is no such place.
    pub fn parse(text: &str, port: u16) -> Option<Place> {
        let (host, written) = match (text.strip_prefix('['), text.parse::<IpAddr>()) {
            (None, Ok(_)) => (text, None),
            (Some(rest), _) => {
                let (host, port) = rest.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            (None, Err(_)) => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = written.map_or(Some(port), |port| port.parse().ok().filter(|port| *port != 0))?;
        let host = match host.parse::<IpAddr>() {
            Ok(address) => Host::At(address),
            Err(_) if is_host_name(host) => Host::Named(host.to_ascii_lowercase()),
            Err(_) => return None,
        };
        Some(Place { host, port })
    }
}
