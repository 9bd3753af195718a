//! Tables for a terminal of 80 columns: plain text, one row a line.
use super::answer::{Check, Clock, Health, List, Service};
use super::{Face, Firewall, Network};
use crate::perm::WallTime;
use crate::perm::leases::Lease;
use std::fmt::Write;
use std::time::Duration;

/// A text from outside as a terminal may see it: no control bytes.
pub fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// A text from outside in a column: cut to its width.
pub fn cell(text: &str, width: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= width {
        return clean;
    }
    clean.chars().take(width.saturating_sub(1)).chain(['~']).collect()
}

/// A duration in its two largest units.
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {:02} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}

fn millis(milliseconds: u64) -> String {
    duration(Duration::from_millis(milliseconds))
}

/// `clock`: the time, and how it is known.
pub fn clock(clock: &Clock) -> String {
    // Without fractions of a second.
    let time: String = clock.time.to_string().chars().take(19).collect();
    if !clock.right {
        return format!("{time} UTC, which no server has confirmed yet\n");
    }
    let (source, stratum) = (cell(&clock.source, 39), clock.stratum);
    let (offset, error) = (clock.offset * 1_000.0, clock.uncertainty * 1_000.0);
    format!("{time} UTC by {source} (stratum {stratum}); was {offset:+.3} ms off, {error:.3} at most\n")
}

/// `status`: the machine, its addresses, its services.
pub fn status(list: &List, network: &Network) -> String {
    let mut text = String::new();
    let ready = match list.ready_ms {
        Some(ms) => format!("ready after {}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        None => "not ready yet".into(),
    };
    let slot = if list.slot.is_empty() { String::new() } else { format!(" (slot {})", cell(&list.slot, 8)) };
    let version = cell(&list.version, 20);
    let _ = writeln!(text, "weir {version}{slot}, up {}, {ready}", millis(list.uptime_ms));
    text.push_str(&wan_and_lan(network));
    let _ = writeln!(text, "/perm  {}", cell(&list.perm, 72));
    if let Some(left) = list.left.as_deref().filter(|left| *left != list.slot) {
        let _ = writeln!(text, "slot {} was left: a core service could not stay up in it", cell(left, 8));
    }
    text.push('\n');
    let _ = writeln!(
        text,
        "{:<12}{:<10}{:>7}  {:>14}{:>10}{:>12}",
        "service", "state", "pid", "uptime", "restarts", "memory"
    );
    for service in &list.services {
        text.push_str(&row(service));
    }
    text
}

fn row(service: &Service) -> String {
    let dash = || "-".to_owned();
    let pid = service.pid.filter(|pid| *pid != 0).map_or_else(dash, |pid| pid.to_string());
    let uptime = service.uptime_ms.filter(|_| pid != "-").map_or_else(dash, millis);
    let memory = service.memory_kib.filter(|_| pid != "-").map_or_else(dash, |kib| format!("{kib} KiB"));
    let (name, state) = (cell(&service.name, 11), cell(&service.state, 9));
    let mut text = format!("{name:<12}{state:<10}{pid:>7}  {uptime:>14}{:>10}{memory:>12}\n", service.restarts);
    if service.sick {
        text.push_str("            cannot stay up\n");
    }
    // How it ended last is worth a line only while it is in trouble.
    if service.state != "running" && !service.last_exit.is_empty() {
        let _ = writeln!(text, "            last end: {}", cell(&service.last_exit, 58));
    }
    text
}

/// The WAN's and each LAN's line of `status`.
fn wan_and_lan(network: &Network) -> String {
    let mut text = String::new();
    for face in network.faces.iter().filter(|face| face.is_wan()) {
        let gateway = network.gateway.as_deref().map_or(String::new(), |gateway| format!(" via {}", clean(gateway)));
        let _ = writeln!(text, "WAN    {:<16}{}{gateway}{}", cell(&face.name, 15), first_address(face), cable(face));
    }
    if !network.faces.iter().any(Face::is_wan) {
        text.push_str("WAN    there is no uplink0\n");
    }
    for face in network.faces.iter().filter(|face| face.is_lan()) {
        // One that the internet knows: the delegation has come as far as this LAN.
        let global = face.addresses.iter().find(|address| address.starts_with(['2', '3']) && address.contains(':'));
        let global = global.filter(|address| *address != first_address(face));
        let global = global.map_or(String::new(), |address| format!(", {address}"));
        let _ = writeln!(text, "LAN    {:<16}{}{global}{}", cell(&face.name, 15), first_address(face), cable(face));
    }
    text
}

fn first_address(face: &Face) -> &str {
    let ipv4 = face.addresses.iter().find(|address| !address.contains(':'));
    ipv4.or(face.addresses.first()).map_or("no address", String::as_str)
}

fn cable(face: &Face) -> &'static str {
    match (face.up, face.carrier) {
        (false, _) => ", down",
        (true, false) => ", no cable",
        (true, true) => "",
    }
}

