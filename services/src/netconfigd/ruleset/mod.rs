//! The ruleset as nftables: what may come in, what may go through, and under which address it leaves.
//!
//! A chain that drops does so twice, by its policy and by its last rule: a chain that is made anew has the policy
//! "accept" for a moment, its rules are in force at once.
//!
//! Established connections pass after a handful of rules; only a packet that begins one is asked all questions.
mod chains;
mod forwards;
mod person;

use super::engine::{Firewall, Lan};
use crate::perm::firewall::Direction;
use chains::{basics, clamp, egress, from_wan, guests, log, probes, refused, share, strangers, wan, wan_by_protocol};
use forwards::{forwarded, forwardings, postrouting};
use netstack::nft::{Chain, Element, Field, Hook, Kind, Policy, Rule, Set, Table, state};

/// The table's name; no other is touched.
pub const TABLE: &str = "weir";
/// Packets and bytes as router7 counts them, by hook: to the router, from the router; IPv4 and IPv6. What is forwarded is
/// counted by its connections.
pub const TRAFFIC: [(&str, &str); 2] = [("input4", "input6"), ("output4", "output6")];
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
/// The flowtable of the fast path.
pub const FAST: &str = "fast";
/// Packets of a connection, both ways together, that meet the rules before it takes the fast path: to put it there costs as
/// much as some packets save, and a question with its answer is over by then.
const PROVED: u64 = 8;
/// Before the name of a person's rule: its counter.
pub const RULE: &str = "rule_";
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
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
    let table = firewall.counted.iter().fold(table, |table, name| table.counter(&format!("{RULE}{name}")));
    let table = if firewall.offload { table.flowtable(FAST) } else { table };
    let devices = [("busy4", Field::Ipv4), ("busy6", Field::Ipv6)];
    let table = devices.iter().fold(table, |table, (name, field)| table.set(Set::by_rules(name, &[*field], DEVICES)));
    let bogons = BOGONS.iter().filter_map(|net| net.parse().ok()).map(Element::net).collect();
    let table = table.set(Set::ranges("bogons", &[Field::Ipv4], bogons));
    let forwardings = forwardings(firewall);
    let names: Vec<String> = forwardings.iter().map(|set| set.name().to_owned()).collect();
    let table = forwardings.into_iter().fold(table, Table::set);
    let chains = [
        wan(),
        egress(firewall),
        clamp(firewall),
        established(firewall),
        strangers(firewall),
        from_wan(firewall, &names),
        basics(),
        guests(),
        share(firewall),
        refused(),
        log(),
        forwarded(firewall, &names),
        input(firewall),
        forward(firewall),
        counted(Chain::base("output", Kind::Filter, Hook::Output, 0, Policy::Accept), TRAFFIC[1]),
        Chain::base("prerouting", Kind::Nat, Hook::Prerouting, -100, Policy::Accept)
            .rule(Rule::new().jump("forwarded")),
        Chain::base("redirect", Kind::Nat, Hook::Output, -100, Policy::Accept).rule(Rule::new().jump("forwarded")),
        postrouting(firewall),
    ];
    let probes = firewall.offload.then(|| probes(firewall, &names));
    chains
        .into_iter()
        .chain(probes.into_iter().flatten())
        .chain(wan_by_protocol(firewall))
        .chain(person::chains(firewall))
        .fold(table, Table::chain)
}

fn counted(chain: Chain, (ipv4, ipv6): (&str, &str)) -> Chain {
    chain.rule(Rule::new().ipv4().count_in(ipv4)).rule(Rule::new().ipv6().count_in(ipv6))
}

fn known(chain: Chain, known: Rule) -> Chain {
    chain.rule(known).rule(Rule::new().ct_state(state::INVALID).count_in(INVALID).drop())
}

fn of_known() -> Rule {
    Rule::new().ct_state(state::ESTABLISHED | state::RELATED)
}

/// What has been let in goes on, and by the fast path once it has proved to be more than a question and its answer. Only
/// IPv6 is asked for its source again, since the prefix of a connection that goes on can be gone.
fn established(firewall: &Firewall) -> Chain {
    let chain = Chain::plain("established")
        .rule(Rule::new().tcp_syn().jump("clamp"))
        .rule(Rule::new().ipv6().oifname(firewall.uplink()).jump("egress"));
    let chain = if firewall.offload { chain.rule(Rule::new().packets_from(PROVED).offload(FAST)) } else { chain };
    chain.rule(Rule::new().accept())
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
    let chain = counted(Chain::base("input", Kind::Filter, Hook::Input, 0, Policy::Drop), TRAFFIC[0]);
    let chain = known(chain, of_known().accept()).rule(Rule::new().iifname(firewall.uplink()).jump("wan"));
    let chain = chain.rule(Rule::new().iifname("lo").accept());
    let chain = person::ask(chain, firewall, Direction::Router, Rule::new());
    let chain =
        guest_lans(firewall).fold(chain, |chain, lan| chain.rule(Rule::new().iifname(&lan.name).jump("guests")));
    let chain = insiders(firewall).fold(chain, |chain, name| chain.rule(Rule::new().iifname(name).accept()));
    chain.rule(Rule::new().jump("refused")).rule(Rule::new().drop())
}

fn forward(firewall: &Firewall) -> Chain {
    let uplink = firewall.uplink();
    let chain = Chain::base("forward", Kind::Filter, Hook::Forward, 0, Policy::Drop);
    // Where every packet comes by here, most end at the first rule.
    let chain = if firewall.offload { chain } else { chain.rule(Rule::new().ipv4().assured().accept()) };
    // A SYN is clamped both ways, and its answer where the connection is known.
    let chain = known(chain, of_known().jump("established"));
    let chain = chain.rule(Rule::new().oifname(uplink).jump("egress")).rule(Rule::new().tcp_syn().jump("clamp"));
    let chain = chain.rule(Rule::new().iifname(uplink).jump("from_wan"));
    // From here on it comes from a LAN; each device has its share of the connection table.
    let chain = chain.rule(Rule::new().no_way_back().count_in(SPOOFED).drop()).rule(Rule::new().jump("share"));
    let chain = person::ask(chain, firewall, Direction::Out, Rule::new().oifname(uplink));
    let chain = person::ask(chain, firewall, Direction::Across, Rule::new());
    let chain = guest_lans(firewall).fold(chain, |chain, lan| {
        let from = || Rule::new().iifname(&lan.name);
        let chain = chain.rule(from().oifname(uplink).accept()).rule(from().forwarded().accept());
        chain.rule(from().count_in(GUEST).drop())
    });
    let chain = insiders(firewall).fold(chain, |chain, name| chain.rule(Rule::new().iifname(name).accept()));
    chain.rule(Rule::new().jump("refused")).rule(Rule::new().drop())
}
