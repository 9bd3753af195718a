//! webd: the one place that knows the appliance password, and the one page with everybody's metrics.
//!
//! The password is kept as one argon2id hash (RFC 9106) in `/perm/webd/password`, and asked for on `/run/webd.sock`: a line
//! of JSON each, `{"op":"check","password":"TEXT","peer":"192.168.42.7"}`, or `"token":"TEXT"` in the password's place,
//! answered `{"ok":true}` or `{"error":"WORDS"}`. `{"op":"set","password":"TEXT"}` and `{"op":"token"}` (another token, told
//! once) are for the console alone. One check is made at a time; its 7 MiB are given back. A right password is remembered
//! for ten minutes, as a sum under a key that is made at the start. After a wrong one its peer waits, twice as long each
//! time, a minute at most; all peers together have a wrong one a second. A gokrazy password (`/perm/gokr-pw.txt`) is
//! taken over where there is none.
//!
//! Port: 80 on private addresses, never on the uplink: `/metrics` for Prometheus, the metrics of all services (each is asked
//! on its own port; the table of rights says which) and what each process uses, of which PID 1 tells the numbers and
//! `/proc` the rest. Who is silent for 3 s is left out, and said to be.
//!
//! `/capture.pcapng` is what captured's ring holds, with the password only (user `gokrazy`); `?filter=control+ADDRESS` of one
//! address.
//!
//! Writes `/perm/webd/password`, `/perm/webd/token`.
mod download;
mod engine;
mod gather;
mod metrics;
mod secrets;
#[cfg(test)]
mod tests;

use crate::house::door::{Claim, refused};
use crate::house::private::Addresses;
use crate::house::questions::{Questions, Said};
use crate::house::requests::{Requests, error};
use crate::house::{Failure, House};
use crate::metrics::KIND;
use crate::web::{self, Reply, Response};
use engine::{Engine, Verdict};
use gather::Gathering;
use metrics::Counts;
use netstack::event::{Event, Loop, Signal, Token};
use netstack::time::Instant;
use secrets::Secrets;
use serde::Deserialize;
use std::net::IpAddr;

const PORT: u16 = 80;
const ADDRESSES: Token = Token(0);

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    /// Is this right?
    Check {
        #[serde(default)]
        password: Option<String>,
        #[serde(default)]
        token: Option<String>,
        peer: IpAddr,
    },
    /// This is the password from now on.
    Set { password: String },
    /// Another token.
    Token,
    /// Somebody who stands before the box wants to begin anew.
    Visit,
}

struct Webd {
    house: House,
    engine: Engine,
    secrets: Secrets,
    counts: Counts,
    web: web::Server,
    gathering: Option<Gathering>,
    asking: Questions,
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
    let key = secrets::random().map_err(Failure::new)?;
    let (secrets, engine) = (Secrets::open(&house), Engine::new(key));
    let (counts, web) = (Counts::default(), web::Server::default());
    let asking = Questions::default();
    let mut webd = Webd { house, engine, secrets, counts, web, gathering: None, asking };
    let now = Instant::now();
    webd.web.follow(&turn, now, &addresses.served(now, PORT));
    webd.house.ready();
    // Only now: the boot does not wait for a hash.
    webd.secrets.take_over(&webd.house);
    let mut events = Vec::new();
    loop {
        let gathering = webd.gathering.as_ref().map(|gathering| gathering.deadline);
        let deadlines = [webd.web.deadline(), gathering, webd.asking.deadline()];
        turn.wait(deadlines.into_iter().flatten().min(), &mut events)?;
        let now = Instant::now();
        let mut follow = false;
        for event in &events {
            match event {
                Event::Signal(Signal::Terminate) => return Ok(()),
                Event::Signal(_) | Event::Timeout => {}
                Event::Ready { token: ADDRESSES, .. } => follow |= addresses.changed(),
                Event::Ready { token, .. } if Questions::owns(*token) => {
                    if let Some((asker, said)) = webd.asking.ready(*token) {
                        webd.download(&turn, now, asker, said);
                    }
                }
                Event::Ready { token, .. } if Requests::owns(*token) => {
                    let asker = requests.asker(*token);
                    requests.ready(&turn, *token, |line| webd.asked(now, asker, line));
                }
                Event::Ready { token, .. } if web::Server::owns(*token) => webd.show(&turn, now, *token),
                Event::Ready { token, .. } if Gathering::owns(*token) => {
                    webd.gathering.iter_mut().for_each(|gathering| gathering.ready(*token));
                }
                Event::Ready { .. } => {}
            }
        }
        webd.gathered(&turn, now);
        for asker in webd.asking.tick(now) {
            webd.download(&turn, now, asker, None);
        }
        webd.web.tick(now);
        if follow || webd.web.wants_follow(now) {
            webd.web.follow(&turn, now, &addresses.served(now, PORT));
        }
    }
}