/// `addresses`: each interface and what it has.
pub fn addresses(network: &Network) -> String {
    let mut text = String::new();
    for face in &network.faces {
        let _ = writeln!(text, "{:<16}{:<18}mtu {}{}", cell(&face.name, 15), face.mac, face.mtu, cable(face));
        for address in &face.addresses {
            let _ = writeln!(text, "    {address}");
        }
    }
    text
}

/// `routes`: one a line.
pub fn routes(network: &Network) -> String {
    if network.routes.is_empty() {
        return "no routes\n".into();
    }
    network.routes.iter().map(|route| format!("{}\n", clean(route))).collect()
}

/// `leases`: name, address, hardware address, time left.
pub fn leases(leases: &[Lease], now: WallTime) -> String {
    if leases.is_empty() {
        return "no leases\n".into();
    }
    let mut sorted: Vec<&Lease> = leases.iter().collect();
    sorted.sort_by_key(|lease| lease.addr);
    let mut text = format!("{:<26}{:<17}{:<19}{}\n", "name", "address", "hardware address", "expires in");
    for lease in sorted {
        let name = if lease.hostname_override.is_empty() { &lease.hostname } else { &lease.hostname_override };
        let name = if name.is_empty() { "-".into() } else { cell(name, 25) };
        let left = match (lease.is_static(), lease.expired(now)) {
            (true, _) => "never".into(),
            (false, true) => "expired".into(),
            (false, false) => duration(lease.expiry.since(now)),
        };
        let _ = writeln!(text, "{name:<26}{:<17}{:<19}{left}", lease.addr.to_string(), cell(&lease.hardware_addr, 18));
    }
    text
}

/// `firewall`: the table of connections, what is let in, what was refused, a person's rules.
pub fn firewall(firewall: &Firewall) -> String {
    let (held, most) = firewall.connections;
    let mut text = format!("connections  {held} of {most}, {} on the fast path\n", firewall.offloaded);
    if firewall.open.is_empty() {
        text.push_str("let in       nothing that was not asked for from inside\n");
    }
    for line in &firewall.open {
        let _ = writeln!(text, "let in       {}", cell(line, 66));
    }
    for (kind, counts) in [("refused", &firewall.refused), ("rule", &firewall.rules)] {
        for (name, count) in counts {
            let _ = writeln!(text, "{kind:<13}{:<32}{count:>12} packets", cell(name, 31));
        }
    }
    text
}

/// `diag`: the sentence, what else was found, and every check.
pub fn health(health: &Health) -> String {
    let mut text = format!("{}\n", clean(&health.sentence));
    for finding in health.findings.iter().filter(|finding| finding.sentence != health.sentence) {
        let _ = writeln!(text, "Also: {}", clean(&finding.sentence));
    }
    check(&health.checks, 0, &mut text);
    text
}

/// Deeper than any check lies.
const DEEPEST: usize = 8;

fn check(check: &Check, depth: usize, text: &mut String) {
    let mark = match check.state.as_str() {
        "ok" => "ok",
        "failed" => "NO",
        _ => "-",
    };
    let indent = depth * 2;
    let words = cell(&format!("{}: {}", check.name, check.status), 76_usize.saturating_sub(indent));
    let _ = writeln!(text, "{mark:<3}{:indent$}{words}", "");
    for child in check.children.iter().filter(|_| depth < DEEPEST) {
        self::check(child, depth + 1, text);
    }
}

/// A line of a log: when, in seconds since power-on, and what.
pub fn log_line(t_ms: u64, line: &str) -> String {
    format!("[{:>5}.{:03}] {}\n", t_ms / 1_000, t_ms % 1_000, clean(line))
}
