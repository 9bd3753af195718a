//! Who is behind an address, where lists hold for some and not for others: asked of the kernel before the first answer, so
//! that no new address of a device is a way round its list.
use super::engine::Engine;
use crate::house::Failure;
use crate::house::rarely::Rarely;
use crate::perm::Mac;
use netstack::link::Link;
use netstack::netlink::Netlink;
use netstack::time::Instant;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Neighbours are looked at so often in a second, whoever asks.
const SECOND: Duration = Duration::from_secs(1);
const MOST: u32 = 16;

/// The look around.
pub struct Around {
    netlink: Netlink,
    links: HashMap<u32, String>,
    /// The second, and looks in it.
    second: Option<Instant>,
    looks: u32,
    complaint: Rarely,
}

impl Around {
    /// Nobody is known yet.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn open() -> Result<Around, Failure> {
        let netlink = Netlink::route().map_err(Failure::during("neighbours"))?;
        Ok(Around { netlink, links: HashMap::new(), second: None, looks: 0, complaint: Rarely::default() })
    }

    /// The links are these.
    pub fn follow(&mut self, links: &[Link]) {
        let named = links.iter().filter(|link| !link.loopback);
        self.links = named.map(|link| (link.index, link.name.clone())).collect();
    }

    /// Somebody asks: the engine knows who it is afterwards, as far as that can be known.
    pub fn meet(&mut self, now: Instant, engine: &mut Engine, who: IpAddr) {
        if !engine.wonders(who) {
            return;
        }
        if self.second.is_none_or(|since| now >= since + SECOND) {
            (self.second, self.looks) = (Some(now), 0);
        }
        self.looks += 1;
        if self.looks > MOST {
            return;
        }
        match self.netlink.neighbours() {
            Ok(all) => {
                let of = |one: netstack::neighbour::Neighbour| {
                    Some((one.address, Mac(one.mac), self.links.get(&one.interface)?.clone()))
                };
                engine.neighbours(all.into_iter().filter_map(of));
            }
            Err(error) => self.complaint.warn(now, || format!("no word of the neighbours: {error}")),
        }
    }
}