impl Webd {
    /// A line on the socket.
    fn asked(&mut self, now: Instant, asker: u32, line: &[u8]) -> String {
        let request = match serde_json::from_slice(line) {
            Ok(request) => request,
            // Its words could repeat a password.
            Err(_) => return error("the request is not understood"),
        };
        let done = match request {
            Request::Check { password: Some(password), token: None, peer } => self.password(now, peer, &password),
            Request::Check { password: None, token: Some(token), peer } => self.token(now, peer, &token),
            Request::Check { .. } => Err("either a password or a token".to_owned()),
            Request::Visit if may_visit(asker) => self.secrets.forget(&self.house).map(|()| {
                self.engine.forget();
                log::warn!("the button was held: there is no password any more");
            }),
            Request::Visit => Err("only the button may".into()),
            _ if !may_set(asker) => Err("only the console may".into()),
            Request::Set { password } => crate::password::fit(&password).and_then(|()| {
                self.secrets.set(&self.house, &password)?;
                self.engine.forget();
                log::info!("there is another password");
                Ok(())
            }),
            Request::Token => match self.secrets.make_token(&self.house) {
                Ok(token) => {
                    log::info!("there is another token");
                    return format!("{}\n", serde_json::json!({"ok": true, "said": token}));
                }
                Err(why) => Err(why),
            },
        };
        done.map_or_else(|why| error(&why), |()| "{\"ok\":true}\n".to_owned())
    }

    fn password(&mut self, now: Instant, peer: IpAddr, password: &str) -> Result<(), String> {
        if !self.secrets.has_password() {
            return Err("no password is set: set one at the console, by `password`".into());
        }
        let known = self.engine.asked(now, peer, password);
        let verdict = known.unwrap_or_else(|| {
            self.counts.hashed += 1;
            let right = self.secrets.is_password(password) == Some(true);
            self.engine.judged(now, peer, password, right)
        });
        self.said(peer, verdict)
    }

    fn token(&mut self, now: Instant, peer: IpAddr, token: &str) -> Result<(), String> {
        // A right token is looked at whatever its peer has done: nobody guesses one.
        if self.secrets.is_token(token) {
            self.counts.right += 1;
            return Ok(());
        }
        let verdict = self.engine.judged(now, peer, token, false);
        self.said(peer, verdict)
    }

    fn said(&mut self, peer: IpAddr, verdict: Verdict) -> Result<(), String> {
        match verdict {
            Verdict::Right => self.counts.right += 1,
            Verdict::Wrong => {
                self.counts.wrong += 1;
                log::warn!("{peer}: a wrong password or token");
                return Err("it is wrong".into());
            }
            Verdict::Wait(seconds) => {
                self.counts.slowed += 1;
                return Err(format!("too many wrong ones: wait {seconds} s"));
            }
        }
        Ok(())
    }

    fn show(&mut self, turn: &Loop, now: Instant, token: Token) {
        let mut wants = None;
        let Webd { web, gathering, house, .. } = self;
        web.ready(turn, now, token, |request| match request.path.as_str() {
            // A page of somebody's cannot have a browser send what it knows.
            "/capture.pcapng" if !request.is_for_us() => {
                Response::text(403, "call it by its address or its name at home\n").into()
            }
            "/capture.pcapng" => {
                wants = Some((request.peer, Claim::of(request), request.value("filter").unwrap_or_default()));
                Reply::Later
            }
            "/metrics" => {
                match gathering {
                    Some(gathering) => gathering.waiting.push(token),
                    None => *gathering = Some(Gathering::begin(house, turn, now, token)),
                }
                Reply::Later
            }
            _ => Response::text(404, "there are /metrics and /capture.pcapng\n").into(),
        });
        let Some((peer, claim, filter)) = wants else { return };
        let claim = claim.as_ref().and_then(Claim::password).ok_or_else(|| "who are you?".to_owned());
        let let_in = claim.and_then(|password| self.password(now, peer.to_canonical(), password));
        if let Err(why) = let_in {
            return self.web.answer(turn, now, token, refused(&why));
        }
        let line = format!("{}\n", serde_json::json!({"op": "capture", "filter": filter}));
        if self.asking.ask(turn, now, &self.house.path("/run/captured.sock"), &line, token).is_err() {
            self.download(turn, now, token, None);
        }
    }

    /// captured has answered, or will not.
    fn download(&mut self, turn: &Loop, now: Instant, asker: Token, said: Option<Said>) {
        match download::of(said) {
            Ok(file) => self.web.stream(turn, now, asker, download::KIND, Box::new(file)),
            Err(why) => self.web.answer(turn, now, asker, Response::text(503, format!("{why}\n"))),
        }
    }

    /// Answers who waits for the metrics, when they are whole or time is up.
    fn gathered(&mut self, turn: &Loop, now: Instant) {
        let over = |gathering: &mut Gathering| gathering.is_whole() || gathering.deadline <= now;
        let Some(gathering) = self.gathering.take_if(over) else { return };
        let page = gathering.page(self.counts.page());
        for token in &gathering.waiting {
            self.web.answer(turn, now, *token, Response { status: 200, kind: KIND, body: page.clone() });
        }
    }
}

/// The console, root, and who runs us.
fn may_visit(asker: u32) -> bool {
    let panel = rights::service("panel").map(|panel| panel.uid);
    Some(asker) == panel || may_set(asker)
}

fn may_set(asker: u32) -> bool {
    let console = rights::service("console").map(|console| console.uid);
    asker == 0 || Some(asker) == console || asker == nix::unistd::getuid().as_raw()
}
