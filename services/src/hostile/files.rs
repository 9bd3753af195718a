//! Files, and lines on sockets within the router.
use crate::perm::{announced::Announced, json, lease4::Lease4, lease6::Lease6, leases::Lease, stamp::Clock};
use crate::perm::{devices::Devices, wireguard::Tunnels};
use crate::update::{Incoming, Manifest, PublicKey};
use crate::{blocklist, check, configd, deviced, restore};
use flate2::{Compression, write::GzEncoder};
use netstack::time::Instant;
use std::io::Write;
use std::path::Path;

/// Who has signed the updates among the seeds.
const KEY: &str = include_str!("../../../fuzz/update.pub");

/// What a person writes: the first byte says which file, and whether an interfaces.json stands beside it.
pub fn written(bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else { return };
    let all = rights::WRITTEN;
    let Some(name) = all[usize::from(which & 0x7f) % all.len()].strip_prefix("/perm/") else { return };
    let lan = r#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"10.0.0.1/24"},{"name":"lan1","addr":"10.0.1.1/24"}]}"#;
    let mut files = check::Files::new();
    if which & 0x80 != 0 {
        files.insert("interfaces.json".into(), lan.as_bytes().to_vec());
    }
    files.insert(name.to_owned(), text.to_vec());
    let wrong = check::check(&files, |name| (name.len() < 9).then(|| "CET-1CEST,M3.5.0,M10.5.0/3".to_owned()));
    assert!(wrong.iter().all(|line| line.starts_with(name)), "a refusal without its file: {wrong:?}");
}

/// What services keep and tell each other.
pub fn kept(bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else { return };
    let path = Path::new("x.json");
    match which % 8 {
        0 => {
            if let Ok(lease) = json::parse::<Lease4>(path, text) {
                let _ = lease.check(path);
            }
        }
        1 => {
            let clock = Clock {
                boot: "b".into(),
                now: Instant::from_secs(9),
                wall: crate::perm::WallTime::from_nanos(9_000_000_000),
            };
            if let Ok(lease) = json::parse::<Lease6>(path, text) {
                let _ = lease.check(&clock);
            }
        }
        2 => {
            if let Ok(leases) = json::parse::<Vec<Lease>>(path, text) {
                let now = crate::perm::WallTime::from_nanos(1_800_000_000_000_000_000);
                assert!(leases.iter().filter(|lease| lease.expired(now)).count() <= leases.len());
                let _ = json::write(&leases);
            }
        }
        3 => drop(json::parse::<Announced>(path, text)),
        4 => drop(json::parse::<Devices>(path, text)),
        5 => deviced::hostile::kept(path, text),
        6 => drop(Tunnels::parse(path, text)),
        _ => {
            // Whatever is read is written, and read again as the same.
            if let Some(leases) = json::parse_right::<Vec<Lease>>(text) {
                assert!(json::parse_right::<Vec<Lease>>(&json::write(&leases)).is_some(), "written and not read");
            }
        }
    }
}

/// Requests of other services, and of people through these.
pub fn asked(bytes: &[u8]) {
    configd::hostile::asked(bytes);
    deviced::hostile::asked(bytes);
}

/// A list of names, in pieces.
pub fn blocklist(bytes: &[u8]) {
    let mut reader = blocklist::rules::Reader::default();
    let piece = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    for part in bytes.chunks(piece) {
        if reader.read(part, 1_000).is_err() {
            return;
        }
    }
    if let Ok((keys, _)) = reader.finish(1_000) {
        assert!(keys.is_sorted_by(|one, other| one < other) && keys.len() <= 1_000);
    }
}

/// An update, in pieces; and what would be its manifest if it were signed.
pub fn update(bytes: &[u8]) {
    let line = bytes.split(|byte| *byte == b'\n').nth(1).unwrap_or(bytes);
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(line) {
        let _ = manifest.check();
    }
    let Some(key) = KEY.lines().nth(1).and_then(|line| PublicKey::from_base64(line).ok()) else { return };
    let mut incoming = Incoming::new(vec![key], 0);
    let mut given = 0u64;
    let mut sink = |_: usize, _: u64, part: &[u8]| {
        given += part.len() as u64;
        Ok(())
    };
    let piece = bytes.last().map_or(1, |last| usize::from(*last) + 1);
    let taken = bytes.chunks(piece).try_for_each(|part| incoming.take(part, &mut sink));
    let whole = taken.is_ok() && incoming.finish().is_ok();
    assert!(given <= bytes.len() as u64 && (!whole || given == incoming.taken()));
}

/// A backup: the bytes as they come, and as what is packed.
pub fn backup(bytes: &[u8]) {
    let most = 1 << 20;
    let look = |packed: &[u8]| {
        let mut read = 0;
        let _ = restore::read_up_to(packed, most, |entry| {
            let (path, content) = match entry {
                restore::Entry::Folder(path) => (path, None),
                restore::Entry::File(path, content) => (path, Some(content)),
            };
            let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            assert!(inside && path.components().next().is_some(), "{path:?} leaves the folder");
            if let Some(content) = content {
                read += std::io::copy(content, &mut std::io::sink()).map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        assert!(read <= most);
    };
    look(bytes);
    let mut packer = GzEncoder::new(Vec::new(), Compression::none());
    if packer.write_all(bytes).is_ok()
        && let Ok(packed) = packer.finish()
    {
        look(&packed);
    }
}
