//! The chains that are jumped to, each an answer to one question.
use super::forwards::HOLES;
use super::person;
use super::{GUEST, ICMP, ICMPV6, OTHER, SHARE, SOURCE, SPOOFED, TCP, UDP, WAN};
use crate::netconfigd::engine::Firewall;
use crate::perm::firewall::Direction;
use ipnet::Ipv6Net;
use netstack::nft::{Chain, Hook, Kind, Part, Policy, Rule};

/// Pings from the internet that are answered: a second, and at once.
const PINGS: (u64, u32) = (20, 50);
/// Errors without which connections break: destination unreachable, time exceeded, parameter problem.
const ERRORS: [u8; 3] = [3, 11, 12];
/// RFC 4890: errors (with packet too big), listener discovery, router advertisement, neighbour discovery.
const NEEDED: [u8; 11] = [1, 2, 3, 4, 130, 131, 132, 134, 135, 136, 143];
/// What a guest may say to the router besides names and addresses: errors, echo, router and neighbour discovery.
const ICMPV6_GUEST: [u8; 10] = [1, 2, 3, 4, 128, 131, 133, 135, 136, 143];
/// "Source address failed ingress/egress policy" (RFC 4443, section 3.1), so many a second and at once.
const WRONG_SOURCE: (u8, u64, u32) = (5, 100, 50);
/// Echo request, IPv4 and IPv6.
const ECHO: (u8, u8) = (8, 128);
/// Before connection tracking (`NF_IP_PRI_RAW`).
const EARLY: i32 = -300;
/// Lines of refused packets in the kernel's log: a second, and at once.
const LINES: (u64, u32) = (1, 5);

/// What the internet may begin with the LANs: what was forwarded to them, and pinholes; `sets` are the names of what
/// `forwardings` made.
pub(super) fn from_wan(firewall: &Firewall, sets: &[String]) -> Chain {
    let chain = Chain::plain("from_wan").rule(Rule::new().jump("strangers"));
    let chain = person::ask(chain, firewall, Direction::In, Rule::new());
    let chain = chain.rule(Rule::new().forwarded().accept());
    let bound = firewall.pinholes.iter().filter(|pinhole| pinhole.source.is_some());
    let chain = bound.fold(chain, |chain, pinhole| {
        let rule = pinhole.source.map_or_else(Rule::new, |net| Rule::new().source(net.into()));
        let to = Ipv6Net::from(pinhole.to);
        let rule = rule.destination(to.into()).protocol(pinhole.protocol.into());
        chain.rule(rule.ports(pinhole.ports.0, pinhole.ports.1).accept())
    });
    let hole = [Part::DestinationIpv6, Part::Protocol, Part::Port];
    let chain = sets.iter().filter(|set| set.starts_with(HOLES)).fold(chain, |chain, set| {
        [TCP, UDP].into_iter().fold(chain, |chain, protocol| {
            chain.rule(Rule::new().ipv6().protocol(protocol.into()).in_set(&hole, set).accept())
        })
    });
    chain.rule(Rule::new().count_in(WAN).jump("log")).rule(Rule::new().drop())
}

/// Sources that cannot be on the internet: those of our own networks (RFC 3704), and those that nobody has there.
pub(super) fn strangers(firewall: &Firewall) -> Chain {
    let chain = Chain::plain("strangers").rule(Rule::new().no_way_back().count_in(SPOOFED).drop());
    if firewall.private_uplink {
        return chain;
    }
    chain.rule(Rule::new().ipv4().in_set(&[Part::SourceIpv4], "bogons").count_in(SPOOFED).drop())
}

/// What everyone at home may say to the router: ask for addresses and names, and what IP itself needs.
pub(super) fn basics() -> Chain {
    let chain = Chain::plain("basics")
        .rule(Rule::new().ipv4().udp(68, 67).accept())
        .rule(Rule::new().ipv6().udp(546, 547).accept())
        .rule(Rule::new().udp_to(53).accept())
        .rule(Rule::new().tcp_to(53).accept())
        .rule(Rule::new().icmp(ECHO.0).accept());
    let chain = ERRORS.into_iter().fold(chain, |chain, kind| chain.rule(Rule::new().icmp(kind).accept()));
    ICMPV6_GUEST.into_iter().fold(chain, |chain, kind| chain.rule(Rule::new().icmpv6(kind).accept()))
}

/// A guest may say no more.
pub(super) fn guests() -> Chain {
    Chain::plain("guests").rule(Rule::new().jump("basics")).rule(Rule::new().count_in(GUEST).drop())
}

pub(super) fn share(firewall: &Firewall) -> Chain {
    let most = firewall.share;
    let over = |rule: Rule, part, set| rule.over_connections(&[part], set, most).count_in(SHARE).drop();
    Chain::plain("share").rule(over(Rule::new().ipv4(), Part::SourceIpv4, "busy4")).rule(over(
        Rule::new().ipv6(),
        Part::SourceIpv6,
        "busy6",
    ))
}

