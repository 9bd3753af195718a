//! A request on port 80, from its head to its answer.
use super::follow::News;
use super::gather::Gathering;
use super::relay::{Next, Relay};
use super::restored::{self, Restored};
use super::route::{Log, Needs, Route};
use super::sessions::{BASIC, Kind};
use super::viewers::Want;
use super::{Webd, download, gate, look, secrets, sessions};
use crate::house::door::{Claim, refused};
use crate::house::questions::Said;
use crate::metrics::KIND;
use crate::perm::file;
use crate::web::{Answer, Reply, Request, Response};
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use serde_json::{Value, json};

/// For whom the page is.
#[derive(Debug)]
pub enum Visitor {
    /// Who has not said the password, with what was wrong with the last one.
    Stranger(Option<String>),
    /// There is none, and none may be set any more.
    Locked,
    /// Who may see and change everything.
    Owner {
        /// The word for changes.
        token: String,
        /// The router has no password yet.
        sets_up: bool,
        /// A cookie to be set.
        cookie: Option<String>,
    },
}

/// Who asks, as far as is known.
#[derive(Debug)]
enum Caller {
    Nobody(String),
    /// By a cookie, or by [`BASIC`] for who says the password each time.
    Owner(String, Kind),
    /// By the token, which no browser sends by itself.
    Program,
}

/// What becomes of another service's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It carries a file.
    Capture,
    /// It is passed on.
    Relay,
}

/// A document as an answer.
pub fn json(status: u16, value: &Value) -> Answer {
    sealed(Response { status, kind: "application/json", body: format!("{value}\n").into_bytes() })
}

/// An answer that no other page may use, and that is not kept. Without a referrer at all a browser would call our own
/// forms' origin "null".
pub fn sealed(response: Response) -> Answer {
    let answer = Answer::from(response).header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff");
    answer.header("Referrer-Policy", "same-origin").header("Cross-Origin-Resource-Policy", "same-origin")
}

fn wrong(status: u16, words: &str) -> Answer {
    json(status, &json!({"error": words}))
}

/// A session's cookie; a browser need not keep it for longer than the session lives unused.
fn cookie(secure: bool, value: &str) -> String {
    gate::kept_cookie(secure, value, 604_800)
}

impl Webd {
    /// A connection is ready.
    pub(super) fn show(&mut self, turn: &Loop, now: Instant, token: Token) {
        if self.web.is_secure(token) {
            self.identify(now);
        }
        let mut asked = None;
        self.web.ready(turn, now, token, |request| {
            asked = Some(request.clone());
            Reply::Later
        });
        let Some(request) = asked else { return };
        if let Some(answer) = self.serve(turn, now, token, &request) {
            self.web.answer(turn, now, token, answer);
        }
    }

    /// Makes sure that we are somebody where TLS is spoken.
    fn identify(&mut self, now: Instant) {
        if !self.identity.is_outdated(now) {
            return;
        }
        let names = look::certified(&self.house, &self.served);
        let wall = look::not_before_the_image();
        if let Some(pair) = self.identity.look(&self.house, now, wall, &names) {
            self.web.identify(std::sync::Arc::clone(pair.config()));
        }
    }

