//! What the kernel holds after an action that it took: saves a second look at boot, and is the tests' small kernel.
use super::{Action, Address, Found, Link};

impl Found {
    /// Takes over the effect of an action. A bridge that was created is known only after another look.
    pub fn took(&mut self, action: &Action) {
        match action {
            Action::Set(sysctl) => {
                self.sysctls.retain(|(path, _)| *path != sysctl.path);
                self.sysctls.push((sysctl.path.clone(), sysctl.value.clone()));
            }
            Action::Firewall(firewall) => self.firewall = Some(firewall.clone()),
            Action::AddBridge { .. } => {}
            Action::Rename { index, to, .. } => self.link(*index, |link| link.name.clone_from(to)),
            Action::SetMac { index, mac } => self.link(*index, |link| link.mac = Some(*mac)),
            Action::SetMtu { index, mtu } => self.link(*index, |link| link.mtu = *mtu),
            Action::SetMaster { index, master } => self.link(*index, |link| link.master = Some(*master)),
            Action::Up { index } => self.link(*index, |link| link.up = true),
            Action::AddAddress { index, net } => {
                self.addresses.push(Address { index: *index, net: *net, automatic: false });
            }
            Action::DeleteAddress { index, net } => {
                self.addresses.retain(|address| address.index != *index || address.net != *net);
                // The kernel drops the routes that were to use it as their source.
                let gone = self.addresses.iter().all(|address| address.net.addr() != net.addr());
                self.routes.retain(|route| !gone || route.source != Some(net.addr()));
            }
            Action::AddRoute(route) => {
                self.routes.retain(|old| old.destination != route.destination);
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
