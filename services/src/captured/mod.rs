//! captured: the last control packets of every interface, and live ones, for who asks by SSH.
//!
//! `ssh -p 5022 weir | wireshark -k -i -`, with any command or none, gives pcapng with the interfaces' names: what the ring
//! holds (ICMPv6 and DHCP of both families, router7's filter), then what comes, until somebody hangs up. `ssh -p 5022
//! weir control ADDRESS` shows those of one address; `dns` and `all`, with an address or without, what comes from then on
//! (TCP of this port left out: it would see itself). The ring has 4 MiB (`--ring-mib`), is shared by all interfaces, and a
//! storm on one pushes out its own packets only. It is filled only where there is a key or somebody has said `record` (`/perm/captured/record`
//! is there then): to look at every frame costs each of them, those that are only forwarded too.
//!
//! SSH (RFC 4251 to 4254) by sunset, as user anybody, with a key of `/perm/authorized_keys`, which a person writes; where
//! there is none, nobody is let in and the client is told why. The host key is made at the first start:
//! `/perm/captured/host_key`. 16 clients at a time, who log in within ten seconds.
//!
//! The last 2,000 of them, half a megabyte at most, are written to `/perm/captured/last.pcapng` at an orderly stop and, if
//! something has come, every ten minutes; the next boot calls that file `before.pcapng`.
//!
//! `/run/captured.sock`: `{"op":"ring"}` is answered by lines of words, how much is held; `{"op":"record","on":true}`
//! by the same, once packets are kept without a key too; `{"op":"capture","filter":"control 192.168.42.7"}` is answered by a descriptor of a file in memory with
//! what the ring holds. Ports: 5022 on private addresses, never on the uplink; 5023 on loopback, `/metrics`. Reads
//! `/perm/interfaces.json` for the LANs' names.
mod client;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod kept;
mod keys;
mod metrics;
mod pcapng;
mod ring;
mod session;
mod tap;
#[cfg(test)]
mod tests;
mod wish;

pub use keys::check;

use crate::house::private::Addresses;
use crate::house::rarely::Rarely;
use crate::house::requests::{Reply, Requests, Said, error};
use crate::house::shown::Shown;
use crate::house::{Failure, House};
use crate::perm::{WallTime, file as files, interfaces};
use crate::web;
use client::{Client, View};
use kept::{Kept, LAST_BOOT};
use keys::Authorized;
use metrics::Counts;
use netstack::capture::Filter;
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::netlink::Netlink;
use netstack::time::Instant;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{setsockopt, sockopt};
use ring::Ring;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Seek, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use sunset::SignKey;
use tap::Tap;
use wish::Wish;

/// Where SSH is spoken.
pub const PORT: u16 = 5022;
const ADDRESSES: Token = Token(0);
/// Clients at a time, and of these such as have sockets of their own.
const CLIENTS: usize = 16;
const OWN: usize = 4;
/// Connections that are about to be closed.
const LEAVING: usize = 32;
/// Bytes of a ring.
const RING: usize = 4 << 20;
const OWN_RING: usize = 1 << 20;
/// Time to log in and to say what is wanted.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long a client that has not logged in may be parted from for the next one, and one that was told to go is gone.
const GRACE: Duration = Duration::from_secs(2);
const NO_KEYS: &str = "nobody may look on: there is no ssh-ed25519 key in /perm/authorized_keys. Put yours there: \
                       `apply` at the router's console, or `weir apply`";
const NO_RECORD: &str = "nothing is kept: `capture on` has packets kept, and so has a key in /perm/authorized_keys";
/// It is there where packets are kept though nobody has a key.
const RECORD: &str = "/perm/captured/record";
/// A peer that is silent for so long is asked whether it is still there (seconds, and how often).
const KEEPALIVE: (u32, u32, u32) = (60, 10, 3);

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    /// What the ring holds.
    Capture {
        #[serde(default)]
        filter: String,
    },
    /// How much that is, in words.
    Ring,
    /// Whether packets are to be kept where nobody has a key.
    Record { on: bool },
}

