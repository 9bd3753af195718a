//! The ruleset as nftables: what may come in, what may go through, and under which address it leaves.
//!
//! A chain that drops does so twice, by its policy and by its last rule: a chain that is made anew has the policy
//! "accept" for a moment, its rules are in force at once.
//!
//! Established connections pass after a handful of rules; only a packet that begins one is asked all questions.
use super::engine::{Firewall, Lan};
use netstack::nft::{Chain, Element, Field, Hook, Kind, Part, Policy, Rule, Set, Table, Value, state};
use std::net::Ipv4Addr;

/// The table's name; no other is touched.
pub const TABLE: &str = "weir";
/// Packets and bytes as router7 counts them, by hook: forwarded, to the router, from the router; IPv4 and IPv6.
pub const TRAFFIC: [(&str, &str); 3] = [("forward4", "forward6"), ("input4", "input6"), ("output4", "output6")];
/// Dropped packets by cause: of no connection; begun by the internet; by a guest; from a source that is not ours; from one
/// that cannot be there; beyond a device's share of the connection table; other.
const INVALID: &str = "drop_invalid";
const WAN: &str = "drop_wan";
const GUEST: &str = "drop_guest";
const SOURCE: &str = "drop_source";
const SPOOFED: &str = "drop_spoofed";
const SHARE: &str = "drop_share";
const OTHER: &str = "drop_other";
/// All of them.
pub const DROPS: [&str; 7] = [INVALID, WAN, GUEST, SOURCE, SPOOFED, SHARE, OTHER];
/// Pings from the internet that are answered: a second, and at once.
const PINGS: (u64, u32) = (20, 50);
/// Errors without which connections break: destination unreachable, time exceeded, parameter problem.
const ICMP: [u8; 3] = [3, 11, 12];
/// RFC 4890: errors (with packet too big), listener discovery, router advertisement, neighbour discovery.
const ICMPV6: [u8; 11] = [1, 2, 3, 4, 130, 131, 132, 134, 135, 136, 143];
/// What a guest may say to the router besides names and addresses: errors, echo, router and neighbour discovery.
const ICMPV6_GUEST: [u8; 10] = [1, 2, 3, 4, 128, 131, 133, 135, 136, 143];
/// "Source address failed ingress/egress policy" (RFC 4443, section 3.1), so many a second and at once.
const WRONG_SOURCE: (u8, u64, u32) = (5, 100, 50);
/// Echo request, IPv4 and IPv6.
const ECHO: (u8, u8) = (8, 128);
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Lines of refused packets in the kernel's log: a second, and at once.
const LINES: (u64, u32) = (1, 5);
/// Devices whose connections are counted at a time.
const DEVICES: u32 = 4_096;
/// Sources that nobody on the internet has: this network, private, shared, loopback, link-local, multicast, reserved
/// (RFC 6890). Networks for documentation are left out: laboratories use them as the internet.
const BOGONS: [&str; 9] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Makes our table say this.
///
/// # Errors
/// Names the chain and rule that the kernel refused; what stood before is then still in force.
pub fn commit(firewall: &Firewall) -> Result<(), String> {
    table(firewall).replace().map_err(|error| error.to_string())
}

/// The table `inet weir`.
fn table(firewall: &Firewall) -> Table {
    let table = TRAFFIC
        .iter()
        .flat_map(|(ipv4, ipv6)| [ipv4, ipv6])
        .chain(&DROPS)
        .fold(Table::new(TABLE), |table, name| table.counter(name));
    let devices = [("busy4", Field::Ipv4), ("busy6", Field::Ipv6)];
    let table = devices.iter().fold(table, |table, (name, field)| table.set(Set::by_rules(name, &[*field], DEVICES)));
    let bogons = BOGONS.iter().filter_map(|net| net.parse().ok()).map(Element::net).collect();
    let table = table.set(Set::ranges("bogons", &[Field::Ipv4], bogons));
    let table = forwardings(firewall).into_iter().fold(table, Table::set);
    let chains = [
        wan(),
        egress(firewall),
        clamp(firewall),
        strangers(firewall),
        from_wan(firewall),
        guests(),
        share(firewall),
        refused(),
        log(),
        ours(firewall),
        forwarded(firewall),
        input(firewall),
        forward(firewall),
        counted(Chain::base("output", Kind::Filter, Hook::Output, 0, Policy::Accept), TRAFFIC[2]),
        Chain::base("prerouting", Kind::Nat, Hook::Prerouting, -100, Policy::Accept).rule(Rule::new().jump("ours")),
        Chain::base("redirect", Kind::Nat, Hook::Output, -100, Policy::Accept).rule(Rule::new().jump("ours")),
        postrouting(firewall),
    ];
    chains.into_iter().fold(table, Table::chain)
}