    /// The answer; none when it comes later.
    fn serve(&mut self, turn: &Loop, now: Instant, token: Token, request: &Request) -> Option<Answer> {
        if !gate::Names::default().are_meant_by(request) && !look::names(&self.house).are_meant_by(request) {
            let peer = request.peer;
            self.complaint.warn(now, || format!("{peer}: calls us by a name that is not ours: {:.80}", request.host));
            return Some(wrong(421, "call the router by its address or by its name at home"));
        }
        let route = match Route::of(request) {
            Ok(route) => route,
            Err((status, words)) => return Some(wrong(status, &words)),
        };
        let needs = route.needs();
        if (needs != Needs::Nothing || request.method != "GET") && !gate::is_of_our_page(request) {
            let peer = request.peer;
            self.complaint.warn(now, || format!("{peer}: another site's page asks for {:.80}", request.path));
            return Some(wrong(403, "this comes from another site's page"));
        }
        if let Route::LogIn(password) = route {
            return self.log_in(turn, now, token, request, &password);
        }
        // Who needs not be anybody is not asked, so that nothing is hashed for it.
        let caller = match (&route, needs) {
            (Route::Metrics | Route::Health | Route::Certificate | Route::Backup, _) => Caller::Nobody(String::new()),
            _ => self.caller(now, request),
        };
        match (&caller, needs) {
            (_, Needs::Nothing | Needs::Password) | (Caller::Program, _) | (Caller::Owner(..), Needs::Owner) => {}
            (Caller::Owner(cookie, _), Needs::Word) => {
                let field = request.field("token").unwrap_or_default();
                let word = request.header("x-weir-token");
                let word = if word.is_empty() { field.as_str() } else { word };
                if !self.sessions.is_token(cookie, word) {
                    return Some(wrong(403, "a change wants the token of /api/session in X-Weir-Token"));
                }
            }
            (Caller::Nobody(why), _) if gate::is_of_a_page(request) => return Some(wrong(401, why)),
            (Caller::Nobody(why), _) => return Some(refused(why)),
        }
        self.give(turn, now, token, request, route, caller)
    }

    fn give(
        &mut self,
        turn: &Loop,
        now: Instant,
        token: Token,
        request: &Request,
        route: Route,
        caller: Caller,
    ) -> Option<Answer> {
        let ask = |webd: &mut Webd, path: &str, line: &str, purpose| {
            let path = webd.house.path(path);
            match webd.asking.ask(turn, now, &path, line, token) {
                Ok(()) => {
                    webd.purposes.insert(token, purpose);
                    None
                }
                Err(error) => Some(wrong(503, &format!("{}: {error}", path.display()))),
            }
        };
        match route {
            Route::Page => {
                let visitor = self.visitor(now, request.secure, caller);
                let zipped = request.header("accept-encoding").split(',').any(|word| word.trim().starts_with("gzip"));
                self.want(turn, now, token, Want::Page(visitor, zipped));
                None
            }
            Route::Overview => match caller {
                Caller::Nobody(why) => Some(refused(&why)),
                _ => {
                    self.want(turn, now, token, Want::Overview);
                    None
                }
            },
            Route::View(view) => {
                self.want(turn, now, token, Want::View(view));
                None
            }
            Route::Health => {
                self.want(turn, now, token, Want::Health);
                None
            }
            Route::Metrics => {
                match &mut self.gathering {
                    Some(gathering) => gathering.waiting.push(token),
                    None => self.gathering = Some(Gathering::begin(&self.house, turn, now, token)),
                }
                None
            }
            Route::Certificate => {
                self.identify(now);
                Some(match self.identity.certificate() {
                    Some(pem) => {
                        sealed(Response { status: 200, kind: "application/x-pem-file", body: pem.into_bytes() })
                    }
                    None => wrong(503, "there is no certificate: the log of webd says why"),
                })
            }
            Route::Session => Some(json(200, &self.session(now, &caller))),
            Route::History => Some(json(200, &self.history.json())),
            Route::Events => {
                self.view(turn, now, token);
                None
            }
            Route::Log(log) => self.watch(turn, now, token, log),
            Route::File(name) => Some(self.file(&name)),
            Route::Capture(filter) => {
                let line = format!("{}\n", json!({"op": "capture", "filter": filter}));
                ask(self, "/run/captured.sock", &line, Purpose::Capture)
            }
            Route::Backup => self.backup(turn, now, token, request),
            Route::Diagnosis => ask(self, "/run/diagd.sock", "{\"op\":\"diag\"}\n", Purpose::Relay),
            Route::Disks => ask(self, "/run/init.sock", "{\"op\":\"disks\"}\n", Purpose::Relay),
            Route::Change(change) => {
                log::info!("{}: {:.120}", request.peer.to_canonical(), summary(&change.line));
                ask(self, change.socket, &change.line, Purpose::Relay)
            }
            Route::Update => self.update(turn, now, token, request),
            Route::Restore => self.restore(turn, now, token, request),
            Route::LogOut => {
                if let Caller::Owner(cookie, _) = caller {
                    self.sessions.end(&cookie);
                    self.secrets.keep(&self.house, now, &mut self.sessions);
                }
                Some(to_page(&gate::kept_cookie(request.secure, "", 0)))
            }
            Route::FirstPassword(password) => {
                let first = self.may_be_first(now);
                let set = if first {
                    self.set(&password)
                } else {
                    Err("there is a password already, or its hour is over".into())
                };
                Some(self.settled(now, request.secure, set))
            }
            Route::NextPassword { old, new } => {
                let set = self.password(now, request.peer.to_canonical(), &old).and_then(|()| self.set(&new));
                Some(self.settled(now, request.secure, set))
            }
            // It was met before.
            Route::LogIn(_) => None,
        }
    }

