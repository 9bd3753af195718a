//! The two files of dhcp6: `lease.json`, for its readers and for itself after a restart, and `duid`.
//!
//! What cannot be written stays in memory, is said aloud and tried again every minute.
use super::engine::{Binding, Bindings};
use super::message::For;
use crate::perm::lease6::{Delegation, GoNet, Held, Lease6, Timed, seconds_left};
use crate::perm::stamp::Clock;
use crate::perm::{Mac, duid, file, json, lease6};
use ipnet::Ipv6Net;
use netstack::time::Instant;
use std::path::PathBuf;
use std::time::Duration;

const RETRY: Duration = Duration::from_secs(60);
/// 2000-01-01, where a DUID-LLT begins to count, in seconds since 1970.
const YEAR_2000: u64 = 946_684_800;

/// Where they are kept.
#[derive(Debug)]
pub struct Files {
    lease: PathBuf,
    duid: PathBuf,
    /// What is still to be written, and when it is tried again.
    pending: Option<(Vec<u8>, Instant)>,
}

impl Files {
    /// The two files by their paths.
    pub fn new(lease: PathBuf, duid: PathBuf) -> Files {
        Files { lease, duid, pending: None }
    }

    /// What was held when the file was written, with what is left of its lifetimes.
    pub fn stored(&self, clock: &Clock) -> Option<Bindings> {
        match lease6::read_raw(&self.lease) {
            Ok(lease) => Some(bindings(&lease?, clock)),
            Err(refusal) => {
                log::warn!("{refusal}: starting without it");
                None
            }
        }
    }

    /// Writes down what is held; says whether the file was replaced, so that its readers are to be told.
    pub fn write(&mut self, clock: &Clock, held: &Bindings) -> bool {
        self.pending = Some((json::write(&lease(held, clock)), clock.now));
        self.retry(clock.now)
    }

    /// When [`Files::retry`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|(_, at)| *at)
    }

    /// Writes what is pending, if its time has come; says whether the file was replaced.
    pub fn retry(&mut self, now: Instant) -> bool {
        let Some((bytes, at)) = self.pending.take() else { return false };
        if at <= now {
            match file::replace(&self.lease, &bytes) {
                Ok(replaced) => return replaced,
                Err(error) => {
                    log::error!("{}: {error}: the lease is only in memory, next try in a minute", self.lease.display());
                }
            }
        }
        self.pending = Some((bytes, if at <= now { now + RETRY } else { at }));
        false
    }

    /// The DUID that is kept, raw as router7 takes it; else one is made of the hardware address and kept before it is
    /// used. A disk that refuses does not keep us from asking.
    pub fn duid(&self, mac: Mac, wall_seconds: u64) -> Vec<u8> {
        duid::kept(&self.duid, || {
            // DUID-LLT over Ethernet (RFC 9915, section 11.2).
            let since = wall_seconds.saturating_sub(YEAR_2000) as u32;
            [&[0, 1, 0, 1][..], &since.to_be_bytes(), &mac.0].concat()
        })
    }
}

fn lease(held: &Bindings, clock: &Clock) -> Lease6 {
    let left = |item: &Timed<Ipv6Net>| {
        (seconds_left(item.preferred_until, clock.now), seconds_left(item.valid_until, clock.now))
    };
    let of = |is_for: For| {
        let bindings = held.all.iter().filter(move |binding| binding.is_for == is_for);
        bindings.flat_map(|binding| binding.items.iter().map(|item| (binding.iaid, *item)))
    };
    let delegation = |(iaid, item): (u32, Timed<Ipv6Net>)| {
        let (preferred, valid) = left(&item);
        Delegation { iaid, prefix: item.value, preferred, valid }
    };
    let address = |(iaid, item): (u32, Timed<Ipv6Net>)| {
        let (preferred, valid) = left(&item);
        Held { iaid, address: item.value.addr(), preferred, valid }
    };
    let valid: Vec<GoNet> = held.valid(For::Prefix, clock.now).map(|item| GoNet(item.value)).collect();
    let dns: Vec<String> = held.dns.iter().map(ToString::to_string).collect();
    let t1 = held.times().0;
    Lease6 {
        valid_until: if t1 == Instant::NEVER { clock.wall } else { clock.wall.after(t1 - clock.now) },
        prefixes: (!valid.is_empty()).then_some(valid),
        dns: (!dns.is_empty()).then_some(dns),
        stamp: Some(clock.stamp()),
        delegations: of(For::Prefix).map(delegation).collect(),
        addresses: of(For::Address).map(address).collect(),
        server: held.server.iter().map(|byte| format!("{byte:02x}")).collect(),
        search: held.search.clone(),
        ntp: held.ntp.clone(),
    }
}

