//! The ruleset as nftables: what may come in, what may go through, and under which address it leaves.
//!
//! A chain that drops does so twice, by its policy and by its last rule: while a transaction replaces the table, a new
//! chain's policy is "accept" for a moment, its rules are not.
use super::engine::Firewall;
use netstack::nft::{Chain, Hook, Kind, Policy, Rule, Table, state};

/// Pings from the internet that are answered: a second, and at once.
const PINGS: (u64, u32) = (20, 50);
/// Errors without which connections break: destination unreachable, time exceeded, parameter problem.
const ICMP: [u8; 3] = [3, 11, 12];
/// RFC 4890: errors (with packet too big), listener discovery, router advertisement, neighbour discovery.
const ICMPV6: [u8; 11] = [1, 2, 3, 4, 130, 131, 132, 134, 135, 136, 143];
/// "Source address failed ingress/egress policy" (RFC 4443, section 3.1), so many a second and at once.
const WRONG_SOURCE: (u8, u64, u32) = (5, 100, 50);
/// Echo request, IPv4 and IPv6.
const ECHO: (u8, u8) = (8, 128);

/// Replaces our table by one that says this.
///
/// # Errors
/// Names the chain and rule that the kernel refused; the former table is then still in force.
pub fn commit(firewall: &Firewall) -> Result<(), String> {
    table(firewall).replace().map_err(|error| error.to_string())
}

/// The table `inet weir`.
fn table(firewall: &Firewall) -> Table {
    let uplink = firewall.uplink();
    let lans = || std::iter::once("lan*").chain(firewall.lans.iter().map(String::as_str));
    let known = |chain: Chain| {
        chain
            .rule(Rule::new().ct_state(state::ESTABLISHED | state::RELATED).accept())
            .rule(Rule::new().ct_state(state::INVALID).drop())
    };
    let from_lans = |chain: Chain| lans().fold(chain, |chain, name| chain.rule(Rule::new().iifname(name).accept()));

    let input = known(Chain::base("input", Kind::Filter, Hook::Input, 0, Policy::Drop));
    let input = from_lans(input.rule(Rule::new().iifname("lo").accept()));
    let input = input.rule(Rule::new().iifname(uplink).jump("wan")).rule(Rule::new().drop());

    // Both ways: a SYN that leaves, and one, or its answer, that comes in.
    let forward = Chain::base("forward", Kind::Filter, Hook::Forward, 0, Policy::Drop);
    let forward = forward.rule(Rule::new().oifname(uplink).jump("egress"));
    let forward = from_lans(known(forward.rule(Rule::new().tcp_syn().jump("clamp")))).rule(Rule::new().drop());
    let clamp = Chain::plain("clamp")
        .rule(Rule::new().oifname(uplink).clamp_mss())
        .rule(Rule::new().iifname(uplink).clamp_mss());

    let postrouting = Chain::base("postrouting", Kind::Nat, Hook::Postrouting, 100, Policy::Accept)
        .rule(Rule::new().ipv4().oifname(uplink).masquerade());
    Table::new("weir").chain(wan()).chain(egress(firewall)).chain(clamp).chain(input).chain(forward).chain(postrouting)
}

/// What may leave by the uplink: nothing that came from there, and IPv6 only from a network of ours (BCP 38). A host
/// that still uses an address of a prefix that is gone is told so at once, in the middle of a connection too (RFC 7084,
/// L-14). IPv4 leaves from the uplink's own address.
fn egress(firewall: &Firewall) -> Chain {
    let (code, rate, burst) = WRONG_SOURCE;
    let chain = Chain::plain("egress").rule(Rule::new().iifname(firewall.uplink()).drop());
    let chain = firewall.inside.iter().fold(chain, |chain, net| chain.rule(Rule::new().ipv6_source(*net).back()));
    let told = Rule::new().ipv6().limit_per_second(rate, burst).reject_icmpv6(code);
    chain.rule(told).rule(Rule::new().ipv6().drop())
}

/// What the internet may say to the router without having been asked.
fn wan() -> Chain {
    let (rate, burst) = PINGS;
    let mut chain = Chain::plain("wan")
        .rule(Rule::new().ipv4().udp(67, 68).accept())
        .rule(Rule::new().ipv6().udp(547, 546).accept())
        .rule(Rule::new().icmp(ECHO.0).limit_per_second(rate, burst).accept())
        .rule(Rule::new().icmpv6(ECHO.1).limit_per_second(rate, burst).accept());
    for kind in ICMP {
        chain = chain.rule(Rule::new().icmp(kind).accept());
    }
    for kind in ICMPV6 {
        chain = chain.rule(Rule::new().icmpv6(kind).accept());
    }
    chain
}
