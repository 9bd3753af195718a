//! backupd: `/perm` as one file, for who has the appliance password.
//!
//! `http://ROUTER:8077/backup.tar.gz` as router7 has it (POSIX tar in gzip, RFC 1952): files and folders in the order of
//! their names, relative to `/perm`, with mode, owner and time; what is called `nobackup` or `srv` is left out. It is made while it is taken: nothing is held whole, and
//! who takes it slowly holds one connection. Only with user `gokrazy` and the password (RFC 7617), or with the token
//! (RFC 6750), both of which webd is asked about; while webd is silent nobody gets anything.
//!
//! It reads all of `/perm` (CAP_DAC_READ_SEARCH), parses nothing of it, and follows no link. Port: 8077 on private
//! addresses, never on the uplink; there `/metrics` as well. Writes nothing.
mod archive;
#[cfg(test)]
mod tests;

use crate::house::door::{Claim, Door, refused};
use crate::house::private::Addresses;
use crate::house::{Failure, House};
use crate::metrics::{Exposition, KIND};
use crate::web::{self, Answer, Reply, Response};
use archive::Archive;
use netstack::event::{Event, Loop, Signal, Token};
use netstack::time::Instant;

const PORT: u16 = 8077;
const ADDRESSES: Token = Token(0);
/// Backups that are taken at a time; each costs what gzip needs, a third of a megabyte.
const MOST: usize = 4;
const GZIP: &str = "application/gzip";

struct Backupd {
    house: House,
    web: web::Server,
    door: Door,
    counts: Counts,
}

/// Backups that were asked for, by what came of it.
#[derive(Debug, Default)]
struct Counts {
    begun: u64,
    refused: u64,
}

/// Runs the service.
///
/// # Errors
/// When the kernel gives no descriptor.
pub fn run(house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::new(format!("flags: {}", flag.unexpected())));
    }
    let mut turn = Loop::new()?;
    let mut addresses = Addresses::open(&turn, ADDRESSES)?;
    let mut backupd = Backupd { house, web: web::Server::default(), door: Door::default(), counts: Counts::default() };
    let now = Instant::now();
    backupd.web.follow(&turn, now, &addresses.served(now, PORT));
    backupd.house.ready();
    let mut events = Vec::new();
    loop {
        turn.wait(backupd.web.deadline().into_iter().chain(backupd.door.deadline()).min(), &mut events)?;
        let now = Instant::now();
        let mut follow = false;
        for event in &events {
            match event {
                Event::Signal(Signal::Terminate) => return Ok(()),
                Event::Signal(_) | Event::Timeout => {}
                Event::Ready { token: ADDRESSES, .. } => follow |= addresses.changed(),
                Event::Ready { token, .. } if Door::owns(*token) => {
                    if let Some((asker, said)) = backupd.door.ready(*token) {
                        backupd.judged(&turn, now, asker, said);
                    }
                }
                Event::Ready { token, .. } if web::Server::owns(*token) => backupd.asked(&turn, now, *token),
                Event::Ready { .. } => {}
            }
        }
        for (asker, refusal) in backupd.door.tick(now) {
            backupd.web.answer(&turn, now, asker, refusal);
        }
        backupd.web.tick(now);
        if follow || backupd.web.wants_follow(now) {
            backupd.web.follow(&turn, now, &addresses.served(now, PORT));
        }
    }
}

impl Counts {
    fn page(&self) -> Vec<u8> {
        let mut page = Exposition::default();
        let name = "weir_backups_total";
        page.metric(name, "counter", "Backups that were asked for with a password or a token, by what came of it.");
        page.value(name, &[("result", "begun")], self.begun).value(name, &[("result", "refused")], self.refused);
        page.into_bytes()
    }
}

impl Backupd {
    fn asked(&mut self, turn: &Loop, now: Instant, token: Token) {
        let Backupd { house, web, door, counts } = self;
        let busy = web.streams() >= MOST;
        web.ready(turn, now, token, |request| match (request.path.as_str(), Claim::of(request)) {
            // A page of somebody's cannot have a browser send what it knows.
            _ if !request.is_for_us() => Response::text(403, "call it by its address or its name at home\n").into(),
            ("/metrics", _) => Response { status: 200, kind: KIND, body: counts.page() }.into(),
            ("/backup.tar.gz", _) if busy => Response::text(503, "too many backups at once: try again\n").into(),
            ("/backup.tar.gz", None) => refused("who are you?").into(),
            ("/backup.tar.gz", Some(claim)) => match door.knock(house, turn, now, (token, request.peer), claim) {
                Ok(()) => Reply::Later,
                Err(refusal) => refusal.into(),
            },
            _ => Response::text(404, "there are /backup.tar.gz and /metrics\n").into(),
        });
    }

    fn judged(&mut self, turn: &Loop, now: Instant, asker: Token, said: Result<(), Answer>) {
        let made = said.and_then(|()| {
            Archive::of(&self.house.path("/perm")).map_err(|error| {
                log::error!("/perm: {error}");
                Answer::from(Response::text(500, format!("/perm: {error}\n")))
            })
        });
        *(if made.is_ok() { &mut self.counts.begun } else { &mut self.counts.refused }) += 1;
        match made {
            Ok(archive) => self.web.stream(turn, now, asker, GZIP, Box::new(archive)),
            Err(refusal) => self.web.answer(turn, now, asker, refusal),
        }
    }
}
