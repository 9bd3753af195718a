//! What the kernel holds of a table, by name.
use super::flowtable::all as flowtables;
use super::set::{
    DESCRIPTION_SIZE, SET_DATA_TYPE, SET_DESCRIPTION, SET_FLAGS, SET_KEY_TYPE, SET_NAME, SET_TABLE, Shape,
};
use super::{CHAIN_HOOK, CHAIN_NAME, CHAIN_TABLE, HOOK_NUMBER, HOOK_PRIORITY, INET, NEW_TABLE, RULE_TABLE, SUBSYSTEM};
use crate::netlink::Socket;
use crate::netlink::builder::{Message, attributes, text};
use std::collections::BTreeMap;
use std::io;

const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
const GET_RULE: u16 = SUBSYSTEM << 8 | 7;
const RULE_HANDLE: u16 = 3;
const GET_SET: u16 = SUBSYSTEM << 8 | 10;
const GET_OBJECT: u16 = SUBSYSTEM << 8 | 19;
/// Looks at what others keep changing.
const TRIES: u32 = 20;
/// The fixed header of a request for everything of family `inet`.
pub(super) const ALL: [u8; 4] = [INET, 0, 0, 0];
const OBJECT_TABLE: u16 = 1;
const OBJECT_NAME: u16 = 2;
const OBJECT_TYPE: u16 = 3;
const OBJECT_DATA: u16 = 4;
/// `NFT_OBJECT_COUNTER`.
pub(super) const COUNTER: u32 = 1;

/// A named counter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the network header on.
    pub bytes: u64,
}

/// Chains, sets and counters of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Hook and priority of each chain; `None` for one without.
    pub chains: BTreeMap<String, Option<(u32, u32)>>,
    /// What each named set was made with.
    pub sets: BTreeMap<String, Shape>,
    /// Names of counters.
    pub counters: Vec<String>,
    /// Flowtables and their devices.
    pub flowtables: BTreeMap<String, Vec<String>>,
}

fn be32(value: &[u8]) -> u32 {
    value.try_into().map_or(0, u32::from_be_bytes)
}

fn be64(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_be_bytes)
}

/// The attributes of a message, when they are of this table.
pub(super) fn of_table<'a>(message: &Message<'a>, name_at: u16, table: &str) -> Option<BTreeMap<u16, &'a [u8]>> {
    let all: BTreeMap<u16, &[u8]> = attributes(message.payload.get(4..)?).collect();
    (text(all.get(&name_at)?) == table).then_some(all)
}

/// Whether there is such a table.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub(super) fn exists(socket: &mut Socket, table: &str) -> io::Result<bool> {
    let mut found = false;
    socket.dump(GET_TABLE, &ALL, |message| {
        found |= message.kind == NEW_TABLE && of_table(message, 1, table).is_some();
    })?;
    Ok(found)
}

/// The numbers of a table's rules, in order; `None` when there is no such table.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub(super) fn handles(socket: &mut Socket, table: &str) -> io::Result<Option<Vec<u64>>> {
    if !exists(socket, table)? {
        return Ok(None);
    }
    for _ in 0..TRIES {
        let mut all = Vec::new();
        let whole = socket.dump(GET_RULE, &ALL, |message| {
            let Some(rule) = of_table(message, RULE_TABLE, table) else { return };
            all.extend(rule.get(&RULE_HANDLE).map(|value| be64(value)));
        })?;
        if whole {
            return Ok(Some(all));
        }
    }
    Err(io::Error::from(io::ErrorKind::Interrupted))
}

/// Reads what a table holds; `None` when there is none.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub(super) fn look(socket: &mut Socket, table: &str) -> io::Result<Option<Found>> {
    if !exists(socket, table)? {
        return Ok(None);
    }
    let mut found = Found::default();
    socket.dump(GET_CHAIN, &ALL, |message| {
        let Some(all) = of_table(message, CHAIN_TABLE, table) else { return };
        let Some(name) = all.get(&CHAIN_NAME) else { return };
        let base = all.get(&CHAIN_HOOK).map(|hook| {
            let hook: BTreeMap<u16, &[u8]> = attributes(hook).collect();
            let number = |at| hook.get(&at).map_or(0, |value| be32(value));
            (number(HOOK_NUMBER), number(HOOK_PRIORITY))
        });
        found.chains.insert(text(name), base);
    })?;
    socket.dump(GET_SET, &ALL, |message| {
        let Some(all) = of_table(message, SET_TABLE, table) else { return };
        let Some(name) = all.get(&SET_NAME) else { return };
        let number = |at| all.get(&at).map_or(0, |value| be32(value));
        let description = all.get(&SET_DESCRIPTION).map(|value| attributes(value)).into_iter().flatten();
        let size =
            description.into_iter().find(|(kind, _)| *kind == DESCRIPTION_SIZE).map_or(0, |(_, size)| be32(size));
        let shape = (number(SET_FLAGS), number(SET_KEY_TYPE), number(SET_DATA_TYPE), size);
        found.sets.insert(text(name), shape);
    })?;
    found.counters = counters(socket, table)?.into_keys().collect();
    found.flowtables = flowtables(socket, table)?;
    Ok(Some(found))
}

/// Every named counter of a table.
///
/// # Errors
/// When the kernel refuses or stays silent.
pub(super) fn counters(socket: &mut Socket, table: &str) -> io::Result<BTreeMap<String, Count>> {
    let mut counters = BTreeMap::new();
    socket.dump(GET_OBJECT, &ALL, |message| {
        let Some(all) = of_table(message, OBJECT_TABLE, table) else { return };
        if all.get(&OBJECT_TYPE).map(|kind| be32(kind)) != Some(COUNTER) {
            return;
        }
        let Some(name) = all.get(&OBJECT_NAME) else { return };
        let data: BTreeMap<u16, &[u8]> =
            all.get(&OBJECT_DATA).map(|data| attributes(data).collect()).unwrap_or_default();
        let number = |at| data.get(&at).map_or(0, |value| be64(value));
        counters.insert(text(name), Count { bytes: number(1), packets: number(2) });
    })?;
    Ok(counters)
}
