//! What clients, relays and a damaged disk may say, for `fuzz/`.
use super::engine::pool::Subnet;
use super::engine::{Engine, Output, Settings};
use super::message::Query;
use super::recovery;
use super::written::Network;
use crate::hostile::{Script, pass};
use crate::perm::lease_log::Records;
use crate::perm::stamp::Clock;
use crate::perm::{Mac, WallTime};
use layout::crc32;
use netstack::time::Instant;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// One message.
pub fn message(bytes: &[u8]) {
    if let Some(query) = Query::parse(bytes) {
        let _ = (query.address(), query.link());
    }
}

fn settings(interface: &str, own: Ipv4Addr, prefix: u8, relayed: bool) -> Settings {
    let (network, subnet) = (Network::default(), Subnet::new(own, prefix));
    Settings {
        interface: interface.into(),
        identifier: own,
        subnet,
        relayed,
        period: network.period(),
        values: network.values(subnet, own, true),
        boot: network.boot(own),
        reservations: network.kept(),
    }
}

/// A server's days: a LAN so small that it is soon full, and one behind a relay.
pub fn engine(bytes: &[u8]) {
    let mut engine = Engine::default();
    let nets = vec![
        settings("lan0", Ipv4Addr::new(192, 168, 42, 1), 28, false),
        settings("lan0", Ipv4Addr::new(10, 9, 0, 1), 24, true),
        settings("lan1", Ipv4Addr::new(10, 8, 0, 1), 24, false),
    ];
    engine.serve(nets);
    let mut now = Instant::from_secs(50);
    // Who was told to have which address, until when it may be given to nobody else.
    let mut given: HashMap<Ipv4Addr, (Vec<u8>, Instant)> = HashMap::new();
    for step in Script(bytes).steps() {
        let mut output = Output::default();
        pass(&mut now, step.wait, |due| {
            if let Some(due) = due {
                engine.tick(due, &mut output);
            }
            engine.deadline()
        });
        let lan = if step.what & 1 == 0 { "lan0" } else { "lan1" };
        match step.what >> 1 & 7 {
            0 => {
                if let Some(four) = step.bytes.first_chunk::<4>() {
                    engine.heard(now, lan, Mac([2, 0, 0, 0, 9, four[0]]), Ipv4Addr::from(*four), &mut output);
                }
            }
            1 => drop(engine.rename(now, Mac([2, 0, 0, 0, 0, 1]), &String::from_utf8_lossy(step.bytes))),
            _ => {
                if let Some(query) = Query::parse(step.bytes) {
                    engine.receive(now, lan, &query, &mut output);
                }
            }
        }
        engine.shorten(now, &mut output.replies);
        for reply in &output.replies {
            let bytes = reply.message.emit();
            let Some(message) = netstack::wire::dhcpv4::Message::parse(&bytes) else {
                assert!(bytes.is_empty(), "a reply that nobody can read");
                continue;
            };
            // An ACK with a lease: nobody else may have had it.
            let seconds = message.option(51).and_then(|time| time.try_into().ok()).map(u32::from_be_bytes);
            if message.option(53).as_deref() == Some(&[5])
                && let Some(seconds) = seconds
            {
                let who = message.option(61).unwrap_or_else(|| message.ethernet().unwrap_or_default().to_vec());
                let until = now + std::time::Duration::from_secs(seconds.into());
                if let Some((before, end)) = given.insert(message.yiaddr(), (who.clone(), until)) {
                    assert!(before == who || end <= now, "{} is given to two", message.yiaddr());
                }
            }
        }
        // What was given back or refused is free; which client it was is the engine's to judge.
        if Query::parse(step.bytes)
            .is_some_and(|query| matches!(query.kind, super::Kind::Release | super::Kind::Decline))
        {
            given.clear();
        }
        assert!(engine.len() <= 4_096, "a table without end");
    }
}

/// The same with a sum at each record that fits it: else hardly a change would be looked at.
fn summed(log: &[u8]) -> Vec<u8> {
    let (mut bytes, mut at) = (log.to_vec(), 0);
    while let Some(&[low, high, ..]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<6>()) {
        let end = at + 6 + usize::from(u16::from_le_bytes([low, high]));
        let Some(payload) = bytes.get(at + 6..end).filter(|payload| !payload.is_empty()) else { break };
        let sum = crc32(payload).to_le_bytes();
        bytes[at + 2..at + 6].copy_from_slice(&sum);
        at = end;
    }
    bytes
}

/// A record of leases as a cut or a damaged disk leaves it: what follows the first two bytes; they say how much of it is
/// leases.json.
pub fn log(bytes: &[u8]) {
    let Some((&[low, high], rest)) = bytes.split_first_chunk() else { return };
    let mut records = Records::new(rest);
    assert!(records.by_ref().count() <= rest.len());
    let _ = records.end();
    let (json, log) = rest.split_at(usize::from(u16::from_le_bytes([low, high])).min(rest.len()));
    let log = summed(log);
    assert!(Records::new(&log).count() <= log.len());
    let folder: PathBuf = std::env::temp_dir().join(format!("weir-log-{}", std::process::id()));
    let [json_path, log_path] = [folder.join("leases.json"), folder.join("leases.log")];
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&json_path, json))
        .and_then(|()| std::fs::write(&log_path, &log));
    if written.is_ok() {
        let mut engine = Engine::default();
        engine.serve(vec![settings("lan0", Ipv4Addr::new(192, 168, 42, 1), 24, false)]);
        let clock = Clock {
            boot: "b".into(),
            now: Instant::from_secs(50),
            wall: WallTime::from_nanos(1_800_000_000_000_000_000),
        };
        let first = recovery::recover(&log_path, &json_path, &clock, &mut engine);
        drop(first);
        // The same again, from what the first has left.
        let count = engine.len();
        let mut again = Engine::default();
        again.serve(vec![settings("lan0", Ipv4Addr::new(192, 168, 42, 1), 24, false)]);
        drop(recovery::recover(&log_path, &json_path, &clock, &mut again));
        assert!(again.len() == count, "{count} leases, then {}", again.len());
    }
    let _ = std::fs::remove_dir_all(&folder);
}