fn counted(chain: Chain, (ipv4, ipv6): (&str, &str)) -> Chain {
    chain.rule(Rule::new().ipv4().count_in(ipv4)).rule(Rule::new().ipv6().count_in(ipv6))
}

fn known(chain: Chain) -> Chain {
    chain
        .rule(Rule::new().ct_state(state::ESTABLISHED | state::RELATED).accept())
        .rule(Rule::new().ct_state(state::INVALID).count_in(INVALID).drop())
}

/// Names of LANs that are no guests': every `lan*`, and others by name. Guests are asked for before.
fn insiders(firewall: &Firewall) -> impl Iterator<Item = &str> {
    let others = firewall.lans.iter().filter(|lan| !lan.guest && !lan.name.starts_with("lan"));
    std::iter::once("lan*").chain(others.map(|lan| lan.name.as_str()))
}

fn guest_lans(firewall: &Firewall) -> impl Iterator<Item = &Lan> {
    firewall.lans.iter().filter(|lan| lan.guest)
}

fn input(firewall: &Firewall) -> Chain {
    let chain = counted(Chain::base("input", Kind::Filter, Hook::Input, 0, Policy::Drop), TRAFFIC[1]);
    let chain = known(chain).rule(Rule::new().iifname("lo").accept());
    let chain = chain.rule(Rule::new().iifname(firewall.uplink()).jump("wan"));
    let chain =
        guest_lans(firewall).fold(chain, |chain, lan| chain.rule(Rule::new().iifname(&lan.name).jump("guests")));
    let chain = insiders(firewall).fold(chain, |chain, name| chain.rule(Rule::new().iifname(name).accept()));
    chain.rule(Rule::new().jump("refused")).rule(Rule::new().drop())
}

fn forward(firewall: &Firewall) -> Chain {
    let uplink = firewall.uplink();
    let chain = counted(Chain::base("forward", Kind::Filter, Hook::Forward, 0, Policy::Drop), TRAFFIC[0]);
    let chain = chain.rule(Rule::new().oifname(uplink).jump("egress"));
    // Both ways: a SYN that leaves, and one, or its answer, that comes in.
    let chain = known(chain.rule(Rule::new().tcp_syn().jump("clamp")));
    let chain = chain.rule(Rule::new().iifname(uplink).jump("from_wan"));
    // From here on it comes from a LAN; each device has its share of the connection table.
    let chain = chain.rule(Rule::new().no_way_back().count_in(SPOOFED).drop()).rule(Rule::new().jump("share"));
    let chain = guest_lans(firewall).fold(chain, |chain, lan| {
        let from = || Rule::new().iifname(&lan.name);
        let chain = chain.rule(from().oifname(uplink).accept()).rule(from().forwarded().accept());
        chain.rule(from().count_in(GUEST).drop())
    });
    let chain = insiders(firewall).fold(chain, |chain, name| chain.rule(Rule::new().iifname(name).accept()));
    chain.rule(Rule::new().jump("refused")).rule(Rule::new().drop())
}

/// What the internet may begin with the LANs: what was forwarded to them, and pinholes.
fn from_wan(firewall: &Firewall) -> Chain {
    let chain = Chain::plain("from_wan").rule(Rule::new().jump("strangers")).rule(Rule::new().forwarded().accept());
    let bound = firewall.pinholes.iter().filter(|pinhole| pinhole.source.is_some());
    let chain = bound.fold(chain, |chain, pinhole| {
        let rule = pinhole.source.map_or_else(Rule::new, |net| Rule::new().source(net.into()));
        let to = ipnet::Ipv6Net::from(pinhole.to);
        let rule = rule.destination(to.into()).protocol(pinhole.protocol.into());
        chain.rule(rule.ports(pinhole.ports.0, pinhole.ports.1).accept())
    });
    let hole = [Part::DestinationIpv6, Part::Protocol, Part::Port];
    let open = firewall.pinholes.iter().any(|pinhole| pinhole.source.is_none());
    let chain = [TCP, UDP].into_iter().filter(|_| open).fold(chain, |chain, protocol| {
        chain.rule(Rule::new().ipv6().protocol(protocol.into()).in_set(&hole, "pinholes").accept())
    });
    chain.rule(Rule::new().count_in(WAN).jump("log")).rule(Rule::new().drop())
}

