//! Moves messages between the sockets and the engine; nothing to decide.
use super::around::Around;
use super::blocked::Loader;
use super::config::Config;
use super::engine::popular::popular;
use super::engine::{Action, Attempt, Client, Engine, Transport, name};
use super::listen::{self, Listeners};
use super::outside::{Came, Opened, Outside};
use super::secure::Secure;
use super::streams::{Handled, Streams};
use super::{metrics, subnames};
use crate::blocklist::Table;
use crate::house::asking;
use crate::house::names::Names;
use crate::house::rarely::Rarely;
use crate::house::requests::{self, Requests};
use crate::house::tls::Authorities;
use crate::house::{Failure, House, private};
use crate::metrics::KIND;
use crate::perm::upstream;
use crate::perm::{WallTime, file, resolver, schedule};
use crate::web::{self, Request, Response};
use netstack::batch::{Inbox, Outbox};
use netstack::event::{Event, Interest, Loop, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the cache may take, in bytes.
const CACHE: usize = 3 << 20;
/// Calls for datagrams, and connections taken, before the others have their turn.
const AT_ONCE: usize = 4;
const CONNECTIONS_AT_ONCE: usize = 32;
/// When a call brings fewer datagrams, more are hardly waiting yet.
const BUSY: usize = 4;
/// The largest query by UDP, and the largest reply: what crosses a link whole.
const LARGEST_DATAGRAM: usize = 1_472;
/// Read from a connection at once.
const CHUNK: usize = 16 << 10;
/// Without descriptors no connection is taken for so long.
const PAUSE: Duration = Duration::from_millis(200);

// A token is a kind in its highest byte and a number below. The web server's and the requests' have the kind 0.
const MONITOR: u64 = 0;
const UDP: u64 = 1;
const TCP: u64 = 2;
const STREAM: u64 = 3;
const PORT: u64 = 4;
const CONNECTION: u64 = 5;
const SECURE: u64 = 6;
const TABLE: u64 = 7;
const KIND_SHIFT: u32 = 56;
/// Names that are shown.
const MOST_NAMES: usize = 20;

fn token(kind: u64, number: u64) -> Token {
    Token(kind << KIND_SHIFT | number)
}

/// All of dnsd's sockets and its engine.
pub struct Server {
    turn: Loop,
    monitor: Monitor,
    netlink: Netlink,
    config: Config,
    engine: Engine,
    listeners: Listeners,
    streams: Streams,
    outside: Outside,
    secure: Secure,
    /// Whose certificates are believed: a person's own besides the internet's, and whether the clock is right.
    trusted: Option<(Vec<u8>, bool)>,
    /// Upstreams that are written by name.
    names: Names,
    web: web::Server,
    requests: Requests,
    /// How the world is reached; none before the first look.
    way: Option<listen::Way>,
    /// Blocked names.
    loader: Loader,
    /// When hours of lists may begin or end.
    minute: Option<Instant>,
    /// Who asks.
    around: Around,
    subnames: PathBuf,
    // Used again and again: what comes in, what goes out, and what the engine wants done.
    inbox: Inbox,
    outbox: Outbox,
    buffer: Vec<u8>,
    actions: Vec<Action>,
    paused: Option<Instant>,
    complaint: Rarely,
    rebound: Rarely,
    untrusted: Rarely,
    bogus: Rarely,
}

impl Server {
    /// Opens the loop and the watch on addresses.
    pub fn open(house: &House) -> Result<Server, Failure> {
        let turn = Loop::new().map_err(Failure::during("event loop"))?;
        let monitor = Monitor::open().map_err(Failure::during("news of addresses"))?;
        turn.add(&monitor, token(MONITOR, 0), Interest::READ)?;
        let requests = Requests::open(house, &turn, "dnsd")?;
        // A keyed hash of a counter: nobody who does not know the key foresees the next.
        let (key, mut counter) = (RandomState::new(), 0u64);
        let random = move || {
            counter += 1;
            key.hash_one(counter)
        };
        Ok(Server {
            turn,
            monitor,
            netlink: Netlink::route().map_err(Failure::during("addresses"))?,
            config: Config::default(),
            engine: Engine::new(CACHE, Box::new(random)),
            listeners: Listeners::default(),
            streams: Streams::default(),
            outside: Outside::default(),
            secure: Secure::default(),
            trusted: None,
            names: Names::default(),
            web: web::Server::taking_any_method(),
            requests,
            way: None,
            loader: Loader::new(house.path(rights::BLOCK_TABLE)),
            minute: None,
            around: Around::open()?,
            subnames: house.path(subnames::FILE),
            inbox: Inbox::new(LARGEST_DATAGRAM),
            outbox: Outbox::default(),
            buffer: vec![0; CHUNK],
            actions: Vec::new(),
            paused: None,
            complaint: Rarely::default(),
            rebound: Rarely::default(),
            untrusted: Rarely::default(),
            bogus: Rarely::default(),
        })
    }

    /// Whether lan0's address, when it has one, is served.
    pub fn lan_is_bound(&self) -> bool {
        self.config.lan.is_none_or(|lan| self.listeners.addresses().contains(&IpAddr::V4(lan)))
    }

    /// Reads the files again, and follows what they say.
    pub fn reread(&mut self, now: Instant, house: &House) {
        self.config.read(house);
        self.trust();
        let names: Vec<String> = self.config.names().map(str::to_owned).collect();
        self.names.follow(now, &names);
        self.follow(now);
        self.look_up(now);
        self.load();
    }

    // Has the table of blocked names read, where there is another one; the one before holds until it is there.
    fn load(&mut self) {
        if self.config.blocklists.is_empty() {
            self.loader.forget();
            if self.engine.blocker().table().is_some() {
                self.engine.set_table(None);
            }
            return;
        }
        match self.loader.look(&self.turn, token(TABLE, 0)) {
            Ok(true) if self.engine.blocker().table().is_some() => self.engine.set_table(None),
            Ok(_) => {}
            Err(error) => log::warn!("{}: cannot be read now: {error}", rights::BLOCK_TABLE),
        }
    }

    fn loaded(&mut self) {
        match self.loader.ready() {
            None => return,
            Some(Ok(table)) if !self.config.blocklists.is_empty() => {
                let names = table.as_ref().map_or(0, Table::len);
                log::info!("{names} names in the block lists");
                self.engine.set_table(table);
            }
            Some(Ok(_)) => {}
            Some(Err(words)) => log::warn!("{words}; the table before stays in force"),
        }
        if self.loader.is_behind() {
            self.load();
        }
    }

    // Who wants TLS wants to know whom to believe; others have no use for a list of authorities.
    fn trust(&mut self) {
        let wanted = (self.config.authorities.clone(), self.config.clock_is_right);
        if !self.config.resolver.wants_tls() || self.trusted.as_ref() == Some(&wanted) {
            return;
        }
        match Authorities::lasting(&wanted.0, wanted.1) {
            Ok(authorities) => self.secure.trust(authorities),
            Err(words) => {
                log::warn!("{}: {words}", rights::DNSD_CA);
                if let (None, Ok(authorities)) = (&self.trusted, Authorities::lasting(b"", wanted.1)) {
                    self.secure.trust(authorities);
                }
            }
        }
        self.trusted = Some(wanted);
    }

    // Asks where upstreams are, and follows them where they have moved.
    fn look_up(&mut self, now: Instant) {
        for (name, address) in &self.config.known {
            let here =
                |server: &upstream::Server| server.address.ip() == *address && server.proves.as_deref() == Some(name);
            if self.engine.forward().upstreams().iter().any(|upstream| here(&upstream.server) && !upstream.is_alive()) {
                self.names.useless(now, *address);
            }
        }
        // The engine gives up sooner than this does.
        let (questions, _) = self.names.due(now);
        for question in questions {
            let asked = name::from_text(&question.name)
                .is_some_and(|name| self.engine.lookup(now, question.id, &name, question.ipv6));
            if !asked {
                self.names.answered(now, question.id, &[]);
            }
        }
        let mut known = self.config.known.clone();
        // The last address will do until there is another.
        known.retain(|name, _| self.config.names().any(|wanted| wanted == name));
        let names = self.config.names().filter_map(|name| Some((name.to_owned(), self.names.address_of(name)?)));
        known.extend(names);
        if known != self.config.known {
            for (name, address) in known.iter().filter(|(name, to)| self.config.known.get(*name) != Some(to)) {
                log::info!("{name} is at {address}");
            }
            self.config.known = known;
            self.follow(now);
        }
        self.act(now);
    }

    /// Whether a person wants the cache kept.
    pub fn keeps_cache(&self) -> bool {
        self.config.resolver.keep_cache
    }

    /// The engine, for who keeps its cache.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Waits for something to happen; until `also` at most.
    pub fn wait(&mut self, also: Option<Instant>, events: &mut Vec<Event>) -> io::Result<()> {
        let deadlines = [
            self.engine.deadline(),
            self.streams.deadline(),
            self.listeners.deadline(),
            self.outside.deadline(),
            self.secure.deadline(),
            self.names.deadline(),
            self.web.deadline(),
            self.minute,
            self.paused,
            also,
        ];
        self.turn.wait(deadlines.into_iter().flatten().min(), events)
    }

    /// Does what the time wants done.
    pub fn tick(&mut self, now: Instant) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.engine.deadline()) {
            self.engine.tick(now);
            self.act(now);
        }
        if due(self.streams.deadline()) {
            self.streams.tick(now);
        }
        if due(self.outside.deadline()) {
            self.outside.tick(now);
        }
        for number in self.secure.due(now) {
            self.secured(now, number);
            self.act(now);
        }
        if self.config.names().next().is_some() {
            self.look_up(now);
        }
        self.web.tick(now);
        if due(self.listeners.deadline()) || due(self.minute) || self.web.wants_follow(now) {
            self.follow(now);
        }
        if due(self.paused) {
            self.paused = None;
            for listener in self.listeners.all() {
                // One that is gone is not watched any more.
                let _ = self.turn.modify(&listener.tcp, token(TCP, listener.number), Interest::READ);
            }
        }
    }

    /// Something is ready.
    pub fn turn(&mut self, now: Instant, which: Token) {
        let number = which.0 & ((1 << KIND_SHIFT) - 1);
        match which.0 >> KIND_SHIFT {
            MONITOR if Requests::owns(which) => {
                self.requests.ready(&self.turn, which, |line| answer(&self.engine, line));
            }
            MONITOR if web::Server::owns(which) => self.show(now, which),
            MONITOR => {
                if self.monitor.drain().any() {
                    self.follow(now);
                }
            }
            UDP => self.datagrams(now, number),
            TCP => self.connections(now, number),
            STREAM => self.stream(now, number),
            PORT => self.replies(now, number),
            SECURE => self.secured(now, number),
            TABLE => self.loaded(),
            _ => self.upstream(now, Attempt::from_bits(number)),
        }
        self.act(now);
    }

    // Has the listeners and the engine know what addresses and files say now.
    fn follow(&mut self, now: Instant) {
        let dump = self.netlink.links().and_then(|links| Ok((links, self.netlink.addresses()?)));
        let (links, addresses) = dump.unwrap_or_else(|error| {
            self.complaint.warn(now, || format!("no word of the addresses: {error}"));
            (Vec::new(), Vec::new())
        });
        let wanted = private::served_with(&links, &addresses, self.config.lan, resolver::PORT);
        let turn = &self.turn;
        self.listeners.follow(now, &wanted, |listener| {
            turn.add(&listener.udp, token(UDP, listener.number), Interest::READ)?;
            turn.add(&listener.tcp, token(TCP, listener.number), Interest::READ)
        });
        self.web.follow(turn, now, &private::served(&links, &addresses, metrics::PORT));
        self.around.follow(&links);
        self.minute = self.config.blocklists.has_schedules().then(|| schedule::next_minute(WallTime::now()));
        let around = listen::around(&links, &addresses, self.listeners.addresses());
        self.engine.configure(now, &self.config.settings(now, WallTime::now(), &around));
        let way = listen::way(&links, &addresses);
        if self.way.as_ref().is_some_and(|before| *before != way) {
            self.outside.rewire();
            self.secure.rewire();
            self.names.hurry(now);
            self.engine.rewire(now);
        }
        self.way = Some(way);
        self.act(now);
    }

    fn datagrams(&mut self, now: Instant, number: u64) {
        let Some(listener) = self.listeners.get(number) else { return };
        for _ in 0..AT_ONCE {
            let count = match self.inbox.receive(&listener.udp) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // One of an earlier answer (its client is gone): the next call may be fine.
                Err(_) => continue,
            };
            for datagram in self.inbox.datagrams() {
                let client = Client::Udp { listener: number, peer: datagram.peer };
                self.around.meet(now, &mut self.engine, datagram.peer.ip());
                if self.engine.query(now, client, datagram.bytes, self.outbox.buffer()) {
                    self.outbox.address(Some(datagram.peer));
                }
            }
            self.outbox.send(&listener.udp);
            if count < BUSY {
                return;
            }
        }
    }

    fn show(&mut self, now: Instant, which: Token) {
        let Server { web, turn, engine, config, subnames: path, .. } = self;
        let mut changed = false;
        web.ready(turn, now, which, |request| match request.path.as_str() {
            "/metrics" => Response { status: 200, kind: KIND, body: metrics::page(engine) },
            "/dyndns" => {
                let (response, is_new) = dyndns(engine, config, path, now, request);
                changed = is_new;
                response
            }
            _ => Response::text(404, "there are /metrics and /dyndns\n"),
        });
        if changed {
            self.follow(now);
        }
    }

    fn connections(&mut self, now: Instant, number: u64) {
        for _ in 0..CONNECTIONS_AT_ONCE {
            let Some(listener) = self.listeners.get(number) else { return };
            let (socket, peer) = match listener.tcp.accept() {
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.complaint.warn(now, || format!("cannot take a connection: {error}"));
                    // One that only waits gives its descriptor; who knocks is heard again in a moment.
                    self.streams.close_idlest();
                    let _ = self.turn.modify(&listener.tcp, token(TCP, number), Interest::NONE);
                    self.paused = Some(now + PAUSE);
                    return;
                }
            };
            let added = self.streams.add(now, socket, peer.ip()).and_then(|number| {
                let Some(number) = number else { return Ok(()) };
                let Some(socket) = self.streams.socket(number) else { return Ok(()) };
                self.turn.add(socket, token(STREAM, number), Interest::READ)
            });
            if let Err(error) = added {
                self.complaint.warn(now, || format!("cannot serve a connection: {error}"));
            }
        }
    }

    fn stream(&mut self, now: Instant, number: u64) {
        let (engine, around) = (&mut self.engine, &mut self.around);
        let interest = self.streams.turn(now, number, |peer, message, answer| {
            around.meet(now, engine, peer);
            match engine.query(now, Client::Tcp { stream: number, peer }, message, answer) {
                true => Handled::Now,
                false => Handled::Later,
            }
        });
        // Gone with its watch, or watched already as it should be: then this changes nothing.
        if let (Some(interest), Some(socket)) = (interest, self.streams.socket(number)) {
            let _ = self.turn.modify(socket, token(STREAM, number), interest);
        }
    }

    fn replies(&mut self, now: Instant, port: u64) {
        let engine = &mut self.engine;
        let failed =
            self.outside.receive(port, &mut self.inbox, |attempt, message| engine.reply(now, attempt, message));
        for attempt in failed {
            self.engine.failed(now, attempt);
        }
    }

    fn upstream(&mut self, now: Instant, attempt: Attempt) {
        match self.outside.turn(attempt, &mut self.buffer) {
            Came::Reply(message) => self.engine.reply(now, attempt, &message),
            Came::Failed => self.engine.failed(now, attempt),
            Came::Nothing(interest) => {
                if let Some(socket) = self.outside.connection(attempt) {
                    let _ = self.turn.modify(socket, token(CONNECTION, attempt.to_bits()), interest);
                }
            }
            Came::Gone => (),
        }
    }

    fn secured(&mut self, now: Instant, number: u64) {
        let engine = &mut self.engine;
        let hear = |attempt, message: &[u8]| engine.reply(now, attempt, message);
        let turned = self.secure.turn(&self.turn, |number| token(SECURE, number), now, number, hear);
        for attempt in turned.failed {
            self.engine.failed(now, attempt);
        }
        if let Some(words) = turned.complaint {
            self.untrusted.warn(now, || words);
        }
    }

    // Does what the engine wants done, and what comes of that, until it wants nothing more.
    fn act(&mut self, now: Instant) {
        let mut actions = std::mem::take(&mut self.actions);
        let mut answering = None;
        loop {
            self.engine.take_actions(&mut actions);
            if actions.is_empty() {
                break;
            }
            for action in actions.drain(..) {
                match action {
                    Action::Answer(Client::Udp { listener, peer }, message) => {
                        if answering != Some(listener) || self.outbox.is_full() {
                            self.flush(answering);
                            answering = Some(listener);
                        }
                        // Its room stays for answers that are written in place.
                        let buffer = self.outbox.buffer();
                        buffer.clear();
                        buffer.extend_from_slice(&message);
                        self.outbox.address(Some(peer));
                    }
                    Action::Answer(Client::Tcp { stream, .. }, message) => {
                        if self.streams.answer(stream, &message) {
                            // A query that is read now may write an answer of its own.
                            self.flush(answering.take());
                            self.stream(now, stream);
                        }
                    }
                    Action::Answer(Client::House(number), message) => {
                        let of = |ipv6| asking::addresses(&message, number, ipv6).unwrap_or_default();
                        self.names.answered(now, number, &[of(false), of(true)].concat());
                    }
                    Action::Close(attempt) => {
                        self.outside.close(attempt);
                        self.secure.close(attempt);
                    }
                    Action::Ask { attempt, to, transport: Transport::Tls, message, patience } => {
                        let (what, whom) = ((attempt, &message[..]), (&to, patience));
                        match self.secure.ask(&self.turn, |number| token(SECURE, number), now, what, whom) {
                            Ok(true) => self.engine.cold(attempt),
                            Ok(false) => {}
                            Err(error) => {
                                self.complaint.warn(now, || format!("cannot ask {to}: {error}"));
                                self.engine.failed(now, attempt);
                            }
                        }
                    }
                    Action::Ask { attempt, to, transport, message, .. } => {
                        let opened = self.outside.ask(now, attempt, to.address, transport, &message);
                        let watched = opened.and_then(|opened| match opened {
                            Opened::Port(number, socket) => self.turn.add(socket, token(PORT, number), Interest::READ),
                            Opened::Connection(socket) => {
                                self.turn.add(socket, token(CONNECTION, attempt.to_bits()), Interest::WRITE)
                            }
                            Opened::Known => Ok(()),
                        });
                        if let Err(error) = watched {
                            self.complaint.warn(now, || format!("cannot ask {to}: {error}"));
                            self.engine.failed(now, attempt);
                        }
                    }
                }
            }
        }
        self.flush(answering);
        self.actions = actions;
        while let Some(name) = self.engine.take_rebound() {
            let name = name::to_text(&name);
            self.rebound.warn(now, || format!("{name} has an address of the house: refused (rebind_allow allows it)"));
        }
        while let Some((name, why)) = self.engine.take_bogus() {
            let (name, why) = (name::to_text(&name), why.words());
            self.bogus.warn(now, || format!("{name} is refused by DNSSEC: {why} (dnssec_exempt exempts it)"));
        }
    }

    // Sends the answers that are gathered for a listener.
    fn flush(&mut self, listener: Option<u64>) {
        if let Some(listener) = listener.and_then(|number| self.listeners.get(number)) {
            self.outbox.send(&listener.udp);
        } else {
            self.outbox.clear();
        }
    }
}