    /// Who asks.
    fn caller(&mut self, now: Instant, request: &Request) -> Caller {
        let cookie = gate::cookie(request);
        if let Some(kind) = self.sessions.of(now, cookie).filter(|_| !cookie.is_empty()) {
            return Caller::Owner(cookie.to_owned(), kind);
        }
        let Some(claim) = Claim::of(request) else { return Caller::Nobody("who are you?".into()) };
        let peer = request.peer.to_canonical();
        match (claim.password(), claim.token()) {
            (Some(password), _) => match self.password(now, peer, password) {
                Ok(()) => Caller::Owner(BASIC.to_owned(), Kind::Owner),
                Err(why) => Caller::Nobody(why),
            },
            (None, Some(token)) => match self.token(now, peer, token) {
                Ok(()) => Caller::Program,
                Err(why) => Caller::Nobody(why),
            },
            _ => Caller::Nobody("who are you?".into()),
        }
    }

    fn visitor(&mut self, now: Instant, secure: bool, caller: Caller) -> Visitor {
        match caller {
            Caller::Owner(cookie, kind) => {
                let sets_up = matches!(kind, Kind::SetUp(_));
                Visitor::Owner { token: self.sessions.token(&cookie), sets_up, cookie: None }
            }
            Caller::Program => Visitor::Owner { token: String::new(), sets_up: false, cookie: None },
            Caller::Nobody(_) if self.may_be_first(now) => match secrets::random() {
                Ok(secret) => {
                    let begun = self.sessions.begin(now, secret, Kind::SetUp(self.hour));
                    let token = self.sessions.token(&begun);
                    Visitor::Owner { token, sets_up: true, cookie: Some(cookie(secure, &begun)) }
                }
                Err(why) => Visitor::Stranger(Some(why)),
            },
            Caller::Nobody(_) if !self.secrets.has_password() => Visitor::Locked,
            Caller::Nobody(_) => Visitor::Stranger(None),
        }
    }

    fn session(&self, now: Instant, caller: &Caller) -> Value {
        let token = match caller {
            Caller::Owner(cookie, _) => Some(self.sessions.token(cookie)),
            _ => None,
        };
        let sets_up = matches!(caller, Caller::Owner(_, Kind::SetUp(_)));
        json!({
            "known": !matches!(caller, Caller::Nobody(_)),
            "token": token,
            "has_password": self.secrets.has_password(),
            "sets_up": sets_up,
            "setup_seconds_left": if self.may_be_first(now) { self.hour.since(now).as_secs() } else { 0 },
        })
    }

    fn log_in(&mut self, turn: &Loop, now: Instant, token: Token, request: &Request, password: &str) -> Option<Answer> {
        let said = self.password(now, request.peer.to_canonical(), password);
        match said.and_then(|()| secrets::random()) {
            Ok(secret) => {
                let begun = self.sessions.begin(now, secret, Kind::Owner);
                Some(to_page(&cookie(request.secure, &begun)))
            }
            Err(why) => {
                let words = if why == "it is wrong" {
                    "That is not the router’s password.".into()
                } else {
                    format!("Not yet: {why}.")
                };
                self.want(turn, now, token, Want::Page(Visitor::Stranger(Some(words)), false));
                None
            }
        }
    }

    /// A password was set, or was not: who has set it is in.
    fn settled(&mut self, now: Instant, secure: bool, set: Result<(), String>) -> Answer {
        match set.and_then(|()| secrets::random()) {
            Ok(secret) => {
                let begun = self.sessions.begin(now, secret, Kind::Owner);
                let token = self.sessions.token(&begun);
                json(200, &json!({"ok": true, "token": token})).header("Set-Cookie", &cookie(secure, &begun))
            }
            Err(why) => wrong(409, &why),
        }
    }