struct Captured {
    house: House,
    turn: Loop,
    netlink: Netlink,
    host_key: SignKey,
    tap: Tap,
    ring: Ring,
    kept: Kept,
    listeners: Vec<(u64, SocketAddr, TcpListener)>,
    clients: BTreeMap<u64, Client>,
    /// Who has been told to go, and is given time to hear it.
    leaving: VecDeque<(Instant, TcpStream)>,
    counts: Counts,
    /// The last token that was given.
    last: u64,
    complaint: Rarely,
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor.
pub fn run(house: House) -> Result<(), Failure> {
    let ring = Ring::new(ring_bytes(&house)?);
    let turn = Loop::new()?;
    let mut addresses = Addresses::open(&turn, ADDRESSES)?;
    let mut requests = Requests::open(&house, &turn, "captured")?;
    let host_key = keys::host_key(&house).map_err(Failure::new)?;
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let kept = Kept::open(&house, Instant::now());
    let mut captured = Captured {
        house,
        turn,
        netlink,
        host_key,
        tap: Tap::new(Filter::Control),
        ring,
        kept,
        listeners: Vec::new(),
        clients: BTreeMap::new(),
        leaving: VecDeque::new(),
        counts: Counts::default(),
        last: ADDRESSES.0,
        complaint: Rarely::default(),
    };
    let mut now = Instant::now();
    let mut shown = Shown::open(&captured.turn, now, "captured");
    captured.follow(now, &mut addresses);
    captured.house.ready();
    let mut events = Vec::new();
    loop {
        let deadlines = captured.clients.values().filter_map(|client| client.deadline);
        let leaving = captured.leaving.front().map(|(until, _)| *until);
        let write = captured.kept.deadline(&captured.ring);
        captured.turn.wait(deadlines.chain(shown.deadline()).chain(leaving).chain(write).min(), &mut events)?;
        now = Instant::now();
        let (mut follow, mut news) = (false, false);
        for event in &events {
            match event {
                Event::Signal(Signal::Terminate) => {
                    captured.kept.write(now, &captured.ring);
                    return Ok(());
                }
                Event::Signal(Signal::Changed) => follow = true,
                Event::Signal(Signal::Second) | Event::Timeout => {}
                Event::Ready { token: ADDRESSES, .. } => follow |= addresses.changed(),
                Event::Ready { token, .. } if Requests::owns(*token) => {
                    let mut wish = None;
                    requests.take(&captured.turn, *token, |number, line| match serde_json::from_slice(line) {
                        Err(wrong) => Reply::Now(error(&wrong.to_string()).into()),
                        Ok(Request::Record { on }) => {
                            wish = Some((number, on));
                            Reply::Later
                        }
                        Ok(asked) => Reply::Now(captured.says(asked)),
                    });
                    if let Some((number, on)) = wish {
                        let done = captured.record(on);
                        requests.say(number, &done.map_or_else(|why| error(&why), |()| captured.summary()));
                        requests.end(number);
                    }
                }
                Event::Ready { token, .. } if Shown::owns(*token) => {
                    let page = captured.page();
                    shown.ready(&captured.turn, now, *token, || page);
                }
                Event::Ready { token, .. } => news |= captured.ready(now, *token),
            }
        }
        if news {
            captured.show_all();
        }
        captured.tick(now);
        shown.tick(&captured.turn, now);
        if follow {
            captured.follow(now, &mut addresses);
        }
    }
}

fn ring_bytes(house: &House) -> Result<usize, Failure> {
    let mut flags = house.flags();
    let mut bytes = RING;
    while let Some(flag) = flags.next().map_err(Failure::during("flags"))? {
        let value = match flag {
            lexopt::Arg::Long("ring-mib") => flags.value().and_then(|value| lexopt::ValueExt::parse::<usize>(&value)),
            other => Err(other.unexpected()),
        };
        let mib = value.map_err(Failure::during("flags"))?;
        bytes = mib.clamp(1, 1 << 10) << 20;
    }
    Ok(bytes)
}

/// What the ring holds, as a file that nobody else sees.
fn file(ring: &Ring, wish: Wish) -> std::io::Result<File> {
    const PIECE: usize = 64 << 10;
    let mut file = File::from(memfd_create(c"capture", MFdFlags::MFD_CLOEXEC)?);
    let mut bytes = Vec::new();
    let mut view = View::begin(wish, ring, &mut bytes);
    loop {
        let more = view.fill(ring, &mut bytes, PIECE);
        file.write_all(&bytes)?;
        bytes.clear();
        if !more {
            file.rewind()?;
            return Ok(file);
        }
    }
}

impl Captured {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Looks at the interfaces and listens on the addresses that there are now.
    fn follow(&mut self, now: Instant, addresses: &mut Addresses) {
        let wanted = addresses.served(now, PORT);
        self.listeners.retain(|(_, address, _)| wanted.contains(address));
        for address in wanted {
            if self.listeners.iter().any(|(_, known, _)| *known == address) {
                continue;
            }
            let token = self.next();
            let opened = web::open(address).and_then(|listener| {
                self.turn.add(&listener, Token(token), Interest::READ)?;
                Ok(listener)
            });
            match opened {
                Ok(listener) => self.listeners.push((token, address, listener)),
                // The kernel tells when the address can be used.
                Err(error) => self.complaint.warn(now, || format!("cannot listen on {address}: {error}")),
            }
        }
        self.look();
    }

