//! dnsd: the resolver of the LAN.
//!
//! It answers on port 53, UDP and TCP, of every private address of every interface that is up and whose name does not
//! begin with `uplink`; lan0's address from interfaces.json is bound before it exists, so that a query is answered
//! from its first moment. Ready means that it is bound; nothing else is waited for. Only machines of the LANs are
//! answered, each up to a rate.
//!
//! What it knows itself it answers at once, whether anybody outside can be reached or not:
//! - `NAME.lan.`, `NAME.DOMAIN.` where its LAN has a domain of its own, and `NAME.` for each device, for the router and
//!   for what a person has fixed: A, AAAA, and PTR of their addresses. A name alone stands for exactly that name:
//!   `www.NAME.` and what only a zone has are asked outside;
//! - `SUB.NAME.lan.` for what a machine has asked for by `/dyndns` (`SUB.NAME.` where a person has given NAME);
//! - `localhost.` and below (RFC 6761);
//! - that there is nothing in `lan.` besides, nor in the zones that must not leave the house: special-use names and
//!   the reverse zones of private addresses (RFC 6303, 6761, 6762, 7686, 7793, 8375, 9462, 9476).
//!
//! Everything else it asks: for a domain that has servers of its own in config.json those; else the servers of
//! config.json, of interfaces.json, of the leases, or four public ones. The one that replies soonest is asked; the next
//! one too when that takes longer than usual; a dead one is only tried beside another. When the WAN changes all that is
//! in flight is asked again. A reply counts only from the address that was asked, to the port, with the id, the question
//! and the capitals of its letters (RFC 5452, 0x20). Identical questions in flight are asked once.
//!
//! An upstream may be asked over TLS (RFC 7858, strict as in RFC 8310): then its certificate must hold for the name that a
//! person has written, and it is asked in no other way, nor is anybody else in its place. One connection is kept for many
//! questions, a session is taken up again, and a query's length tells nothing (RFC 7830, 8467). As long as the clock is not
//! known to be right, a certificate is held against its times only where it had run out before this program was made:
//! whoever sets the clock is found by name. Once it is right every connection is made anew.
//!
//! Where a person wants it, what is asked outside is judged by DNSSEC (RFC 4033 to 4035), from the root's keys down: proven,
//! proven to need no proof, or refused. Domains with servers of their own are not judged, nor is what the house knows
//! itself. As long as the clock is not known to be right, no signature is held against its times.
//! A name of a block list is not answered: what listd has made of all lists is one table, which is read beside all else,
//! swapped whole, and asked for a name and each domain above it; the names that an answer's aliases lead to as well. For
//! whom and when each list holds is a person's (`blocklists.json`): by device (its hardware address among the kernel's
//! neighbours), LAN, network and hours. The router itself is answered, and so are names that have servers of their own. The
//! answer is 0.0.0.0 and ::, NXDOMAIN or REFUSED, with the extended error Blocked.
//!
//! Answers are kept in wire form with their TTLs (RFC 2181), absences by their SOA (RFC 2308), failures for a second
//! (RFC 9520); popular ones are asked for again before they run out; what has run out is given when nobody can be asked
//! (RFC 8767). An answer of the world with an address of the house is refused. A client hears SERVFAIL after four
//! seconds at most. Answers fit the client: EDNS (RFC 6891) with 1,232 bytes at most, truncation, TCP (RFC 7766),
//! extended errors (RFC 8914). A client's subnet is told to nobody.
//!
//! | Reads | When |
//! |---|---|
//! | `/perm/interfaces.json`, else its last good copy | start, `SIGUSR1` |
//! | `/perm/blocklists.json`, `/perm/time.json`, `/perm/listd/nobackup/table`: names that are not answered | start, `SIGUSR1` |
//! | `/perm/dnsd/config.json`: upstreams, domains, names, limits | start, `SIGUSR1` |
//! | `/perm/dnsd/ca.pem`, `/perm/dnsd/root.key`, `/run/ntpd/state.json`: whose certificates and keys are believed | start, `SIGUSR1` |
//! | `/perm/dhcp4/wire/lease.json`, `/perm/dhcp6/lease.json`: upstreams | start, `SIGUSR1` |
//! | `/run/deviced/devices.json`, else `/perm/dhcp4d/leases.json`: names | start, `SIGUSR1` |
//!
//! It writes `/perm/dnsd/subnames.json` and, where a person wants it, `/perm/dnsd/cache`. Port 8053 on private addresses:
//! `/metrics` for Prometheus, `/dyndns?host=SUB&ip=ADDRESS`. `/run/dnsd.sock` answers `{"op":"names"}` with the names that
//! are asked most, of those that are remembered.
//!
//! `config` reads, `engine` decides, `listen`, `streams`, `outside` and `secure` hold the sockets, `server` moves messages between
//! them, `blocked` reads the table of blocked names, `around` looks who asks, `subnames` and `keep` are the files that it writes.
mod around;
mod blocked;
mod config;
mod engine;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod keep;
mod listen;
mod metrics;
mod outside;
mod secure;
mod server;
mod streams;
mod subnames;
#[cfg(test)]
mod tests;

use crate::house::{Failure, House};
use crate::perm::json::Refusal;
use netstack::event::{Event, Signal};
use netstack::time::Instant;
use server::Server;
use std::path::Path;
use std::time::Duration;

/// How often the cache is written down, where a person wants it kept.
const KEEP: Duration = Duration::from_secs(3_600);

/// Whether `root.key` can be used.
///
/// # Errors
/// Names the file, the line and what is wrong with it.
pub fn check_root_key(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    engine::validate::anchors::parse(path, bytes).map(drop)
}

/// Runs the service.
///
/// # Errors
/// When the kernel gives no event loop or no word of the addresses.
pub fn run(mut house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::new(format!("flags: {}", flag.unexpected())));
    }
    let mut server = Server::open(&house)?;
    server.reread(Instant::now(), &house);
    let (mut events, mut ready) = (Vec::new(), false);
    let mut keep_at = None;
    loop {
        if !ready && server.lan_is_bound() {
            house.ready();
            ready = true;
            if server.keeps_cache() {
                keep::read(&house, server.engine());
            }
        }
        if ready && keep_at.is_none() && server.keeps_cache() {
            keep_at = Some(Instant::now() + KEEP);
        }
        server.wait(keep_at, &mut events).map_err(Failure::during("waiting"))?;
        let now = Instant::now();
        for event in &events {
            match event {
                Event::Ready { token, .. } => server.turn(now, *token),
                Event::Signal(Signal::Changed) => server.reread(now, &house),
                Event::Signal(Signal::Terminate) => {
                    if server.keeps_cache() {
                        keep::write(&house, server.engine());
                    }
                    return Ok(());
                }
                Event::Signal(Signal::Second) | Event::Timeout => (),
            }
        }
        server.tick(now);
        if keep_at.is_some_and(|at| at <= now) {
            keep_at = None;
            if server.keeps_cache() {
                keep::write(&house, server.engine());
            }
        }
    }
}
