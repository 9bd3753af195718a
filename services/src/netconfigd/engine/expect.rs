//! What the kernel holds after an action that it took: saves a second look at boot, and is the tests' small kernel.
use super::{Action, Found, Link, queues, tunnels};

impl Found {
    /// Takes over the effect of an action. A link that was created is known only after another look.
    pub fn took(&mut self, action: &Action) {
        match action {
            Action::Set(sysctl) => {
                self.sysctls.retain(|(path, _)| *path != sysctl.path);
                self.sysctls.push((sysctl.path.clone(), sysctl.value.clone()));
            }
            Action::Firewall(firewall) => self.firewall = Some(firewall.clone()),
            Action::AddBridge { .. } | Action::AddVlan { .. } | Action::AddLink { .. } | Action::Forget { .. } => {}
            Action::DeleteLink { index } => {
                self.links.retain(|link| link.index != *index);
                self.addresses.retain(|address| address.index != *index);
                self.routes.retain(|route| route.index != *index);
                self.tunnels.retain(|tunnel| tunnel.index != *index);
                self.queues.retain(|queue| queue.index != *index);
            }
            Action::SetTunnel { index, key, port } => {
                if let Some(tunnel) = self.tunnels.iter_mut().find(|tunnel| tunnel.index == *index) {
                    tunnel.private_key = key.clone().unwrap_or(tunnel.private_key.clone());
                    tunnel.port = port.unwrap_or(tunnel.port);
                }
            }
            Action::SetPeer { index, change } => {
                if let Some(tunnel) = self.tunnels.iter_mut().find(|tunnel| tunnel.index == *index) {
                    tunnels::took(&mut tunnel.peers, change);
                }
            }
            Action::RemovePeer { index, key } => {
                if let Some(tunnel) = self.tunnels.iter_mut().find(|tunnel| tunnel.index == *index) {
                    tunnel.peers.retain(|peer| peer.key != *key);
                }
            }
            Action::SetQueue { .. } | Action::DropQueue { .. } | Action::Lead { .. } | Action::NoLead { .. } => {
                queues::took(&mut self.queues, action);
            }
            Action::Rename { index, to, .. } => self.link(*index, |link| link.name.clone_from(to)),
            Action::SetMac { index, mac } => self.link(*index, |link| link.mac = Some(*mac)),
            Action::SetMtu { index, mtu } => self.link(*index, |link| link.mtu = *mtu),
            Action::SetStp { index, on } => {
                self.link(*index, |link| link.bridge.get_or_insert_default().stp = *on);
            }
            Action::SetVlanFiltering { index, on } => {
                self.link(*index, |link| link.bridge.get_or_insert_default().vlan_filtering = *on);
            }
            Action::SetMaster { index, master } => self.link(*index, |link| link.master = *master),
            Action::Up { index } => self.link(*index, |link| link.up = true),
            Action::AddAddress(address) => {
                self.addresses.retain(|old| old.index != address.index || old.net != address.net);
                self.addresses.push(address.clone());
            }
            Action::DeleteAddress { index, net } => {
                self.addresses.retain(|address| address.index != *index || address.net != *net);
                // The kernel drops the routes that were to use it as their source.
                let gone = self.addresses.iter().all(|address| address.net.addr() != net.addr());
                self.routes.retain(|route| !gone || route.source != Some(net.addr()));
            }
            Action::AddRoute(route) => {
                let same =
                    |old: &super::Route| (old.destination, old.unreachable) == (route.destination, route.unreachable);
                self.routes.retain(|old| !same(old));
                self.routes.push(route.clone());
            }
            Action::DeleteRoute(route) => self.routes.retain(|old| old != route),
        }
    }

    fn link(&mut self, index: u32, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.iter_mut().find(|link| link.index == index) {
            change(link);
        }
    }
}
