//! Actions in words, for the log.
use super::{Action, Firewall, Found, queues};

/// What is worth saying of a ruleset.
fn ruleset(firewall: &Firewall) -> String {
    let mut words = "ruleset replaced".to_owned();
    let lans = |guest| {
        let names = firewall.lans.iter().filter(|lan| lan.guest == guest).map(|lan| lan.name.as_str());
        names.filter(|name| guest || !name.starts_with("lan")).collect::<Vec<_>>().join(", ")
    };
    for (what, names) in [("LANs beside lan*", lans(false)), ("guests", lans(true))] {
        if !names.is_empty() {
            words.push_str(&format!("; {what}: {names}"));
        }
    }
    for (what, count) in [
        ("port forwardings", firewall.forwards.len()),
        ("pinholes", firewall.pinholes.len()),
        ("rules", firewall.rules.len()),
    ] {
        if count > 0 {
            words.push_str(&format!("; {what}: {count}"));
        }
    }
    words
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl Action {
    /// What it does, as one would say it once it is done; links by their names in `found`.
    pub fn words(&self, found: &Found) -> String {
        let name = |index: u32| {
            let link = found.links.iter().find(|link| link.index == index);
            link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
        };
        match self {
            Action::Set(sysctl) => format!("{} set to {}", sysctl.path, sysctl.value),
            Action::Firewall(firewall) => ruleset(firewall),
            Action::Forget { address } => format!("connections of {address} forgotten"),
            Action::AddBridge { name, .. } => format!("{name}: bridge made"),
            Action::AddVlan { name: new, over, number } => format!("{new}: VLAN {number} over {} made", name(*over)),
            Action::AddLink { name: new, kind } => format!("{new}: {kind} interface made"),
            Action::SetTunnel { index, key, port } => {
                let key = key.as_ref().map(|_| "private key set".to_owned());
                let port = port.map(|port| format!("listens on port {port}"));
                let words: Vec<String> = key.into_iter().chain(port).collect();
                format!("{}: {}", name(*index), words.join(", "))
            }
            Action::SetPeer { index, change } => {
                let verb = if change.known { "changed" } else { "added" };
                let at = change.endpoint.map_or_else(String::new, |at| format!(", asked at {at}"));
                format!("{}: peer {} {verb}{at}", name(*index), change.key)
            }
            Action::RemovePeer { index, key } => format!("{}: peer {key} removed", name(*index)),
            Action::SetQueue { index, cake } => {
                let what = if cake.behind { "downloads" } else { "uploads" };
                format!("{}: {what} shaped to {}", name(*index), queues::words(cake))
            }
            Action::DropQueue { index } => format!("{}: not shaped any more", name(*index)),
            Action::Lead { index, through } => {
                let why = "as several LANs or ports share the rate; the flowtable is no use to them there";
                format!("{}: downloads led through {}, {why}", name(*index), name(*through))
            }
            Action::NoLead { index } => format!("{}: downloads led nowhere else", name(*index)),
            Action::DeleteLink { index } => format!("{}: removed", name(*index)),
            Action::Rename { from, to, .. } => format!("{to}: was {from}"),
            Action::SetMac { index, mac } => format!("{}: hardware address {mac}", name(*index)),
            Action::SetMtu { index, mtu } => format!("{}: mtu {mtu}", name(*index)),
            Action::SetMaster { index, master: None } => format!("{}: port of no bridge", name(*index)),
            Action::SetMaster { index, master: Some(master) } => {
                format!("{}: port of {}", name(*index), name(*master))
            }
            Action::SetStp { index, on } => format!("{}: spanning tree {}", name(*index), switch(*on)),
            Action::SetVlanFiltering { index, on } => format!("{}: VLAN filtering {}", name(*index), switch(*on)),
            Action::Up { index } => format!("{}: switched on", name(*index)),
            Action::AddAddress(address) => {
                let how = if address.deprecated { ", deprecated" } else { "" };
                format!("{}: got {}{how}", name(address.index), address.net)
            }
            Action::DeleteAddress { index, net } => format!("{}: lost {net}", name(*index)),
            Action::AddRoute(route) | Action::DeleteRoute(route) => {
                let verb = if matches!(self, Action::AddRoute(_)) { "route to" } else { "no more route to" };
                let via = route.gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
                let what = if route.unreachable { "unreachable " } else { "" };
                format!("{}: {what}{verb} {}{via}", name(route.index), route.destination)
            }
        }
    }
}