fn bindings(lease: &Lease6, clock: &Clock) -> Bindings {
    let checked = lease.check(clock);
    let mut all: Vec<Binding> = Vec::new();
    let mut add = |is_for: For, iaid: u32, item: Timed<Ipv6Net>| match all
        .iter_mut()
        .find(|binding| (binding.is_for, binding.iaid) == (is_for, iaid))
    {
        Some(binding) => binding.items.push(item),
        None => {
            let (t1, t2) = (Instant::NEVER, Instant::NEVER);
            all.push(Binding { is_for, iaid, t1, t2, items: vec![item] });
        }
    };
    for item in checked.delegations {
        // router7's files do not say; its one IA_PD has number 1.
        let known = lease.delegations.iter().find(|known| known.prefix.trunc() == item.value);
        add(For::Prefix, known.map_or(1, |known| known.iaid), item);
    }
    for (item, held) in checked.addresses.iter().zip(&lease.addresses) {
        add(
            For::Address,
            held.iaid,
            Timed {
                value: Ipv6Net::from(item.value),
                preferred_until: item.preferred_until,
                valid_until: item.valid_until,
            },
        );
    }
    let octet = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
    let server: Option<Vec<u8>> = lease.server.as_bytes().chunks(2).map(octet).collect();
    Bindings {
        server: server.unwrap_or_default(),
        all,
        dns: checked.dns,
        search: lease.search.clone(),
        ntp: lease.ntp.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::WallTime;
    use crate::perm::file::tests::Folder;

    fn clock(boot: &str, now: u64, wall: i64) -> Clock {
        Clock { boot: boot.into(), now: Instant::from_secs(now), wall: WallTime::from_unix(wall) }
    }

    fn held(now: Instant) -> Bindings {
        let item = |net: &str, valid| Timed::new(net.parse().unwrap(), now, valid / 2, valid);
        let binding = |is_for, iaid, items| Binding { is_for, iaid, t1: now + RETRY, t2: Instant::NEVER, items };
        Bindings {
            server: vec![0, 3, 0, 1, 0xab],
            all: vec![
                binding(For::Prefix, 1, vec![item("2001:db8:a::/56", 3_600), item("2001:db8:b::/56", 0)]),
                binding(For::Address, 9, vec![item("2001:db8::9/128", 60)]),
            ],
            dns: vec!["2001:db8::53".parse().unwrap()],
            ..Bindings::default()
        }
    }

    fn files(folder: &Folder) -> Files {
        Files::new(folder.0.join("lease.json"), folder.0.join("duid"))
    }

    #[test]
    fn what_is_written_is_read_again_after_a_reboot() {
        let folder = Folder::new();
        let mut files = files(&folder);
        let start = clock("a", 100, 1_700_000_000);
        assert_eq!(files.stored(&start), None);
        assert!(files.write(&start, &held(start.now)));
        let text = std::fs::read_to_string(folder.0.join("lease.json")).unwrap();
        let want = r#"{"valid_until":"2023-11-14T22:14:20Z","prefixes":[{"IP":"2001:db8:a::","Mask":"/////////wAAAAAAAAAAAA=="}],"dns":["2001:db8::53"],"#;
        assert!(text.starts_with(want), "{text}");
        let again = files.stored(&clock("a", 160, 0)).unwrap();
        assert_eq!((again.server, again.dns), (vec![0, 3, 0, 1, 0xab], held(start.now).dns));
        assert_eq!(again.all[0].items, held(start.now).all[0].items, "the same boot: the same moments");
        // Ten minutes in the dark.
        let later = clock("b", 4, 1_700_000_600);
        let again = files.stored(&later).unwrap();
        assert_eq!(
            again
                .valid(For::Prefix, later.now)
                .map(|item| seconds_left(item.valid_until, later.now))
                .collect::<Vec<_>>(),
            [3_000]
        );
        assert_eq!((again.valid(For::Address, later.now).count(), again.all[1].iaid), (0, 9));
    }

    #[test]
    fn a_damaged_file_is_as_if_absent_and_a_full_disk_is_tried_again() {
        let folder = Folder::new();
        let mut files = files(&folder);
        let start = clock("a", 100, 0);
        for bytes in [&b"{"[..], b"", b"{\"delegations\":[{\"prefix\":\"x\"}]}"] {
            std::fs::write(folder.0.join("lease.json"), bytes).unwrap();
            assert_eq!(files.stored(&start), None);
        }
        let obstacle = folder.0.join(".lease.json.new");
        std::fs::create_dir(&obstacle).unwrap();
        assert!(!files.write(&start, &held(start.now)), "announced only when written");
        assert_eq!(files.deadline(), Some(start.now + RETRY));
        std::fs::remove_dir(&obstacle).unwrap();
        assert!(!files.retry(start.now) && files.retry(start.now + RETRY));
    }

    #[test]
    fn a_duid_is_made_once_and_a_given_one_is_taken_raw() {
        let folder = Folder::new();
        let files = files(&folder);
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        let made = files.duid(mac, YEAR_2000 + 5);
        assert_eq!(made, [0, 1, 0, 1, 0, 0, 0, 5, 2, 0, 0, 0, 0, 7]);
        assert_eq!(files.duid(Mac([9; 6]), 0), made);
        std::fs::write(folder.0.join("duid"), [0, 4, 1, 2, 3]).unwrap();
        assert_eq!(files.duid(mac, 0), [0, 4, 1, 2, 3]);
        for wrong in [vec![], vec![0, 1], vec![7; 131]] {
            std::fs::write(folder.0.join("duid"), &wrong).unwrap();
            assert_eq!(files.duid(mac, 0).len(), 14);
        }
    }
}