    /// Opens sockets where something is to be seen, and closes the others.
    fn look(&mut self) {
        let faces = self.faces();
        // A socket that sees every frame costs each of them, on the fast path too: only where somebody wants it.
        let common: &[_] = if self.records() { &faces } else { &[] };
        let last = &mut self.last;
        let mut token = || {
            *last += 1;
            *last
        };
        self.tap.follow(&self.turn, common, &mut token);
        for (tap, _) in self.clients.values_mut().filter_map(|client| client.own.as_mut()) {
            tap.follow(&self.turn, &faces, &mut token);
        }
    }

    fn records(&self) -> bool {
        !Authorized::read(&self.house).is_empty() || self.house.path(RECORD).exists()
    }

    /// Has packets kept where nobody has a key, from now on and after every boot, or no longer.
    fn record(&mut self, on: bool) -> Result<(), String> {
        let path = self.house.path(RECORD);
        let done = match on {
            true => files::replace(&path, b"").map(drop),
            false => std::fs::remove_file(&path),
        };
        match done {
            Err(error) if on || error.kind() != ErrorKind::NotFound => Err(format!("{RECORD}: {error}")),
            _ => {
                self.look();
                Ok(())
            }
        }
    }

    /// Uplinks and LANs that speak Ethernet; what is seen at a bridge is not seen again at its ports.
    fn faces(&mut self) -> Vec<(u32, String)> {
        let loaded = interfaces::load(self.house.root());
        let lans = loaded.interfaces.lans();
        let links = self.netlink.links().unwrap_or_default().into_iter();
        let ours = links.filter(|link| link.up && !link.loopback && link.mac.is_some() && link.master.is_none());
        // What shapes downloads is no cable.
        let ours = ours.filter(|link| link.kind.as_deref() != Some("ifb"));
        let ours = ours.filter(|link| link.name.starts_with("uplink") || lans.contains(&link.name.as_str()));
        ours.map(|link| (link.index, link.name)).collect()
    }

    /// A token is ready; whether the common ring has something new.
    fn ready(&mut self, now: Instant, token: Token) -> bool {
        if self.tap.owns(token) {
            self.tap.receive(token, &mut self.ring, |_| true);
            return true;
        }
        if let Some(at) = self.listeners.iter().position(|(known, ..)| *known == token.0) {
            while let Some(Ok((stream, _))) = self.listeners.get(at).map(|(_, _, listener)| listener.accept()) {
                self.welcome(now, stream);
            }
            return false;
        }
        let own = self.clients.iter_mut().find_map(|(number, client)| {
            let (tap, ring) = client.own.as_mut().filter(|(tap, _)| tap.owns(token))?;
            tap.receive(token, ring, |_| true);
            Some(*number)
        });
        self.go(own.unwrap_or(token.0));
        false
    }

    fn welcome(&mut self, now: Instant, mut stream: TcpStream) {
        let keys = Authorized::read(&self.house);
        let words = if keys.is_empty() {
            Some(NO_KEYS)
        } else if self.clients.len() >= CLIENTS && !self.make_room(now) {
            Some("too many look on already: try again")
        } else {
            None
        };
        if let Some(words) = words {
            self.counts.refused += 1;
            // A fresh socket takes so few bytes at once; what the client says is not waited for.
            let _ = stream.write_all(&session::farewell(words));
            return self.part(now, stream);
        }
        let (idle, interval, count) = KEEPALIVE;
        let kept = setsockopt(&stream, sockopt::KeepAlive, &true)
            .and_then(|()| setsockopt(&stream, sockopt::TcpKeepIdle, &idle))
            .and_then(|()| setsockopt(&stream, sockopt::TcpKeepInterval, &interval))
            .and_then(|()| setsockopt(&stream, sockopt::TcpKeepCount, &count));
        let number = self.next();
        let watched = stream.set_nonblocking(true).and_then(|()| self.turn.add(&stream, Token(number), Interest::BOTH));
        if kept.is_ok() && watched.is_ok() {
            self.clients.insert(number, Client::new(stream, keys, now + PATIENCE));
        }
    }

    /// Closes our side, and the connection a little later: who is still speaking would else not hear the last words.
    fn part(&mut self, now: Instant, stream: TcpStream) {
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = self.turn.remove(&stream);
        if self.leaving.len() >= LEAVING {
            self.leaving.pop_front();
        }
        self.leaving.push_back((now + GRACE, stream));
    }