/// Sources that cannot be on the internet: those of our own networks (RFC 3704), and those that nobody has there.
fn strangers(firewall: &Firewall) -> Chain {
    let chain = Chain::plain("strangers").rule(Rule::new().no_way_back().count_in(SPOOFED).drop());
    if firewall.private_uplink {
        return chain;
    }
    chain.rule(Rule::new().ipv4().in_set(&[Part::SourceIpv4], "bogons").count_in(SPOOFED).drop())
}

/// What a guest may say to the router: ask for addresses and names, and what IP itself needs.
fn guests() -> Chain {
    let chain = Chain::plain("guests")
        .rule(Rule::new().ipv4().udp(68, 67).accept())
        .rule(Rule::new().ipv6().udp(546, 547).accept())
        .rule(Rule::new().udp_to(53).accept())
        .rule(Rule::new().tcp_to(53).accept())
        .rule(Rule::new().icmp(ECHO.0).accept());
    let chain = ICMP.into_iter().fold(chain, |chain, kind| chain.rule(Rule::new().icmp(kind).accept()));
    let chain = ICMPV6_GUEST.into_iter().fold(chain, |chain, kind| chain.rule(Rule::new().icmpv6(kind).accept()));
    chain.rule(Rule::new().count_in(GUEST).drop())
}

fn share(firewall: &Firewall) -> Chain {
    let most = firewall.share;
    let over = |rule: Rule, part, set| rule.over_connections(&[part], set, most).count_in(SHARE).drop();
    Chain::plain("share").rule(over(Rule::new().ipv4(), Part::SourceIpv4, "busy4")).rule(over(
        Rule::new().ipv6(),
        Part::SourceIpv6,
        "busy6",
    ))
}

fn refused() -> Chain {
    Chain::plain("refused").rule(Rule::new().count_in(OTHER).jump("log"))
}

fn log() -> Chain {
    Chain::plain("log").rule(Rule::new().limit_per_second(LINES.0, LINES.1).log("refused: "))
}

/// What may leave by the uplink: nothing that came from there, and IPv6 only from a network of ours (BCP 38). A host
/// that still uses an address of a prefix that is gone is told so at once, in the middle of a connection too (RFC 7084,
/// L-14). IPv4 leaves from the uplink's own address.
fn egress(firewall: &Firewall) -> Chain {
    let (code, rate, burst) = WRONG_SOURCE;
    let chain = Chain::plain("egress").rule(Rule::new().iifname(firewall.uplink()).drop());
    let chain = firewall.inside.iter().fold(chain, |chain, net| chain.rule(Rule::new().source((*net).into()).back()));
    let told = Rule::new().ipv6().limit_per_second(rate, burst).count_in(SOURCE).reject_icmpv6(code);
    chain.rule(told).rule(Rule::new().ipv6().count_in(SOURCE).drop())
}

fn clamp(firewall: &Firewall) -> Chain {
    Chain::plain("clamp")
        .rule(Rule::new().oifname(firewall.uplink()).clamp_mss())
        .rule(Rule::new().iifname(firewall.uplink()).clamp_mss())
}

/// What the internet may say to the router without having been asked.
fn wan() -> Chain {
    let (rate, burst) = PINGS;
    let mut chain = Chain::plain("wan")
        .rule(Rule::new().ipv4().udp(67, 68).accept())
        .rule(Rule::new().ipv6().udp(547, 546).accept());
    for kind in ICMPV6 {
        chain = chain.rule(Rule::new().icmpv6(kind).accept());
    }
    chain = chain
        .rule(Rule::new().jump("strangers"))
        .rule(Rule::new().icmp(ECHO.0).limit_per_second(rate, burst).accept())
        .rule(Rule::new().icmpv6(ECHO.1).limit_per_second(rate, burst).accept());
    for kind in ICMP {
        chain = chain.rule(Rule::new().icmp(kind).accept());
    }
    chain.rule(Rule::new().count_in(WAN).jump("log")).rule(Rule::new().drop())
}

