//! webd: the one place that knows the appliance password, the router's page, and the one page with everybody's metrics.
//!
//! The password is kept as one argon2id hash (RFC 9106) in `/perm/webd/password`, and asked for on `/run/webd.sock`: a line
//! of JSON each, `{"op":"check","password":"TEXT","peer":"192.168.42.7"}`, or `"token":"TEXT"` in the password's place,
//! answered `{"ok":true}` or `{"error":"WORDS"}`. `{"op":"set","password":"TEXT"}` and `{"op":"token"}` (another token, told
//! once) are for the console alone. One check is made at a time; its 7 MiB are given back. A right password is remembered
//! for ten minutes, as a sum under a key that is made at the start. After a wrong one its peer waits, twice as long each
//! time, a minute at most; all peers together have a wrong one a second. A gokrazy password (`/perm/gokr-pw.txt`) is
//! taken over where there is none. Where there is neither, the page takes the first password, in the first hour of a boot.
//!
//! Ports: 80 on private addresses, never on the uplink, and 443 beside it with TLS: by the certificate in `/perm/tls/`, else by
//! one of its own (`/perm/webd/tls.pem`), which is made when it is first wanted; nobody is sent from the one port to the
//! other, since a certificate that no authority vouches for must not lock anybody out. `/` is the page (one answer, gzip, no foreign request); `/api/` is
//! everything that it shows, as JSON (docs/API.md); `/metrics` for Prometheus: the metrics of all services (each is asked
//! on its own port; the table of rights says which) and what each process uses, of which PID 1 tells the numbers and
//! `/proc` the rest. Who is silent for 3 s is left out, and said to be. `/capture.pcapng` is what captured's ring holds,
//! `?filter=control+ADDRESS` of one address; `/backup.tar.gz` is backupd's, for who says the password for it. gokrazy's overview (`/` for who accepts JSON) and `/log` are there.
//!
//! Whether the internet works and the metrics are for everybody at home. All else is for who has a session's cookie or says
//! the password (user `gokrazy`, RFC 7617) or the token (RFC 6750). A change wants the word of our own page besides
//! (`X-Weir-Token`), and no request may come from another site's page, or call us by a name that is not ours. What a person
//! writes goes to configd, on trial: it comes back by itself unless the browser that changed it says that it can still
//! reach us.
//!
//! `POST /api/update` takes a signed update and hands it to updated as it comes; of a backup that is
//! sent to `/api/restore`, what a person writes goes on trial.
//!
//! Reads `/perm/tls/cert.pem`, `/perm/tls/key.pem`. Writes `/perm/webd/password`, `/perm/webd/token`,
//! `/perm/webd/tls.pem`, `/perm/webd/nobackup/sessions`, `/run/webd/since`.
mod download;
mod engine;
mod follow;
mod gate;
mod gather;
mod history;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod html;
mod identity;
mod look;
mod metrics;
mod packed;
mod passage;
mod passwords;
mod relay;
mod restored;
mod route;
mod sampler;
mod secrets;
mod serve;
mod sessions;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;
mod viewers;

use crate::house::private::Addresses;
use crate::house::questions::Questions;
use crate::house::rarely::Rarely;
use crate::house::requests::Requests;
use crate::house::{Failure, House};
use crate::web;
use engine::Engine;
use follow::Follow;
use gather::Gathering;
use history::History;
use identity::Identity;
use metrics::Counts;
use netstack::event::{Event, Loop, Signal, Token};
use netstack::netlink::Netlink;
use netstack::time::Instant;
use passage::Passages;
use relay::Relay;
use restored::Restored;
use sampler::Sampler;
use secrets::Secrets;
use serve::Purpose;
use sessions::Sessions;
use snapshot::Looking;
use std::collections::HashMap;
use std::net::SocketAddr;
use viewers::Viewers;

const PORT: u16 = 80;
const ADDRESSES: Token = Token(0);