    fn file(&self, name: &str) -> Answer {
        let path = file::in_force(self.house.root(), &format!("/perm/{name}"));
        let on_trial = path.starts_with(self.house.path(rights::TRIED));
        match file::read(&path) {
            Ok(bytes) => {
                let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                json(200, &json!({"name": name, "text": text, "on_trial": on_trial}))
            }
            Err(error) => wrong(503, &format!("{}: {error}", path.display())),
        }
    }

    fn watch(&mut self, turn: &Loop, now: Instant, token: Token, log: Log) -> Option<Answer> {
        let kind = if log.events { "text/event-stream" } else { "text/plain; charset=utf-8" };
        match self.follow.begin(&self.house, turn, now, token, log) {
            Ok(()) => {
                self.web.live(turn, now, token, kind);
                None
            }
            Err(why) => Some(wrong(503, &why)),
        }
    }

    /// Lines of a log for who watches it.
    pub(super) fn tell(&mut self, turn: &Loop, now: Instant, (reader, said): News) {
        match said {
            Some(said) if !said.is_empty() => drop(self.web.push(turn, now, reader, &said)),
            Some(_) => {}
            None => self.web.close(reader),
        }
    }

    /// Another service has answered, or will not.
    pub(super) fn told(&mut self, turn: &Loop, now: Instant, asker: Token, said: Option<Said>) {
        if self.purposes.remove(&asker) == Some(Purpose::Capture) {
            return match download::of(said) {
                Ok(file) => self.web.stream(turn, now, asker, download::KIND, Box::new(file)),
                Err(why) => self.web.answer(turn, now, asker, Response::text(503, format!("{why}\n"))),
            };
        }
        let value = said.and_then(|(line, _)| serde_json::from_slice::<Value>(&line).ok());
        let answer = match value {
            None => wrong(503, "the service that does this does not answer: see whether it runs"),
            Some(value) if value.get("error").is_some() => json(409, &value),
            Some(value) => {
                // What was seen before it is old now.
                self.outdated(turn, now);
                json(200, &value)
            }
        };
        self.web.answer(turn, now, asker, answer);
    }

    /// An update begins to come.
    fn update(&mut self, turn: &Loop, now: Instant, token: Token, request: &Request) -> Option<Answer> {
        if self.relay.is_some() {
            return Some(wrong(503, "another update is being taken: wait for its end"));
        }
        if request.coming == 0 {
            return Some(wrong(400, "an update is a file, and this one is empty"));
        }
        log::info!("{}: sends an update of {} bytes", request.peer.to_canonical(), request.coming);
        let ticket = secrets::random::<32>().map(|bytes| sessions::hex(&bytes));
        match ticket.and_then(|ticket| Relay::begin(turn, now, token, ticket)) {
            Ok(relay) => {
                self.relay = Some(relay);
                None
            }
            Err(why) => Some(wrong(503, &why)),
        }
    }

    /// updated has said something, or can take more.
    pub(super) fn relayed(&mut self, turn: &Loop, now: Instant, writable: bool) {
        let Some(relay) = &mut self.relay else { return };
        let asker = relay.asker;
        match relay.ready(now, writable) {
            Next::Wait => {}
            Next::Resume => self.web.resume(turn, now, asker),
            Next::Take => match relay.sink() {
                Ok(sink) => self.web.receive(turn, now, asker, sink),
                Err(error) => self.broken_off(turn, now, 503, &json!({"error": error.to_string()})),
            },
            Next::Over(status, said) => self.broken_off(turn, now, status, &said),
        }
    }

    fn broken_off(&mut self, turn: &Loop, now: Instant, status: u16, said: &Value) {
        if let Some(relay) = self.relay.take() {
            log::info!("the update: {said}");
            self.web.answer(turn, now, relay.asker, json(status, said));
        }
    }

