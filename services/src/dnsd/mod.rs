//! dnsd: the resolver of the LAN.
//!
//! It answers on port 53, UDP and TCP, of every private address of every interface that is up and whose name does not
//! begin with `uplink`; lan0's address from interfaces.json is bound before it exists, so that a query is answered
//! from its first moment. Ready means that it is bound; nothing else is waited for.
//!
//! What it knows itself it answers at once, whether anybody outside can be reached or not:
//! - `NAME.lan.` and `NAME.` for each machine that dhcp4d has given a lease, and for the router; their PTR records. A
//!   name alone stands for exactly that name: `www.NAME.` and what only a zone has are asked outside;
//! - `localhost.` and below (RFC 6761);
//! - that there is nothing in `lan.` besides, nor in the zones that must not leave the house: special-use names and
//!   the reverse zones of private addresses (RFC 6303, 6761, 6762, 7686, 7793, 8375, 9462, 9476).
//!
//! Everything else it asks the DNS servers that interfaces.json names for the uplink, else those of its leases, else
//! four public ones. Each attempt has its own socket, source port and id; a reply counts only from the address that was
//! asked, with the same id and question (RFC 5452). Identical questions in flight are asked once. Answers are kept in
//! wire form with their TTLs (RFC 2181), absences by their SOA (RFC 2308), failures for a second (RFC 9520); what has
//! run out is given when nobody can be asked (RFC 8767). A client hears SERVFAIL after four seconds at most. Answers
//! fit the client: EDNS (RFC 6891) with 1,232 bytes at most, truncation, TCP (RFC 7766).
//!
//! | Reads | When |
//! |---|---|
//! | `/perm/interfaces.json`, else its last good copy | start, `SIGUSR1` |
//! | `/perm/dhcp4/wire/lease.json`, `/perm/dhcp6/lease.json`: upstreams | start, `SIGUSR1` |
//! | `/perm/dhcp4d/leases.json`: names | start, `SIGUSR1` |
//!
//! It writes nothing. `config` reads, `engine` decides, `listen`, `streams` and `outside` hold the sockets, `server`
//! moves messages between them.
mod config;
mod engine;
mod keep;
mod listen;
mod metrics;
mod outside;
mod server;
mod streams;
mod subnames;
#[cfg(test)]
mod tests;

use crate::house::{Failure, House};
use netstack::event::{Event, Signal};
use netstack::time::Instant;
use server::Server;
use std::time::Duration;

/// How often the cache is written down, where a person wants it kept.
const KEEP: Duration = Duration::from_secs(3_600);

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
