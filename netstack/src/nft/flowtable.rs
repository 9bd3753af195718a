//! Flowtables: connections whose packets go from one NIC to the other and meet no rule.
use super::found::{ALL, of_table};
use super::{ACK, BATCH_BEGIN, BATCH_END, CREATE, SUBSYSTEM, batch, message};
use crate::netlink::builder::{Builder, attributes, text};
use crate::netlink::{Error, Socket};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::collections::BTreeMap;
use std::io;

pub(super) const NEW_FLOWTABLE: u16 = SUBSYSTEM << 8 | 22;
const GET_FLOWTABLE: u16 = SUBSYSTEM << 8 | 23;
pub(super) const DEL_FLOWTABLE: u16 = SUBSYSTEM << 8 | 24;
const TABLE: u16 = 1;
const NAME: u16 = 2;
const HOOK: u16 = 3;
const FLAGS: u16 = 7;
/// Packets that pass by are counted by their connections.
const COUNTER: u32 = 2;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_DEVICES: u16 = 3;
/// `NF_NETDEV_INGRESS`.
const INGRESS: u32 = 0;
const DEVICE: u16 = 1;

/// Makes one without a device.
pub(super) fn create(builder: &mut Builder, table: &str, name: &str) {
    message(builder, NEW_FLOWTABLE, CREATE).text(TABLE, table).text(NAME, name);
    builder.nest(HOOK, |hook| {
        hook.be32(HOOK_NUMBER, INGRESS).be32(HOOK_PRIORITY, 0);
    });
    builder.be32(FLAGS, COUNTER);
}

/// Every flowtable of a table with its devices.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub(super) fn all(socket: &mut Socket, table: &str) -> io::Result<BTreeMap<String, Vec<String>>> {
    let mut flowtables = BTreeMap::new();
    socket.dump(GET_FLOWTABLE, &ALL, |message| {
        let Some(all) = of_table(message, TABLE, table) else { return };
        let Some(name) = all.get(&NAME) else { return };
        let hook = all.get(&HOOK).copied().unwrap_or_default();
        let devices = attributes(hook).find(|(kind, _)| *kind == HOOK_DEVICES).map(|(_, value)| value);
        let devices = attributes(devices.unwrap_or_default()).map(|(_, device)| text(device));
        flowtables.insert(text(name), devices.collect());
    })?;
    Ok(flowtables)
}

/// The devices of a flowtable; `None` when there is no such flowtable.
///
/// # Errors
/// When the kernel gives no answer.
pub fn devices(table: &str, flowtable: &str) -> io::Result<Option<Vec<String>>> {
    Ok(all(&mut Socket::open(SockProtocol::NetlinkNetFilter)?, table)?.remove(flowtable))
}

/// Adds devices to a flowtable, or takes them away. What it carries stays; of a device that goes, it returns to the rules.
///
/// # Errors
/// The kernel's: one device that it does not take refuses all.
pub fn change(table: &str, flowtable: &str, devices: &[&str], add: bool) -> Result<(), Error> {
    let what = format!("table inet {table}, flowtable {flowtable}, {}", devices.join(", "));
    let whole = |error: io::Error| Error {
        what: what.clone(),
        errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        words: error.to_string(),
    };
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter).map_err(whole)?;
    let mut builder = socket.builder();
    batch(&mut builder, BATCH_BEGIN);
    let kind = if add { NEW_FLOWTABLE } else { DEL_FLOWTABLE };
    message(&mut builder, kind, ACK | if add { CREATE } else { 0 }).text(TABLE, table).text(NAME, flowtable);
    builder.nest(HOOK, |hook| {
        hook.be32(HOOK_NUMBER, INGRESS).be32(HOOK_PRIORITY, 0).nest(HOOK_DEVICES, |list| {
            for device in devices {
                list.text(DEVICE, device);
            }
        });
    });
    if add {
        builder.be32(FLAGS, COUNTER);
    }
    batch(&mut builder, BATCH_END);
    let last = builder.first().wrapping_add(1);
    socket.send(&mut builder).map_err(whole)?;
    let refused = socket.transaction(last).map_err(whole)?;
    refused
        .into_iter()
        .next()
        .map_or(Ok(()), |refused| Err(Error { what: what.clone(), errno: refused.errno, words: refused.words }))
}