struct Webd {
    house: House,
    engine: Engine,
    secrets: Secrets,
    sessions: Sessions,
    /// Until when the first password may be set by the page.
    hour: Instant,
    counts: Counts,
    web: web::Server,
    /// Where it listens.
    served: Vec<SocketAddr>,
    identity: Identity,
    gathering: Option<Gathering>,
    looking: Option<Looking>,
    viewers: Viewers,
    asking: Questions,
    relay: Option<Relay>,
    passages: Passages,
    restored: Option<Restored>,
    purposes: HashMap<Token, Purpose>,
    follow: Follow,
    sampler: Sampler,
    history: History,
    parts: Option<html::Parts>,
    complaint: Rarely,
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
    let mut requests = Requests::open(&house, &turn, "webd")?;
    let [engine, sessions] = [secrets::random(), secrets::random()];
    let (engine, sessions) = (engine.map_err(Failure::new)?, sessions.map_err(Failure::new)?);
    let netlink = Netlink::route().map_err(Failure::during("rtnetlink"))?;
    let now = Instant::now();
    let secrets = Secrets::open(&house);
    let mut webd = Webd {
        engine: Engine::new(engine),
        sessions: secrets.sessions(&house, now, sessions),
        secrets,
        hour: passwords::hour(&house, now),
        counts: Counts::default(),
        web: web::Server::of_pages(route::SENT),
        served: Vec::new(),
        identity: Identity::default(),
        gathering: None,
        looking: None,
        viewers: Viewers::default(),
        asking: Questions::default(),
        relay: None,
        passages: Passages::default(),
        restored: None,
        purposes: HashMap::new(),
        follow: Follow::default(),
        sampler: Sampler::new(netlink, now),
        history: History::default(),
        parts: None,
        complaint: Rarely::default(),
        house,
    };
    webd.follow(&turn, now, &mut addresses);
    webd.house.ready();
    // Only now: the boot does not wait for a hash.
    webd.secrets.take_over(&webd.house);
    let mut events = Vec::new();
    loop {
        turn.wait(Some(webd.deadline()), &mut events)?;
        let now = Instant::now();
        let mut follow = false;
        for event in &events {
            match event {
                Event::Signal(Signal::Terminate) => return Ok(()),
                Event::Signal(_) => webd.identity.outdated(),
                Event::Timeout => {}
                Event::Ready { token: ADDRESSES, .. } => follow |= addresses.changed(),
                Event::Ready { token: relay::TOKEN, writable, .. } => webd.relayed(&turn, now, *writable),
                Event::Ready { token: sampler::TOKEN, .. } => webd.sampler.ready(now),
                Event::Ready { token, .. } if Passages::owns(*token) => {
                    if let Some(asker) = webd.passages.ready(*token) {
                        webd.web.resume(&turn, now, asker);
                    }
                }
                Event::Ready { token, .. } if Questions::owns(*token) => {
                    if let Some((asker, said)) = webd.asking.ready(*token) {
                        webd.told(&turn, now, asker, said);
                    }
                }
                Event::Ready { token, .. } if Requests::owns(*token) => {
                    let asker = requests.asker(*token);
                    requests.ready(&turn, *token, |line| webd.asked(now, asker, line));
                }
                Event::Ready { token, .. } if web::Server::owns(*token) => webd.show(&turn, now, *token),
                Event::Ready { token, .. } => webd.heard(&turn, now, *token),
            }
        }
        webd.step(&turn, now);
        if follow || webd.web.wants_follow(now) {
            webd.follow(&turn, now, &mut addresses);
        }
    }
}

impl Webd {
    /// Listens on the addresses of now.
    fn follow(&mut self, turn: &Loop, now: Instant, addresses: &mut Addresses) {
        self.served = addresses.served(now, PORT);
        self.served.extend_from_within(..);
        let half = self.served.len() / 2;
        self.served.iter_mut().skip(half).for_each(|address| address.set_port(web::HTTPS));
        self.identity.outdated();
        self.web.follow(turn, now, &self.served);
    }

    fn deadline(&self) -> Instant {
        let gathering = self.gathering.as_ref().map(|gathering| gathering.deadline);
        let looking = self.looking.as_ref().map(|looking| looking.deadline);
        let relay = self.relay.as_ref().map(|relay| relay.deadline);
        let deadlines =
            [self.web.deadline(), gathering, looking, self.asking.deadline(), self.follow.deadline(), relay];
        deadlines.into_iter().flatten().fold(self.sampler.deadline(), Instant::min)
    }

    /// Somebody whom we have asked has said something.
    fn heard(&mut self, turn: &Loop, now: Instant, token: Token) {
        if Gathering::owns(token) {
            self.gathering.iter_mut().for_each(|gathering| gathering.ready(token));
        } else if Looking::owns(token) {
            self.looking.iter_mut().for_each(|looking| looking.ready(token));
        } else if Follow::owns(token)
            && let Some(news) = self.follow.ready(now, token)
        {
            self.tell(turn, now, news);
        }
    }

    /// What is due by now.
    fn step(&mut self, turn: &Loop, now: Instant) {
        self.gathered(turn, now);
        self.looked(turn, now);
        for asker in self.asking.tick(now) {
            self.told(turn, now, asker, None);
        }
        for news in self.follow.tick(now) {
            self.tell(turn, now, news);
        }
        self.web.tick(now);
        self.relay_on(turn, now);
        self.restore_on(turn, now);
        self.secrets.keep(&self.house, now, &mut self.sessions);
        let Webd { follow, web, purposes, passages, .. } = self;
        passages.settle(turn, |asker| web.is_open(asker));
        follow.keep(|reader| web.is_open(reader));
        purposes.retain(|asker, _| web.is_open(*asker));
        if let Some(look) = self.sampler.look(turn, now, &mut self.history) {
            self.sampled(turn, now, look);
        }
    }
}
