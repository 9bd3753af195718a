//! router7's graph of checks, made of what a round has found: a node whose parent failed was not asked.
use super::facts::{Delegated, Facts, Source, Tried};
use super::round::{Got, Way};
use super::rules::Case;
use super::words::day_and_time;
use serde::Serialize;
use std::net::IpAddr;

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is as it should be.
    Ok,
    /// It is not.
    Failed,
    /// Nobody asked: it is not wanted, or not there by intent.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// router7's name of it.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// In words.
    pub status: String,
    /// What depends on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

type Status = Result<String, String>;

fn node(name: impl Into<String>, status: Option<Status>, children: Vec<Node>) -> Node {
    let name = name.into();
    let (state, status) = match status {
        Some(Ok(status)) => (State::Ok, status),
        Some(Err(status)) => (State::Failed, status),
        None => (State::Skipped, "not asked".to_owned()),
    };
    let children =
        children.into_iter().map(|child| if state == State::Failed { child.waits_for(&name) } else { child });
    Node { children: children.collect(), name, state, status }
}

fn skipped(name: impl Into<String>, why: &str, children: Vec<Node>) -> Node {
    Node { name: name.into(), state: State::Skipped, status: why.to_owned(), children }
}

impl Node {
    fn waits_for(self, parent: &str) -> Node {
        let status = format!("dependency {parent} failed");
        let name = self.name;
        let children = self.children.into_iter().map(|child| child.waits_for(&name)).collect();
        Node {
            state: if self.state == State::Skipped { State::Skipped } else { State::Failed },
            status,
            children,
            name,
        }
    }

    /// The first node that failed, parents before children: `NAME: STATUS`.
    pub fn first_error(&self) -> Option<String> {
        if self.state == State::Failed {
            return Some(format!("{}: {}", self.name, self.status));
        }
        self.children.iter().find_map(Node::first_error)
    }
}

/// An echo: who answered and when; nobody, but what lies behind did; or nobody.
fn echo(tried: &Tried<Got>, beyond: bool) -> Option<Status> {
    Some(match tried.as_ref()? {
        Ok(got) => {
            let from = got.from.map_or_else(String::new, |from| format!(" from {from}"));
            Ok(format!("{:.2}ms{from}", got.took.as_secs_f64() * 1_000.0))
        }
        Err(why) if beyond => Ok(format!("{why}, but packets get through")),
        Err(why) => Err(why.clone()),
    })
}

fn connect(facts: &Facts, way: Way) -> Option<Status> {
    if facts.site(way) {
        return Some(Ok("connection established".to_owned()));
    }
    let mut tried = facts.outside.sites.iter().filter(|(_, by, _)| *by == way).map(|(_, _, tried)| tried);
    let why = tried.find_map(|tried| tried.as_ref()?.as_ref().err().cloned());
    let none = || facts.outside.names.first().map(|name| format!("{name} and its like have no address"));
    // Names that have no IPv6 address say nothing of IPv6.
    why.or_else(|| none().filter(|_| way == Way::V4)).map(Err)
}

/// The graph.
pub fn graph(case: &Case<'_>) -> Node {
    let (facts, local, outside) = (case.facts, &case.facts.local, &case.facts.outside);
    let names: Vec<String> = outside.names.iter().map(|name| format!("{name}:80")).collect();
    let (tcp4, tcp6) = (format!("tcp4: {}", names.join(", ")), format!("tcp6: {}", names.join(", ")));
    let sites = node(tcp4, connect(facts, Way::V4), vec![portal(case), big(case)]);
    let ping4 = match (local.gateway4, local.route4) {
        (None, true) => skipped("ping4: $default-gateway", "a session has no gateway", vec![sites, dns(case)]),
        (None, false) => node("ping4: $default-gateway", Some(Err("there is no default route".into())), vec![sites]),
        (Some(_), _) => {
            node("ping4: $default-gateway", echo(&outside.gateway4, facts.beyond4()), vec![sites, dns(case)])
        }
    };
    let mut children = vec![node("dhcp4", Some(dhcp4(case)), vec![ping4])];
    let interface = &local.interface;
    let routers = format!("ping6: ff02::2%{interface}");
    let site6 = |way| node(tcp6.clone(), connect(facts, way), Vec::new());
    let ping6 = node("ping6gw: $default-gateway", echo(&outside.gateway6, facts.beyond6()), vec![site6(Way::Uplink6)]);
    if local.expects_ipv6() {
        let route =
            if local.route6 { Ok("there is a default route".to_owned()) } else { Err("no router was heard".into()) };
        children.push(node("dhcp6", dhcp6(facts), vec![site6(Way::Lan6)]));
        children.push(node(format!("ra6/{interface}"), Some(route), vec![ping6]));
        children.push(node(routers, echo(&outside.routers, facts.beyond6() || outside.gateway6.is_some()), Vec::new()));
    } else if local.wants_ipv6.is_none() {
        for name in ["dhcp6", &format!("ra6/{interface}"), &routers] {
            children.push(skipped(name, "the provider offers no IPv6", Vec::new()));
        }
    }
    node(format!("link/{interface}"), Some(link(facts)), children)
}