/// New connections to an address of the router's own that is neither loopback nor a LAN's: they may be forwarded. So a
/// forwarding works from inside as from outside, whatever addresses the uplink has.
fn ours(firewall: &Firewall) -> Chain {
    let chain = Chain::plain("ours");
    if firewall.forwards.is_empty() {
        return chain;
    }
    let loopback = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let nets = firewall.lans.iter().flat_map(|lan| &lan.nets).chain([&loopback]);
    let chain = nets.fold(chain, |chain, net| chain.rule(Rule::new().destination((*net).into()).back()));
    chain.rule(Rule::new().ipv4().to_us().jump("forwarded"))
}

fn forwarded(firewall: &Firewall) -> Chain {
    let chain = Chain::plain("forwarded");
    let bound = firewall.forwards.iter().filter(|forward| forward.source.is_some());
    let chain = bound.fold(chain, |chain, forward| {
        let steps = steps(forward.ports, forward.to_ports);
        steps.into_iter().fold(chain, |chain, (first, last, to)| {
            let from = forward.source.map_or_else(Rule::new, |net| Rule::new().source(net.into()));
            chain.rule(from.protocol(forward.protocol.into()).ports(first, last).dnat(forward.to, to))
        })
    });
    let service = [Part::Protocol, Part::Port];
    forwardings(firewall).iter().filter(|set| set.name() != "pinholes").fold(chain, |chain, map| {
        [TCP, UDP].into_iter().fold(chain, |chain, protocol| {
            let rule = Rule::new().protocol(protocol.into());
            chain.rule(rule.dnat_by(&service, map.name(), map.name() == "moved"))
        })
    })
}

/// Runs of ports that go one way: first, last, and the port there; `None` = the same as outside.
fn steps(ports: (u16, u16), to: (u16, u16)) -> Vec<(u16, u16, Option<u16>)> {
    match to {
        _ if to == ports => vec![(ports.0, ports.1, None)],
        (first, last) if first == last => vec![(ports.0, ports.1, Some(first))],
        (first, _) => (ports.0..=ports.1).map(|port| (port, port, Some(first + (port - ports.0)))).collect(),
    }
}

/// Maps of forwardings, with the port kept and with another, and the set of pinholes; those that have elements.
fn forwardings(firewall: &Firewall) -> Vec<Set> {
    let (mut kept, mut moved) = (Vec::new(), Vec::new());
    for forward in firewall.forwards.iter().filter(|forward| forward.source.is_none()) {
        let at = |port| Value::new().protocol(forward.protocol).port(port);
        for (first, last, to) in steps(forward.ports, forward.to_ports) {
            let range = Element::range(at(first), at(last));
            let address = Value::new().ipv4(forward.to);
            match to {
                None => kept.push(range.to(address)),
                Some(port) => moved.push(range.to(address.port(port))),
            }
        }
    }
    let open = firewall.pinholes.iter().filter(|pinhole| pinhole.source.is_none());
    let holes: Vec<Element> = open
        .map(|pinhole| {
            let at = |port| Value::new().ipv6(pinhole.to).protocol(pinhole.protocol).port(port);
            Element::range(at(pinhole.ports.0), at(pinhole.ports.1))
        })
        .collect();
    let service = [Field::Protocol, Field::Port];
    let sets = [
        (!kept.is_empty()).then(|| Set::map("kept", &service, &[Field::Ipv4], kept)),
        (!moved.is_empty()).then(|| Set::map("moved", &service, &[Field::Ipv4, Field::Port], moved)),
        (!holes.is_empty()).then(|| Set::ranges("pinholes", &[Field::Ipv6, Field::Protocol, Field::Port], holes)),
    ];
    sets.into_iter().flatten().collect()
}

fn postrouting(firewall: &Firewall) -> Chain {
    let chain = Chain::base("postrouting", Kind::Nat, Hook::Postrouting, 100, Policy::Accept)
        .rule(Rule::new().ipv4().oifname(firewall.uplink()).masquerade());
    if firewall.forwards.is_empty() {
        return chain;
    }
    // Whom a host of the same LAN has been led to would answer it directly, and not as the one it spoke to.
    firewall.lans.iter().fold(chain, |chain, lan| {
        let inside = Rule::new().ipv4().iifname(&lan.name).oifname(&lan.name);
        chain.rule(inside.forwarded().masquerade())
    })
}
