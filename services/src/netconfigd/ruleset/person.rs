//! A person's own rules: a chain for each way in which a connection can be begun.
use super::RULE;
use crate::netconfigd::engine::{At, Firewall, Ruled};
use crate::perm::firewall::{Direction, Verdict};
use netstack::nft::{Chain, Rule};

/// The chain's name, when there are rules of that direction.
pub(super) fn chain_of(firewall: &Firewall, direction: Direction) -> Option<&'static str> {
    let name = match direction {
        Direction::Out => "rules_out",
        Direction::In => "rules_in",
        Direction::Across => "rules_across",
        Direction::Router => "rules_router",
    };
    firewall.rules.iter().any(|rule| rule.direction == direction).then_some(name)
}

/// Asks a person's rules of that direction, when there are some.
pub(super) fn ask(chain: Chain, firewall: &Firewall, direction: Direction, which: Rule) -> Chain {
    match chain_of(firewall, direction) {
        Some(name) => chain.rule(which.jump(name)),
        None => chain,
    }
}

/// All of them.
pub(super) fn chains(firewall: &Firewall) -> Vec<Chain> {
    let all = [Direction::Out, Direction::In, Direction::Across, Direction::Router];
    all.into_iter().filter_map(|direction| chain(firewall, direction)).collect()
}

fn chain(firewall: &Firewall, direction: Direction) -> Option<Chain> {
    let chain = Chain::plain(chain_of(firewall, direction)?);
    let chain = match direction {
        Direction::Out | Direction::In => chain,
        Direction::Across => chain.rule(Rule::new().oifname(firewall.uplink()).back()),
        // Whatever a person writes, the router is asked for addresses and names.
        Direction::Router => chain.rule(Rule::new().jump("basics")),
    };
    let rules = firewall.rules.iter().filter(|rule| rule.direction == direction);
    Some(rules.flat_map(parts).fold(chain, Chain::rule))
}

/// A rule of the kernel's for each protocol.
fn parts(rule: &Ruled) -> Vec<Rule> {
    let counter = format!("{RULE}{}", rule.name);
    let decided = |written: Rule| match (rule.verdict, rule.direction) {
        (Verdict::Allow, _) => written.count_in(&counter).accept(),
        (Verdict::Refuse, Direction::In) => written.count_in(&counter).drop(),
        // Who is at home is told, so that nobody waits.
        (Verdict::Refuse, _) => written.count_in(&counter).reject_prohibited(),
    };
    let ported = |protocol: &u8| {
        let written = who(rule).protocol((*protocol).into());
        rule.ports.iter().fold(written, |written, (first, last)| written.ports(*first, *last))
    };
    if rule.protocols.is_empty() {
        return vec![decided(who(rule))];
    }
    rule.protocols.iter().map(|protocol| decided(ported(protocol))).collect()
}

fn who(rule: &Ruled) -> Rule {
    let inward = rule.direction == Direction::In;
    let written = match (rule.lan.as_str(), inward) {
        ("", _) => Rule::new(),
        (lan, true) => Rule::new().oifname(lan),
        (lan, false) => Rule::new().iifname(lan),
    };
    let written = match (&rule.at, inward) {
        (At::All, _) => written,
        (At::Hardware(mac), _) => written.sender(mac.0),
        (At::Net(net), true) => written.destination(*net),
        (At::Net(net), false) => written.source(*net),
        (At::Suffix(suffix), true) => written.destination_suffix(*suffix),
        (At::Suffix(suffix), false) => written.source_suffix(*suffix),
    };
    match (rule.remote, inward) {
        (None, _) => written,
        (Some(net), true) => written.source(net),
        (Some(net), false) => written.destination(net),
    }
}
