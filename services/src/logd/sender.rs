//! The way to the receiver: one socket, opened when there is something to send, again and again while that fails.
use super::config::Target;
use crate::house::asking::Asking;
use crate::house::names::Names;
use crate::perm::place::Host;
use netstack::connect;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// First and longest pause between two tries.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));
/// How long a connection may take to come, or to take what is sent.
const PATIENCE: Duration = Duration::from_secs(20);
/// After so long without a failure it is believed that somebody is there.
const SETTLED: Duration = Duration::from_secs(5);
/// Messages in one turn.
const AT_ONCE: usize = 64;

#[derive(Debug)]
enum Way {
    Udp(UdpSocket),
    /// What of a message has not been taken yet; and since when.
    Tcp {
        stream: TcpStream,
        output: Vec<u8>,
        taken: usize,
        stuck: Option<Instant>,
    },
}

/// The sender.
pub struct Sender {
    token: Token,
    target: Option<Target>,
    names: Names,
    asking: Asking,
    way: Option<Way>,
    retry: Option<Instant>,
    wait: Duration,
    gone: bool,
    /// Since when nothing has failed.
    good_since: Option<Instant>,
}

impl Sender {
    /// Nobody to send to yet.
    pub fn new(token: Token) -> Sender {
        Sender {
            token,
            target: None,
            names: Names::default(),
            asking: Asking::new(),
            way: None,
            retry: None,
            wait: Duration::ZERO,
            gone: false,
            good_since: None,
        }
    }

    /// This is the target from now on. Whether there is one.
    pub fn to(&mut self, now: Instant, target: Option<Target>) -> bool {
        if self.target != target {
            let name = match target.as_ref().map(|target| &target.host) {
                Some(Host::Named(name)) => vec![name.clone()],
                _ => Vec::new(),
            };
            self.names.follow(now, &name);
            (self.way, self.retry, self.wait, self.gone) = (None, None, Duration::ZERO, false);
            self.target = target;
        }
        self.target.is_some()
    }

    /// When [`Sender::turn`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        let stuck = match &self.way {
            Some(Way::Tcp { stuck, .. }) => stuck.map(|since| since + PATIENCE),
            _ => None,
        };
        [self.names.deadline(), self.retry, stuck].into_iter().flatten().min()
    }

    /// An answer of the name server.
    pub fn answered(&mut self, now: Instant, token: Token) {
        if let Some((id, addresses)) = self.asking.ready(token) {
            self.names.answered(now, id, &addresses);
        }
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.target.as_ref()?.host {
            Host::At(address) => Some(address),
            Host::Named(_) => self.names.chosen().first().copied(),
        }
    }

    fn ask(&mut self, turn: &Loop, now: Instant) {
        let (questions, given_up) = self.names.due(now);
        given_up.into_iter().for_each(|id| self.asking.forget(id));
        for question in questions {
            if self.asking.ask(turn, &question).is_err() {
                self.names.answered(now, question.id, &[]);
            }
        }
    }

    /// Sends what can be sent: `front` gives the next message, which stays until `sent`.
    pub fn turn<Q>(
        &mut self,
        turn: &Loop,
        now: Instant,
        queue: &mut Q,
        front: impl Fn(&mut Q) -> Option<Vec<u8>>,
        sent: impl Fn(&mut Q),
    ) {
        self.ask(turn, now);
        if self.target.is_none() || self.retry.is_some_and(|at| now < at) {
            return;
        }
        self.retry = None;
        if let Err(error) = self.pass(turn, now, queue, front, sent) {
            self.failed(now, &error);
        }
    }

    fn failed(&mut self, now: Instant, error: &io::Error) {
        (self.way, self.good_since) = (None, None);
        self.wait = (self.wait * 2).clamp(RETRY.0, RETRY.1);
        self.retry = Some(now + self.wait);
        if let Some(address) = self.address() {
            self.names.useless(now, address);
        }
        // Said once, until it is back.
        if !std::mem::replace(&mut self.gone, true) {
            log::warn!("the receiver of the log cannot be reached: {error}");
        }
    }

    fn pass<Q>(
        &mut self,
        turn: &Loop,
        now: Instant,
        queue: &mut Q,
        front: impl Fn(&mut Q) -> Option<Vec<u8>>,
        sent: impl Fn(&mut Q),
    ) -> io::Result<()> {
        for _ in 0..AT_ONCE {
            if self.way.is_none() {
                if front(queue).is_none() {
                    return Ok(());
                }
                // A name without an address is asked for meanwhile.
                let Some(address) = self.address() else { return Ok(()) };
                self.open(turn, address)?;
            }
            let token = self.token;
            match &mut self.way {
                None => return Ok(()),
                Some(Way::Udp(socket)) => {
                    let Some(message) = front(queue) else { return Ok(()) };
                    match socket.send(&message) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                        done => done?,
                    };
                    sent(queue);
                }
                Some(Way::Tcp { stream, output, taken, stuck }) => {
                    // Nothing is expected of a receiver; that it has closed is.
                    match stream.read(&mut [0; 512]) {
                        Ok(0) => return Err(ErrorKind::ConnectionReset.into()),
                        Err(error) if !waits(&error) && error.kind() != ErrorKind::NotConnected => return Err(error),
                        _ => {}
                    }
                    if output.is_empty() {
                        let Some(message) = front(queue) else {
                            turn.modify(&*stream, token, Interest::READ)?;
                            return Ok(());
                        };
                        *output = format!("{} ", message.len()).into_bytes();
                        output.extend_from_slice(&message);
                    }
                    match stream.write(output.get(*taken..).unwrap_or_default()) {
                        Ok(count) => (*taken, *stuck) = (*taken + count, None),
                        Err(error) if waits(&error) || error.kind() == ErrorKind::NotConnected => {
                            if now > stuck.get_or_insert(now).saturating_add(PATIENCE) {
                                return Err(ErrorKind::TimedOut.into());
                            }
                            turn.modify(&*stream, token, Interest::BOTH)?;
                            return Ok(());
                        }
                        Err(error) => return Err(error),
                    }
                    if *taken < output.len() {
                        continue;
                    }
                    output.clear();
                    *taken = 0;
                    sent(queue);
                }
            }
            // By UDP the word that nobody is there comes after what was sent.
            let good = *self.good_since.get_or_insert(now);
            if self.gone && now >= good + SETTLED {
                (self.gone, self.wait) = (false, Duration::ZERO);
                log::info!("the receiver of the log is back");
            }
        }
        // The rest after the others have had their turn.
        self.retry = Some(now);
        Ok(())
    }

    fn open(&mut self, turn: &Loop, address: IpAddr) -> io::Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let to = SocketAddr::new(address, target.port);
        let way = if target.tcp {
            let stream = connect::tcp(to)?;
            turn.add(&stream, self.token, Interest::BOTH)?;
            Way::Tcp { stream, output: Vec::new(), taken: 0, stuck: None }
        } else {
            let socket = connect::udp(to)?;
            // An ICMP error makes it readable.
            turn.add(&socket, self.token, Interest::READ)?;
            Way::Udp(socket)
        };
        self.way = Some(way);
        Ok(())
    }

    /// The socket has news: by UDP only that nobody is there.
    pub fn ready(&mut self, now: Instant) {
        if let Some(Way::Udp(socket)) = &self.way
            && let Err(error) = socket.recv(&mut [0; 16])
            && !waits(&error)
        {
            self.failed(now, &error);
        }
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