    /// Parts from the one that has taken longest to log in.
    fn make_room(&mut self, now: Instant) -> bool {
        let slow = self.clients.iter().filter_map(|(number, client)| Some((client.deadline?, *number))).min();
        let slow = slow.filter(|(deadline, _)| *deadline <= now + (PATIENCE - GRACE));
        slow.is_some_and(|(_, number)| self.clients.remove(&number).is_some())
    }

    fn go(&mut self, number: u64) {
        let Some(mut client) = self.clients.remove(&number) else { return };
        let mut interest = client.go(&self.ring, &self.host_key);
        if let Some(wish) = client.wish().filter(|_| interest.is_some()) {
            match self.own(wish) {
                Ok(own) => {
                    self.counts.shown += 1;
                    client.show(wish, &self.ring, own);
                    interest = client.go(&self.ring, &self.host_key);
                }
                Err(()) => interest = None,
            }
        }
        match interest {
            Some(interest) if self.turn.modify(&client.stream, Token(number), interest).is_ok() => {
                self.clients.insert(number, client);
            }
            _ => self.part(Instant::now(), client.stream),
        }
    }

    /// Sockets and a ring for who wants what the common ring does not have.
    fn own(&mut self, wish: Wish) -> Result<Option<(Tap, Ring)>, ()> {
        if wish.filter == Filter::Control {
            return Ok(None);
        }
        if self.clients.values().filter(|client| client.own.is_some()).count() >= OWN {
            return Err(());
        }
        let mut tap = Tap::new(wish.filter);
        let faces = self.faces();
        let last = &mut self.last;
        tap.follow(&self.turn, &faces, || {
            *last += 1;
            *last
        });
        Ok(Some((tap, Ring::new(OWN_RING))))
    }

    /// Shows what is new in the common ring to all who want it.
    fn show_all(&mut self) {
        let shown = self.clients.iter().filter(|(_, client)| client.is_shown() && client.own.is_none());
        let shown: Vec<u64> = shown.map(|(number, _)| *number).collect();
        shown.into_iter().for_each(|number| self.go(number));
    }

    fn tick(&mut self, now: Instant) {
        if self.kept.deadline(&self.ring).is_some_and(|at| at <= now) {
            self.kept.write(now, &self.ring);
        }
        self.clients.retain(|_, client| client.deadline.is_none_or(|deadline| now < deadline));
        while self.leaving.pop_front_if(|(until, _)| *until <= now).is_some() {}
    }

    /// The answer to who wants to know what is held.
    fn says(&self, request: Request) -> Said {
        let made = match request {
            Request::Ring | Request::Record { .. } => Ok(None),
            Request::Capture { filter } if filter.trim() == format!("control {LAST_BOOT}") => {
                self.kept.before().map(Some)
            }
            Request::Capture { filter } => Wish::parse(&filter).and_then(|wish| match wish.filter {
                Filter::Control => {
                    file(&self.ring, wish).map(Some).map_err(|error| format!("a file in memory: {error}"))
                }
                _ => Err("only control packets are kept; the others come live, by ssh".into()),
            }),
        };
        match made {
            Ok(Some(file)) => Said::with("{\"ok\":true}\n".into(), file.into()),
            Ok(None) => self.summary().into(),
            Err(why) => error(&why).into(),
        }
    }

    /// How much is held, and how to see it, a line each.
    fn summary(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let now = u64::try_from(WallTime::now().nanos()).unwrap_or_default();
        for (name, packets, oldest) in self.ring.faces() {
            let age = now.saturating_sub(oldest) / 60_000_000_000;
            lines.push(format!("{name:<16}{packets:>6} control packets, the oldest of {age} min ago"));
        }
        let (held, pushed_out) = self.ring.counts();
        if !self.records() {
            lines.push(NO_RECORD.to_owned());
        } else if lines.is_empty() {
            lines.push("no control packet has come yet".to_owned());
        }
        lines.push(format!("{} KiB are held; {pushed_out} packets had to make room for later ones", held >> 10));
        lines.push("they and those to come:  weir capture ROUTER | wireshark -k -i -".to_owned());
        let curl = "curl -u gokrazy -o capture.pcapng http://ROUTER/capture.pcapng";
        lines.push(format!("as a file:               {curl}"));
        if self.kept.before().is_ok() {
            lines.push(format!("of the boot before:      {curl}?filter=control+{LAST_BOOT}"));
        }
        let each = lines.into_iter().map(|line| format!("{}\n", serde_json::json!({"line": line})));
        each.chain(["{\"end\":true}\n".to_owned()]).collect()
    }

    fn page(&mut self) -> Vec<u8> {
        self.counts.page(&self.tap.counts(), self.ring.counts(), self.clients.len())
    }
}
