//! The kernel's side: the interface `uplink0`, which stays as long as a session is wanted, and the session of the moment.
use super::engine::Network;
use crate::perm::interfaces::UPLINK;
use netstack::address::Address;
use netstack::event::{Interest, Loop, Token};
use netstack::link::Link;
use netstack::netlink::{Change, Netlink};
use netstack::ppp::{Session, Unit};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

/// The session's control packets.
pub const SESSION: Token = Token(2);
/// Those of its network protocols.
pub const UNIT: Token = Token(3);

/// The interface and the session.
#[derive(Default)]
pub struct Kernel {
    unit: Option<(Unit, u32)>,
    session: Option<Session>,
    attached: bool,
    /// The link-local address that the session has brought.
    local: Option<Ipv6Addr>,
}

impl Kernel {
    /// Makes the interface, if it is not there and its name is free, and lets it wait for a session.
    ///
    /// # Errors
    /// What was tried and why it did not work.
    pub fn make(&mut self, netlink: &mut Netlink, links: &[Link]) -> Result<(), String> {
        let named = links.iter().find(|link| link.name == UPLINK);
        if let Some((_, index)) = &self.unit {
            let ours = links.iter().find(|link| link.index == *index);
            return match (ours, named) {
                // Somebody took it away.
                (None, _) => {
                    self.unit = None;
                    self.make(netlink, links)
                }
                (Some(_), None) => self.rename(netlink),
                _ => Ok(()),
            };
        }
        if named.is_some() {
            // netconfigd has yet to give the NIC another name; the change will be told.
            return Ok(());
        }
        let unit = Unit::new().map_err(|error| error.to_string())?;
        let made = netlink.links().map_err(|error| error.to_string())?;
        let name = unit.name();
        let index = made.iter().find(|link| link.name == name).map(|link| link.index);
        let index = index.ok_or_else(|| format!("{name} is not there"))?;
        self.unit = Some((unit, index));
        netlink.change(Change::Dormant(index, true)).map_err(|error| error.to_string())?;
        self.rename(netlink)
    }

    fn rename(&self, netlink: &mut Netlink) -> Result<(), String> {
        let Some((_, index)) = &self.unit else { return Ok(()) };
        netlink.change(Change::Rename(*index, UPLINK.to_owned())).map_err(|error| error.to_string())
    }

    /// Takes the interface away.
    pub fn unmake(&mut self) {
        (self.session, self.unit, self.attached, self.local) = (None, None, false, None);
    }

    /// Takes up a session.
    ///
    /// # Errors
    /// The kernel's.
    pub fn begin(&mut self, turn: &Loop, session: u16, peer: [u8; 6], carrier: &str) -> io::Result<()> {
        let session = Session::open(session, peer, carrier)?;
        turn.add(&session, SESSION, Interest::READ)?;
        self.session = Some(session);
        Ok(())
    }

    /// Ends it; the interface waits for another.
    pub fn end(&mut self, turn: &Loop, netlink: &mut Netlink) {
        if let Some((unit, index)) = &self.unit {
            if std::mem::take(&mut self.attached) {
                // That it was not watched, or the session gone, is as good.
                let _ = turn.remove(unit);
                let _ = self.session.as_ref().map(Session::detach);
            }
            // The next session's is asked about anew, and the router behind it for an advertisement.
            let local = self.local.take().map(|local| Change::DeleteAddress(Address::new(*index, local.into(), 64)));
            let _ = netlink.apply(&local.into_iter().chain([Change::Dormant(*index, true)]).collect::<Vec<_>>());
        }
        self.session = None;
    }

    /// Sends a control packet; one that cannot be sent is lost, and said again by its timer.
    pub fn send(&self, protocol: u16, packet: &[u8]) -> io::Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        session.send(&[&protocol.to_be_bytes(), packet].concat())
    }

    /// The next control packet.
    ///
    /// # Errors
    /// When the session is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(session) = &self.session else { return Ok(None) };
        if let Some(length) = session.receive(buffer)? {
            return Ok(Some(length));
        }
        match &self.unit {
            Some((unit, _)) if self.attached => unit.receive(buffer),
            _ => Ok(None),
        }
    }

    /// Lets packets through, as far as the session brings something.
    ///
    /// # Errors
    /// What was tried and why it did not work.
    pub fn carry(&mut self, turn: &Loop, netlink: &mut Netlink, network: &Network) -> Result<(), String> {
        let Some((unit, index)) = &self.unit else { return Err(format!("{UPLINK} is not there")) };
        let (index, brings) = (*index, network.ipv4.is_some() || network.ipv6.is_some());
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        unit.carries(network.ipv4.is_some(), network.ipv6.is_some()).map_err(failed("network protocols"))?;
        if brings && !self.attached {
            let session = self.session.as_ref().ok_or("there is no session")?;
            session.attach(unit).map_err(failed("attaching the session"))?;
            turn.add(unit, UNIT, Interest::READ).map_err(failed("event loop"))?;
            self.attached = true;
        }
        let address = |ip: Ipv6Addr| Address::new(index, IpAddr::V6(ip), 64);
        let mut changes = Vec::new();
        if let Some(local) = network.ipv6.filter(|local| self.local != Some(*local)) {
            changes.extend(self.local.map(|old| Change::DeleteAddress(address(old))));
            changes.push(Change::ReplaceAddress(address(local)));
            self.local = Some(local);
        }
        if brings {
            changes.push(Change::Mtu(index, network.mtu.into()));
        }
        changes.push(Change::Dormant(index, !brings));
        let refused = netlink.apply(&changes).map_err(failed("rtnetlink"))?;
        refused.first().map_or(Ok(()), |error| Err(error.to_string()))
    }
}