/// The one thing that may be asked: `{"op":"names"}`. Not by HTTP: what is asked for at home is nobody's who has no password.
fn answer(engine: &Engine, line: &[u8]) -> String {
    let asked: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    if asked.get("op").and_then(serde_json::Value::as_str) != Some("names") {
        return requests::error("the one thing that can be asked is {\"op\":\"names\"}");
    }
    let names = popular(engine.cache(), MOST_NAMES).into_iter();
    let names: Vec<_> = names.map(|(name, asked)| serde_json::json!({"name": name, "asked": asked})).collect();
    format!("{}\n", serde_json::json!({"names": names}))
}

// A machine asks for a name below its own; the answer, and whether anything is new. What is answered is written down.
fn dyndns(engine: &Engine, config: &mut Config, path: &Path, now: Instant, request: &Request) -> (Response, bool) {
    let refuse = |status, words: String| (Response::text(status, format!("{words}\n")), false);
    // A page of the internet in a browser at home has no say.
    if !request.is_for_us() {
        return refuse(403, format!("not for {:?} from {:?}", request.host, request.origin));
    }
    let Some(host) = engine.host_of(now, request.peer.to_canonical()).and_then(|name| std::str::from_utf8(name).ok())
    else {
        return refuse(403, format!("{} has no name here", request.peer));
    };
    let host = host.to_owned();
    let value = |key| request.value(key).unwrap_or_default();
    let Ok(address) = value("ip").parse::<IpAddr>() else {
        return refuse(400, format!("ip={:?} is no address", value("ip")));
    };
    let before = config.subnames.clone();
    let is_new = match subnames::set(&mut config.subnames, &host, &value("host"), address) {
        Ok(is_new) => is_new,
        Err(words) => return refuse(400, words),
    };
    if let Err(error) = file::replace(path, &subnames::write(&config.subnames)) {
        config.subnames = before;
        return refuse(500, format!("{}: {error}", path.display()));
    }
    (Response::text(200, "ok\n"), is_new)
}