    /// Gives up what nobody sends any more or nobody takes, and waits for room where there is none.
    pub(super) fn relay_on(&mut self, turn: &Loop, now: Instant) {
        let Some(relay) = &mut self.relay else { return };
        if relay.deadline <= now {
            return self.broken_off(turn, now, 503, &json!({"error": "updated does not answer"}));
        }
        if self.web.is_open(relay.asker) {
            relay.settle(turn);
        } else {
            log::warn!("the update: who sent it has gone");
            self.relay = None;
        }
    }

    /// A backup is wanted.
    fn backup(&mut self, turn: &Loop, now: Instant, token: Token, request: &Request) -> Option<Answer> {
        let claim = Claim::of(request);
        let peer = request.peer.to_canonical();
        match claim.as_ref().map(|claim| claim.password().map(|password| self.password(now, peer, password))) {
            None => return Some(refused("who are you?")),
            Some(Some(Err(why))) => return Some(refused(&why)),
            // A token is backupd's to look at.
            Some(Some(Ok(())) | None) => {}
        }
        match self.passages.begin(turn, token, &request.authorization) {
            Ok(source) => self.web.pass(turn, now, token, source),
            Err(why) => return Some(Response::text(503, format!("{why}\n")).into()),
        }
        None
    }

    /// A backup begins to come: from who says the password once more.
    fn restore(&mut self, turn: &Loop, now: Instant, token: Token, request: &Request) -> Option<Answer> {
        if self.restored.is_some() {
            return Some(wrong(503, "another backup is being taken: wait for its end"));
        }
        if request.coming == 0 || request.coming > restored::LARGEST {
            return Some(wrong(413, &format!("a backup has 1 to {} bytes here", restored::LARGEST)));
        }
        let said = Claim::of(request);
        let Some(password) = said.as_ref().and_then(Claim::password) else {
            return Some(wrong(403, "a backup is taken from who says the password with it"));
        };
        if let Err(why) = self.password(now, request.peer.to_canonical(), password) {
            return Some(wrong(403, &format!("the password: {why}")));
        }
        log::info!("{}: sends a backup of {} bytes", request.peer.to_canonical(), request.coming);
        let (restored, sink) = Restored::begin(token);
        self.restored = Some(restored);
        self.web.receive(turn, now, token, sink);
        None
    }

    /// Goes on with a backup that is all there, and gives up one that nobody sends any more.
    pub(super) fn restore_on(&mut self, turn: &Loop, now: Instant) {
        let web = &self.web;
        let over = |restored: &mut Restored| restored.is_whole() || !web.is_open(restored.asker);
        let Some(restored) = self.restored.take_if(over) else { return };
        let asker = restored.asker;
        if !self.web.is_open(asker) {
            return;
        }
        let asked = restored.question().map_err(|why| (409, why)).and_then(|line| {
            let path = self.house.path("/run/configd.sock");
            let asked = self.asking.ask(turn, now, &path, &line, asker);
            asked.map_err(|error| (503, format!("{}: {error}", path.display())))
        });
        match asked {
            Ok(()) => drop(self.purposes.insert(asker, Purpose::Relay)),
            Err((status, why)) => self.web.answer(turn, now, asker, wrong(status, &why)),
        }
    }

    /// Answers who waits for the metrics, when they are whole or time is up.
    pub(super) fn gathered(&mut self, turn: &Loop, now: Instant) {
        let over = |gathering: &mut Gathering| gathering.is_whole() || gathering.deadline <= now;
        let Some(gathering) = self.gathering.take_if(over) else { return };
        let page = gathering.page(self.counts.page());
        for token in &gathering.waiting {
            self.web.answer(turn, now, *token, Response { status: 200, kind: KIND, body: page.clone() });
        }
    }
}

fn to_page(cookie: &str) -> Answer {
    sealed(Response::text(303, "")).header("Location", "/").header("Set-Cookie", cookie)
}

/// A change for the log: what is done to which files, without what is in them.
fn summary(line: &str) -> String {
    let mut value: Value = serde_json::from_str(line).unwrap_or_default();
    if let Some(files) = value.get_mut("files").and_then(Value::as_object_mut) {
        let names: Vec<Value> = files.keys().map(|name| name.as_str().into()).collect();
        value["files"] = names.into();
    }
    value.to_string()
}
