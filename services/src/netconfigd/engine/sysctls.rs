//! The kernel's switches under `/proc/sys`.
use super::{UPLINK, Wanted};

/// A sysctl and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Path under `/proc/sys`.
    pub path: String,
    /// The value to write.
    pub value: String,
    /// A larger value that stands already is kept.
    pub at_least: bool,
}

/// The switch that makes a router of the machine.
pub const FORWARD4: &str = "net/ipv4/ip_forward";
const FORWARD6: &str = "net/ipv6/conf/all/forwarding";

impl Sysctl {
    fn new(path: &str, value: impl ToString) -> Sysctl {
        Sysctl { path: path.into(), value: value.to_string(), at_least: false }
    }

    /// Whether it makes a router of the machine: not before the ruleset is in.
    pub fn forwards(&self) -> bool {
        self.path == FORWARD4 || self.path == FORWARD6
    }

    /// Whether it may come before everything else.
    pub fn early(&self) -> bool {
        !self.forwards() && !self.path.contains(UPLINK)
    }

    /// Whether the router does not route without it. The others are missed, but not waited for.
    pub fn essential(&self) -> bool {
        self.path == FORWARD4
    }

    /// Whether a value that was read is as wanted.
    pub fn is_met_by(&self, found: &str) -> bool {
        let number = |text: &str| text.parse::<u64>().ok();
        match (number(found), number(&self.value)) {
            (Some(found), Some(value)) if self.at_least => found >= value,
            _ => found == self.value,
        }
    }
}

/// Connections that the kernel remembers: a sixteenth of the memory at some 400 bytes each; never the kernel's own
/// 2,048 of a small machine.
pub fn connections(memory_kib: u64) -> u64 {
    (memory_kib / 6).next_power_of_two().clamp(8_192, 262_144)
}

/// Every sysctl that is wanted, in order.
pub fn wanted(wanted: &Wanted, uplink: bool) -> Vec<Sysctl> {
    let mut all = vec![
        // Of two addresses in one subnet the second stays when the first goes: a changed lease needs it.
        Sysctl::new("net/ipv4/conf/all/promote_secondaries", 1),
        Sysctl::new("net/ipv4/icmp_ratelimit", 0),
        Sysctl::new("net/ipv6/icmp/ratelimit", 0),
        // As the kernel prints it: from this group to this one.
        Sysctl::new("net/ipv4/ping_group_range", format_args!("{0}\t{0}", rights::DIAGD)),
        Sysctl { at_least: true, ..Sysctl::new("net/netfilter/nf_conntrack_max", connections(wanted.memory_kib)) },
        Sysctl::new("net/netfilter/nf_conntrack_acct", 1),
        Sysctl::new(FORWARD4, 1),
        Sysctl::new(FORWARD6, 1),
    ];
    if uplink {
        // 2 = although the machine forwards.
        all.push(Sysctl::new(&format!("net/ipv6/conf/{UPLINK}/accept_ra"), 2));
    }
    all
}

/// What can wait until the router is ready: the kernel stands still for a moment while it makes a larger hash table.
pub fn after_ready(wanted: &Wanted) -> Vec<Sysctl> {
    let buckets = connections(wanted.memory_kib) / 4;
    vec![Sysctl { at_least: true, ..Sysctl::new("net/netfilter/nf_conntrack_buckets", buckets) }]
}

/// Those of [`wanted`] that do not hold.
pub fn missing(state: &Wanted, uplink: bool, found: &[(String, String)]) -> Vec<Sysctl> {
    let met = |sysctl: &Sysctl| found.iter().any(|(path, value)| *path == sysctl.path && sysctl.is_met_by(value));
    wanted(state, uplink).into_iter().filter(|sysctl| !met(sysctl)).collect()
}