pub(super) fn refused() -> Chain {
    Chain::plain("refused").rule(Rule::new().count_in(OTHER).jump("log"))
}

pub(super) fn log() -> Chain {
    Chain::plain("log").rule(Rule::new().limit_per_second(LINES.0, LINES.1).log("refused: "))
}

/// What may leave by the uplink: nothing that came from there, and IPv6 only from a network of ours (BCP 38). A host
/// that still uses an address of a prefix that is gone is told so at once, in the middle of a connection too (RFC 7084,
/// L-14). IPv4 leaves from the uplink's own address.
pub(super) fn egress(firewall: &Firewall) -> Chain {
    let (code, rate, burst) = WRONG_SOURCE;
    let chain = Chain::plain("egress").rule(Rule::new().iifname(firewall.uplink()).drop());
    let chain = firewall.inside.iter().fold(chain, |chain, net| chain.rule(Rule::new().source((*net).into()).back()));
    let told = Rule::new().ipv6().limit_per_second(rate, burst).count_in(SOURCE).reject_icmpv6(code);
    chain.rule(told).rule(Rule::new().ipv6().count_in(SOURCE).drop())
}

pub(super) fn clamp(firewall: &Firewall) -> Chain {
    Chain::plain("clamp")
        .rule(Rule::new().oifname(firewall.uplink()).clamp_mss())
        .rule(Rule::new().iifname(firewall.uplink()).clamp_mss())
}

/// What the internet may say to the router without having been asked. Sorted by protocol, so that a probe of a port, which
/// nothing lets in, is not asked about what it is not.
pub(super) fn wan() -> Chain {
    let refused = |chain: Chain, rule: Rule| chain.rule(rule.count_in(WAN).jump("log"));
    let protocols = [(UDP, "wan_udp"), (ICMP, "wan_icmp"), (ICMPV6, "wan_icmpv6")];
    let tcp = || Rule::new().protocol(TCP.into());
    let chain = refused(Chain::plain("wan"), tcp()).rule(tcp().drop());
    let chain = protocols
        .into_iter()
        .fold(chain, |chain, (protocol, name)| chain.rule(Rule::new().protocol(protocol.into()).jump(name)));
    refused(chain, Rule::new()).rule(Rule::new().drop())
}

/// Refuses who knocks at a TCP port of the router's own before a connection is looked for or made: it takes two thirds of
/// the work and nothing of the connection table. Only where the fast path is in use, as all that does not take it is asked;
/// what is forwarded goes on. `sets` are the names of what `forwardings` made.
pub(super) fn probes(firewall: &Firewall, sets: &[String]) -> [Chain; 2] {
    let base = Chain::base("early", Kind::Filter, Hook::Prerouting, EARLY, Policy::Accept);
    let base = base.rule(Rule::new().tcp_opening().iifname(firewall.uplink()).jump("probes"));
    let bound = firewall.forwards.iter().filter(|forward| forward.source.is_some() && forward.protocol == TCP);
    let probes = bound.fold(Chain::plain("probes"), |chain, forward| {
        chain.rule(Rule::new().protocol(TCP.into()).ports(forward.ports.0, forward.ports.1).back())
    });
    let service = [Part::Protocol, Part::Port];
    let maps = sets.iter().filter(|set| !set.starts_with(HOLES));
    let probes = maps.fold(probes, |chain, map| {
        // The address is loaded for nothing: a map can be asked in no other way.
        chain.rule(Rule::new().protocol(TCP.into()).in_map(&service, map).back())
    });
    let probes = probes.rule(Rule::new().to_us().count_in(WAN).limit_per_second(LINES.0, LINES.1).log("refused: "));
    [base, probes.rule(Rule::new().to_us().drop())]
}

/// The parts of the chain `wan`.
pub(super) fn wan_by_protocol(firewall: &Firewall) -> [Chain; 3] {
    let (rate, burst) = PINGS;
    let udp = Chain::plain("wan_udp")
        .rule(Rule::new().ipv4().udp(67, 68).accept())
        .rule(Rule::new().ipv6().udp(547, 546).accept())
        .rule(Rule::new().jump("strangers"));
    let udp = firewall.tunnels.iter().fold(udp, |udp, port| udp.rule(Rule::new().udp_to(*port).accept()));
    let icmp = Chain::plain("wan_icmp")
        .rule(Rule::new().jump("strangers"))
        .rule(Rule::new().icmp(ECHO.0).limit_per_second(rate, burst).accept());
    let icmp = ERRORS.into_iter().fold(icmp, |icmp, kind| icmp.rule(Rule::new().icmp(kind).accept()));
    let icmpv6 = NEEDED
        .into_iter()
        .fold(Chain::plain("wan_icmpv6"), |icmpv6, kind| icmpv6.rule(Rule::new().icmpv6(kind).accept()));
    let icmpv6 = icmpv6
        .rule(Rule::new().jump("strangers"))
        .rule(Rule::new().icmpv6(ECHO.1).limit_per_second(rate, burst).accept());
    [udp, icmp, icmpv6]
}
