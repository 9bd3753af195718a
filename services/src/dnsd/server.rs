//! Moves messages between the sockets and the engine; nothing to decide.
use super::config::Config;
use super::engine::{Action, Attempt, Client, Engine};
use super::listen::{self, Listeners};
use super::outside::{Came, Outside};
use super::streams::{Handled, Streams};
use crate::house::rarely::Rarely;
use crate::house::{Failure, House};
use crate::perm::WallTime;
use netstack::event::{Event, Interest, Loop, Token};
use netstack::netlink::{Monitor, Netlink};
use netstack::time::Instant;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;

/// What the cache may take, in bytes.
const CACHE: usize = 3 << 20;
/// Datagrams, or connections, taken from one socket before the others have their turn.
const AT_ONCE: usize = 32;
/// The largest message.
const LARGEST: usize = 65_535;

// A token is a kind in its highest byte and a number below.
const MONITOR: u64 = 0;
const UDP: u64 = 1;
const TCP: u64 = 2;
const STREAM: u64 = 3;
const ATTEMPT: u64 = 4;
const KIND: u32 = 56;

fn token(kind: u64, number: u64) -> Token {
    Token(kind << KIND | number)
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
    // Used again and again: what comes in, what goes out, and what the engine wants done.
    buffer: Vec<u8>,
    answer: Vec<u8>,
    actions: Vec<Action>,
    complaint: Rarely,
}

impl Server {
    /// Opens the loop and the watch on addresses.
    pub fn open() -> Result<Server, Failure> {
        let turn = Loop::new().map_err(Failure::during("event loop"))?;
        let monitor = Monitor::open().map_err(Failure::during("news of addresses"))?;
        turn.add(&monitor, token(MONITOR, 0), Interest::READ)?;
        // A keyed hash of a counter: nobody who does not know the key foresees the next.
        let (key, mut counter) = (RandomState::new(), 0u64);
        let random = move || {
            counter += 1;
            key.hash_one(counter) as u16
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
            buffer: vec![0; LARGEST],
            answer: Vec::with_capacity(LARGEST),
            actions: Vec::new(),
            complaint: Rarely::default(),
        })
    }

    /// Whether lan0's address, when it has one, is served.
    pub fn lan_is_bound(&self) -> bool {
        self.config.lan.is_none_or(|lan| self.listeners.addresses().contains(&IpAddr::V4(lan)))
    }

    /// Reads the files again, and follows what they say.
    pub fn reread(&mut self, now: Instant, house: &House) {
        self.config.read(house);
        self.follow(now);
    }

    /// Waits for something to happen.
    pub fn wait(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        let deadlines = [self.engine.deadline(), self.streams.deadline(), self.listeners.deadline()];
        self.turn.wait(deadlines.into_iter().flatten().min(), events)
    }

    /// Does what the time wants done.
    pub fn tick(&mut self, now: Instant) {
        if self.engine.deadline().is_some_and(|deadline| deadline <= now) {
            self.engine.tick(now);
            self.act(now);
        }
        if self.streams.deadline().is_some_and(|deadline| deadline <= now) {
            self.streams.tick(now);
        }
        if self.listeners.deadline().is_some_and(|deadline| deadline <= now) {
            self.follow(now);
        }
    }

    /// Something is ready.
    pub fn turn(&mut self, now: Instant, token: Token) {
        let number = token.0 & ((1 << KIND) - 1);
        match token.0 >> KIND {
            MONITOR => {
                if self.monitor.drain().any() {
                    self.follow(now);
                }
            }
            UDP => self.datagrams(now, number),
            TCP => self.connections(now, number),
            STREAM => self.stream(now, number),
            _ => self.upstream(now, Attempt::from_bits(number)),
        }
        self.act(now);
    }

    // Has the listeners and the engine know what addresses and files say now.
    fn follow(&mut self, now: Instant) {
        let dump = self.netlink.links().and_then(|links| Ok((links, self.netlink.addresses()?)));
        let wanted = match dump {
            Ok((links, addresses)) => listen::wanted(&links, &addresses, self.config.lan),
            Err(error) => {
                self.complaint.warn(now, || format!("no word of the addresses: {error}"));
                listen::wanted(&[], &[], self.config.lan)
            }
        };
        let turn = &self.turn;
        self.listeners.follow(now, &wanted, |listener| {
            turn.add(&listener.udp, token(UDP, listener.number), Interest::READ)?;
            turn.add(&listener.tcp, token(TCP, listener.number), Interest::READ)
        });
        let ours = self.listeners.addresses();
        self.engine.configure(now, &self.config.settings(now, WallTime::now(), &ours));
        self.act(now);
    }

    fn datagrams(&mut self, now: Instant, number: u64) {
        let Some(listener) = self.listeners.get(number) else { return };
        for _ in 0..AT_ONCE {
            // An error is one of an earlier answer (its client is gone): the next datagram may be fine.
            let (length, peer) = match listener.udp.recv_from(&mut self.buffer) {
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let client = Client::Udp { listener: number, peer };
            let message = self.buffer.get(..length).unwrap_or_default();
            if self.engine.query(now, client, message, &mut self.answer) {
                // Who cannot be reached asks again.
                let _ = listener.udp.send_to(&self.answer, peer);
            }
        }
    }

    fn connections(&mut self, now: Instant, number: u64) {
        for _ in 0..AT_ONCE {
            let Some(listener) = self.listeners.get(number) else { return };
            let (socket, peer) = match listener.tcp.accept() {
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.complaint.warn(now, || format!("cannot take a connection: {error}"));
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
        let engine = &mut self.engine;
        let interest = self.streams.turn(now, number, |peer, message, answer| {
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

    fn upstream(&mut self, now: Instant, attempt: Attempt) {
        match self.outside.turn(attempt, &mut self.buffer) {
            Came::Datagram(length) => {
                self.engine.reply(now, attempt, self.buffer.get(..length).unwrap_or_default());
            }
            Came::Reply(message) => self.engine.reply(now, attempt, &message),
            Came::Failed => self.engine.failed(now, attempt),
            Came::Nothing(interest) => {
                if let Some((socket, _)) = self.outside.socket(attempt) {
                    let _ = self.turn.modify(socket, token(ATTEMPT, attempt.to_bits()), interest);
                }
            }
            Came::Gone => (),
        }
    }

    // Does what the engine wants done, and what comes of that, until it wants nothing more.
    fn act(&mut self, now: Instant) {
        let mut actions = std::mem::take(&mut self.actions);
        loop {
            self.engine.take_actions(&mut actions);
            if actions.is_empty() {
                break;
            }
            for action in actions.drain(..) {
                match action {
                    Action::Answer(Client::Udp { listener, peer }, message) => {
                        if let Some(listener) = self.listeners.get(listener) {
                            let _ = listener.udp.send_to(&message, peer);
                        }
                    }
                    Action::Answer(Client::Tcp { stream, .. }, message) => {
                        if self.streams.answer(stream, &message) {
                            self.stream(now, stream);
                        }
                    }
                    Action::Close(attempt) => self.outside.close(attempt),
                    Action::Ask { attempt, to, transport, message } => {
                        let asked = self.outside.ask(attempt, to, transport, &message).and_then(|()| {
                            let Some((socket, interest)) = self.outside.socket(attempt) else { return Ok(()) };
                            self.turn.add(socket, token(ATTEMPT, attempt.to_bits()), interest)
                        });
                        if let Err(error) = asked {
                            self.complaint.warn(now, || format!("cannot ask {to}: {error}"));
                            self.engine.failed(now, attempt);
                        }
                    }
                }
            }
        }
        self.actions = actions;
    }
}
