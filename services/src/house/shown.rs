//! A service's metrics for webd's page: `/metrics` on loopback, at the port that the table of rights has for it.
use crate::metrics::KIND;
use crate::web::{Response, Server};
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port and its connections. Its tokens are [`crate::web::FIRST`] and above; those of
/// [`super::requests::Requests`] have to be asked for before.
#[derive(Debug)]
pub struct Shown {
    server: Server,
    at: Option<SocketAddr>,
}

impl Shown {
    /// Opens the port of a service; what fails is said and tried again.
    pub fn open(turn: &Loop, now: Instant, name: &str) -> Shown {
        let port = rights::METRICS.iter().find(|(known, _)| *known == name).map(|(_, port)| *port);
        let at = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        let mut shown = Shown { server: Server::default(), at };
        shown.server.follow(turn, now, at.as_slice());
        shown
    }

    /// Whether a token is one of its own.
    pub fn owns(token: Token) -> bool {
        Server::owns(token)
    }

    /// When [`Shown::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.server.deadline()
    }

    /// A token is ready; `page` is made only for who asks.
    pub fn ready(&mut self, turn: &Loop, now: Instant, token: Token, page: impl FnOnce() -> Vec<u8>) {
        self.server.ready(turn, now, token, |request| match request.path.as_str() {
            "/metrics" => Response { status: 200, kind: KIND, body: page() },
            _ => Response::text(404, "there is /metrics\n"),
        });
    }

    /// Closes what took too long.
    pub fn tick(&mut self, turn: &Loop, now: Instant) {
        self.server.tick(now);
        if self.server.wants_follow(now) {
            self.server.follow(turn, now, self.at.as_slice());
        }
    }
}