fn link(facts: &Facts) -> Status {
    match &facts.local.uplink {
        None => Err("there is no such interface".to_owned()),
        Some(uplink) if !uplink.up => Err("is down".to_owned()),
        Some(uplink) if !uplink.carrier => Err("no carrier".to_owned()),
        Some(uplink) => Ok(format!("{} rx, {} tx", uplink.packets.0, uplink.packets.1)),
    }
}

fn dhcp4(case: &Case<'_>) -> Status {
    let local = &case.facts.local;
    match (local.address4(), local.source, local.renew4) {
        (None, Source::Pppoe, _) => Err("no session".to_owned()),
        (None, _, None) => Err("no lease".to_owned()),
        (None, _, Some(_)) => Err("the address is not there".to_owned()),
        (Some(address), Source::Fixed, _) => Ok(format!("{address} is fixed")),
        (Some(address), Source::Pppoe, _) => Ok(format!("{address} by a PPPoE session")),
        (Some(_), Source::Dhcp, Some(renew)) if renew < case.wall => {
            Ok(format!("to be renewed since {}, still in use", day_and_time(case.zone, renew, case.wall)))
        }
        (Some(_), Source::Dhcp, Some(renew)) => {
            Ok(format!("lease valid until {}", day_and_time(case.zone, renew, case.wall)))
        }
        (Some(address), Source::Dhcp, None) => Ok(format!("{address}, nobody says from where")),
    }
}

fn dhcp6(facts: &Facts) -> Option<Status> {
    match facts.local.delegated {
        Delegated::Never => None,
        Delegated::InForce => Some(Ok("lease valid".to_owned())),
        Delegated::RanOut => Some(Err("the lease has run out".to_owned())),
    }
}

/// Not router7's: each name server.
fn dns(case: &Case<'_>) -> Node {
    let outside = &case.facts.outside;
    let any = outside.servers.iter().any(|(_, tried)| matches!(tried, Some(Ok(_))));
    let child = |(server, tried): &(std::net::SocketAddr, Tried<Got>)| {
        // One of several may be silent.
        let status = echo(tried, false).map(|status| if any { Ok(status.unwrap_or_else(|why| why)) } else { status });
        node(format!("dns: {}", plain(server)), status, Vec::new())
    };
    let status = match (outside.servers.is_empty(), any) {
        (true, _) => None,
        (false, true) => Some(Ok("names are answered".to_owned())),
        (false, false) => Some(Err("no name server answers".to_owned())),
    };
    node("dns", status, outside.servers.iter().map(child).collect())
}

fn plain(server: &std::net::SocketAddr) -> String {
    match (server.port(), server.ip()) {
        (53, IpAddr::V4(ip)) => ip.to_string(),
        (53, IpAddr::V6(ip)) => ip.to_string(),
        _ => server.to_string(),
    }
}

/// Not router7's: a page that is as it is everywhere.
fn portal(case: &Case<'_>) -> Node {
    let Some((portal, tried)) = &case.facts.outside.portal else {
        return skipped("portal", "not asked", Vec::new());
    };
    let status = tried.as_ref().map(|tried| match tried {
        Ok(page) if portal.is(page) => Ok("as it is everywhere".to_owned()),
        Ok(page) => Err(format!("status {} {}", page.status, page.location).trim_end().to_owned()),
        // The host may be down: that alone is no portal.
        Err(why) => Ok(why.clone()),
    });
    node(format!("portal: {}", portal.url), status, Vec::new())
}

/// Not router7's: packets of the uplink's MTU.
fn big(case: &Case<'_>) -> Node {
    let big = &case.facts.outside.big;
    let status = match (big.asked, big.passed, big.told, big.largest) {
        (0, ..) => None,
        (_, 1.., ..) => Some(Ok("gets through".to_owned())),
        (_, 0, Some(told), _) => Some(Ok(format!("the way takes {told}, and says so"))),
        (_, 0, None, Some(largest)) => Some(Err(format!("is lost, {largest} get through"))),
        (_, 0, None, None) => Some(Ok("not answered, nor are smaller ones".to_owned())),
    };
    let name = if big.size == 0 { "mtu".to_owned() } else { format!("mtu: {}", big.size) };
    node(name, status, Vec::new())
}
