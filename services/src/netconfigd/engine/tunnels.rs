//! WireGuard interfaces: made, taken away, and their peers brought up to date one by one, so that the sessions of those
//! that stay are not touched.
use super::{Action, Found, Link, Plan, Wanted};
use crate::perm::wireguard::{Peer, Tunnel};
use ipnet::IpNet;
use netstack::wireguard::{self, Device, Key, PeerChange, Secret};
use std::net::SocketAddr;

/// The kernel's word for them.
pub const KIND: &str = "wireguard";

/// Where a peer is to be asked, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The interface's name, and the peer.
    pub of: (String, Key),
    /// Address and port.
    pub at: SocketAddr,
    /// Whether it counts more than where the peer was last heard from.
    pub insist: bool,
}

fn is_tunnel(link: &Link) -> bool {
    link.kind.as_deref() == Some(KIND)
}

/// Interfaces of ours that the file no longer has. What is written wrongly stays as it stands.
pub fn gone(wanted: &Wanted, links: &[Link], actions: &mut Vec<Action>) {
    let Some(tunnels) = &wanted.tunnels else { return };
    let named = |link: &Link| {
        tunnels.tunnels.iter().any(|tunnel| tunnel.name == link.name) || tunnels.left_out.contains(&link.name)
    };
    let gone = links.iter().filter(|link| link.ours && is_tunnel(link) && !named(link));
    actions.extend(gone.map(|link| Action::DeleteLink { index: link.index }));
}

/// Makes what is missing; brings keys, ports and peers up to date.
pub fn plan(wanted: &Wanted, found: &Found, plan: &mut Plan) {
    for tunnel in wanted.tunnels.iter().flat_map(|tunnels| &tunnels.tunnels) {
        let name = &tunnel.name;
        match found.links.iter().find(|link| link.name == *name) {
            None => plan.actions.push(Action::AddLink { name: name.clone(), kind: KIND }),
            Some(link) if !is_tunnel(link) => {
                plan.complaints.push(format!("{name}: another interface has this name; it is no WireGuard"));
            }
            Some(link) => {
                let blank = Device {
                    index: link.index,
                    name: name.clone(),
                    private_key: Secret([0; 32]),
                    public_key: Key([0; 32]),
                    port: 0,
                    peers: Vec::new(),
                };
                let device = found.tunnels.iter().find(|device| device.index == link.index).unwrap_or(&blank);
                differences(wanted, tunnel, device, plan);
            }
        }
        if wanted.interfaces.named(name).is_none() {
            plan.complaints.push(format!("{name}: not switched on, as interfaces.json has no entry of this name"));
        }
    }
}

fn differences(wanted: &Wanted, tunnel: &Tunnel, device: &Device, plan: &mut Plan) {
    let index = device.index;
    let key = Some(tunnel.key.clone()).filter(|key| *key != device.private_key);
    let port = Some(tunnel.port).filter(|port| *port != 0 && *port != device.port);
    let same_key = key.is_none();
    if key.is_some() || port.is_some() {
        plan.actions.push(Action::SetTunnel { index, key, port });
    }
    let stays = |old: &wireguard::Peer| tunnel.peers.iter().any(|peer| peer.key == old.key);
    let gone = device.peers.iter().filter(|old| !stays(old));
    plan.actions.extend(gone.map(|old| Action::RemovePeer { index, key: old.key }));
    for peer in &tunnel.peers {
        if same_key && peer.key == device.public_key {
            // The kernel would pass it over without a word.
            let words = format!("{}: {}.public_key: {} is its own key", tunnel.name, peer.entry, peer.key);
            plan.complaints.push(format!("{words}; the others hold"));
            continue;
        }
        let old = device.peers.iter().find(|old| old.key == peer.key);
        let place = wanted.places.iter().find(|place| place.of.0 == tunnel.name && place.of.1 == peer.key);
        let change = change(peer, old, place);
        if !change.is_empty() {
            plan.actions.push(Action::SetPeer { index, change });
        }
    }
}

fn change(peer: &Peer, old: Option<&wireguard::Peer>, place: Option<&Place>) -> PeerChange {
    let mut change = PeerChange::new(peer.key, old.is_some());
    let preshared = peer.preshared.clone().unwrap_or(Secret([0; 32]));
    let before = old.map_or(&Secret([0; 32]), |old| &old.preshared);
    change.preshared = Some(preshared).filter(|wanted| wanted != before);
    change.keepalive = Some(peer.keepalive).filter(|wanted| *wanted != old.map_or(0, |old| old.keepalive));
    // A peer may have moved: where it was last heard from is the better place, unless it has not been heard for long.
    let heard = old.and_then(|old| old.endpoint);
    change.endpoint = place.filter(|place| heard.is_none() || place.insist).map(|place| place.at);
    change.endpoint = change.endpoint.filter(|at| Some(*at) != heard);
    let had: &[IpNet] = old.map_or(&[], |old| &old.allowed);
    change.replace_allowed = had.iter().any(|net| !peer.allowed.contains(net));
    let is_new = |net: &&IpNet| change.replace_allowed || !had.contains(net);
    change.allowed = peer.allowed.iter().filter(is_new).copied().collect();
    change
}

/// What a peer holds after a change that the kernel took.
pub fn took(peers: &mut Vec<wireguard::Peer>, change: &PeerChange) {
    if !peers.iter().any(|peer| peer.key == change.key) {
        peers.push(wireguard::Peer {
            key: change.key,
            preshared: Secret([0; 32]),
            endpoint: None,
            keepalive: 0,
            handshake: std::time::Duration::ZERO,
            received: 0,
            sent: 0,
            allowed: Vec::new(),
        });
    }
    for peer in peers.iter_mut() {
        if peer.key != change.key {
            // A network leads to one peer.
            peer.allowed.retain(|net| !change.allowed.contains(net));
            continue;
        }
        peer.preshared = change.preshared.clone().unwrap_or(peer.preshared.clone());
        peer.endpoint = change.endpoint.or(peer.endpoint);
        peer.keepalive = change.keepalive.unwrap_or(peer.keepalive);
        if change.replace_allowed {
            peer.allowed.clear();
        }
        peer.allowed.extend(&change.allowed);
    }
}
