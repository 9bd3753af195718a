//! One session from its first LCP request to its end: the link, who we are, then IPv4 and IPv6 beside each other; and the
//! question whether the concentrator is still there (RFC 1661, section 5.8).
use super::auth::{self, Auth};
use super::automaton::{Automaton, Layer, Out};
use super::ipcp::Ipcp;
use super::ipv6cp::Ipv6cp;
use super::lcp::Lcp;
use super::{Network, Settings};
use crate::house::random::Random;
use crate::perm::Mac;
use netstack::time::Instant;
use netstack::wire::ppp::{self, Control, code};
use std::time::Duration;

/// Between two questions while all is well, and after one that was not answered.
const ECHO: Duration = Duration::from_secs(10);
const ECHO_AGAIN: Duration = Duration::from_secs(2);
/// After a cable was put back.
const ECHO_SOON: Duration = Duration::from_secs(1);
/// Unanswered questions after which a concentrator is gone: 10 s and three times 2 s after its last word.
const MOST_ECHOES: u32 = 4;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Send a control packet of a protocol.
    Send(u16, Vec<u8>),
    /// What the session brings is now this.
    Network(Network),
    /// It is over, and why; whether for want of the right password.
    Over(String, bool),
    /// A line for the log.
    Say(String),
}

/// A session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    /// The largest packet that the line carries.
    payload: u16,
    lcp: Automaton<Lcp>,
    auth: Option<Auth>,
    ipcp: Automaton<Ipcp>,
    ipv6cp: Automaton<Ipv6cp>,
    /// When the next question is due, and how many were not answered.
    echo: Option<Instant>,
    unanswered: u32,
}

impl Session {
    /// A session that discovery has brought, for packets up to `payload` bytes; its first request.
    pub fn begin(
        now: Instant,
        settings: &Settings,
        payload: u16,
        mac: Mac,
        random: &Random,
        deeds: &mut Vec<Deed>,
    ) -> Session {
        let mut session = Session {
            settings: settings.clone(),
            payload,
            lcp: Automaton::new(Lcp::new(payload, random.clone())),
            auth: None,
            ipcp: Automaton::new(Ipcp::new()),
            ipv6cp: Automaton::new(Ipv6cp::new(mac, random.clone())),
            echo: None,
            unanswered: 0,
        };
        let out = session.lcp.begin(now);
        session.of_lcp(now, out, deeds);
        session
    }

    /// When [`Session::timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let auth = self.auth.as_ref().and_then(Auth::deadline);
        let all = [self.lcp.deadline(), auth, self.ipcp.deadline(), self.ipv6cp.deadline(), self.echo];
        all.into_iter().flatten().min()
    }

    /// A packet with the protocol that stood before it.
    pub fn receive(&mut self, now: Instant, protocol: u16, packet: &[u8], deeds: &mut Vec<Deed>) {
        // Whoever speaks is there.
        if self.echo.is_some() {
            (self.echo, self.unanswered) = (Some(now + ECHO), 0);
        }
        let Some(control) = Control::parse(packet) else { return };
        match protocol {
            ppp::LCP => match self.lcp.receive(now, &control) {
                Some(out) => self.of_lcp(now, out, deeds),
                None => self.of_link(&control, packet, deeds),
            },
            // Nothing else is spoken before the link is open (RFC 1661, section 3.4).
            _ if !self.lcp.is_open() => {}
            ppp::PAP | ppp::CHAP => {
                let out = self.auth.as_mut().map(|auth| auth.receive(protocol, &control)).unwrap_or_default();
                self.of_auth(now, out, deeds);
            }
            ppp::IPCP if self.ipcp.is_begun() => {
                let out = of_layer(&mut self.ipcp, now, &control, packet);
                self.of_ipcp(out, deeds);
            }
            ppp::IPV6CP if self.ipv6cp.is_begun() => {
                let out = of_layer(&mut self.ipv6cp, now, &control, packet);
                self.of_ipv6cp(out, deeds);
            }
            // Not yet, or not any more.
            ppp::IPCP | ppp::IPV6CP => {}
            _ => {
                let data = [&protocol.to_be_bytes()[..], packet].concat();
                let room = usize::from(self.lcp.layer.peer_mru).saturating_sub(4);
                let reject = self.lcp.fresh(code::PROTOCOL_REJECT, data.get(..room).unwrap_or(&data));
                deeds.push(Deed::Send(ppp::LCP, reject));
            }
        }
    }

    /// [`Session::deadline`] has come.
    pub fn timeout(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        let out = self.lcp.timeout(now);
        self.of_lcp(now, out, deeds);
        let out = self.auth.as_mut().map(|auth| auth.timeout(now)).unwrap_or_default();
        self.of_auth(now, out, deeds);
        let out = self.ipcp.timeout(now);
        self.of_ipcp(out, deeds);
        let out = self.ipv6cp.timeout(now);
        self.of_ipv6cp(out, deeds);
        if self.echo.is_some_and(|echo| echo <= now) {
            self.ask(now, ECHO_AGAIN, deeds);
        }
    }

    /// The cable was out: is the concentrator still there?
    pub fn probe(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        if self.echo.is_some() {
            self.unanswered = 0;
            self.ask(now, ECHO_SOON, deeds);
        }
    }

    /// The cable is out: nobody is asked.
    pub fn rest(&mut self) {
        if self.echo.is_some() {
            self.echo = Some(Instant::NEVER);
        }
    }

    /// The last word.
    pub fn terminate(&mut self) -> Deed {
        Deed::Send(ppp::LCP, self.lcp.fresh(code::TERMINATE, b""))
    }

    fn ask(&mut self, now: Instant, again: Duration, deeds: &mut Vec<Deed>) {
        if self.unanswered >= MOST_ECHOES {
            self.echo = None;
            deeds.push(Deed::Over("the concentrator has fallen silent".into(), false));
            return;
        }
        self.unanswered += 1;
        self.echo = Some(now + again);
        let magic = self.lcp.layer.magic.to_be_bytes();
        let echo = self.lcp.fresh(code::ECHO, &magic);
        deeds.push(Deed::Send(ppp::LCP, echo));
    }

    fn of_lcp(&mut self, now: Instant, out: Vec<Out>, deeds: &mut Vec<Deed>) {
        for out in out {
            match out {
                Out::Send(packet) => deeds.push(Deed::Send(ppp::LCP, packet)),
                Out::Over(why) => deeds.push(Deed::Over(why, false)),
                Out::Up => {
                    self.echo = Some(now + ECHO);
                    self.unanswered = 0;
                    match self.lcp.layer.proof {
                        None => self.network(now, deeds),
                        Some(proof) => {
                            let Settings { username, password, .. } = &self.settings;
                            let (auth, out) = Auth::begin(now, proof, username, password);
                            self.auth = Some(auth);
                            self.of_auth(now, out, deeds);
                        }
                    }
                }
                Out::Down => {
                    self.echo = None;
                    self.auth = None;
                    self.ipcp.end();
                    self.ipv6cp.end();
                    self.changed(deeds);
                }
            }
        }
    }

    /// Codes of LCP alone.
    fn of_link(&mut self, control: &Control<'_>, packet: &[u8], deeds: &mut Vec<Deed>) {
        match control.code {
            code::ECHO if self.lcp.is_open() && control.data.len() >= 4 => {
                let magic = self.lcp.layer.magic.to_be_bytes();
                let data = [&magic, &control.data[4..]].concat();
                deeds.push(Deed::Send(ppp::LCP, ppp::emit(code::ECHO_REPLY, control.id, &data)));
            }
            code::PROTOCOL_REJECT if self.lcp.is_open() => {
                let rejected = control.data.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
                let why = || "the concentrator does not know it".to_owned();
                match rejected {
                    Some(ppp::IPCP) => {
                        self.ipcp.end();
                        self.of_ipcp(vec![Out::Over(format!("IPCP: {}", why()))], deeds);
                    }
                    Some(ppp::IPV6CP) => {
                        self.ipv6cp.end();
                        self.of_ipv6cp(vec![Out::Over(format!("IPV6CP: {}", why()))], deeds);
                    }
                    _ => {}
                }
            }
            code::ECHO | code::ECHO_REPLY | code::DISCARD | code::PROTOCOL_REJECT => {}
            _ => {
                let reject = self.lcp.fresh(code::CODE_REJECT, packet);
                deeds.push(Deed::Send(ppp::LCP, reject));
            }
        }
    }

    fn of_auth(&mut self, now: Instant, out: Vec<auth::Out>, deeds: &mut Vec<Deed>) {
        for out in out {
            match out {
                auth::Out::Send(packet) => {
                    let pap = self.lcp.layer.proof == Some(super::lcp::Proof::Pap);
                    deeds.push(Deed::Send(if pap { ppp::PAP } else { ppp::CHAP }, packet));
                }
                auth::Out::Welcome => self.network(now, deeds),
                auth::Out::Refused(why) => deeds.push(Deed::Over(why, true)),
                auth::Out::Silent(why) => deeds.push(Deed::Over(why, false)),
            }
        }
    }

    /// The link is open and we are let in.
    fn network(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        let out = self.ipcp.begin(now);
        self.of_ipcp(out, deeds);
        let out = self.ipv6cp.begin(now);
        self.of_ipv6cp(out, deeds);
    }

    fn of_ipcp(&mut self, out: Vec<Out>, deeds: &mut Vec<Deed>) {
        for out in out {
            match out {
                Out::Send(packet) => deeds.push(Deed::Send(ppp::IPCP, packet)),
                Out::Over(why) => self.lost(why, deeds),
                Out::Up | Out::Down => self.changed(deeds),
            }
        }
    }

    fn of_ipv6cp(&mut self, out: Vec<Out>, deeds: &mut Vec<Deed>) {
        for out in out {
            match out {
                Out::Send(packet) => deeds.push(Deed::Send(ppp::IPV6CP, packet)),
                Out::Over(why) => self.lost(why, deeds),
                Out::Up | Out::Down => self.changed(deeds),
            }
        }
    }

    /// One network protocol is not to be had; without either there is no use in the session.
    fn lost(&mut self, why: String, deeds: &mut Vec<Deed>) {
        if self.ipcp.is_begun() || self.ipv6cp.is_begun() {
            deeds.push(Deed::Say(format!("{why}; the session goes on without it")));
            self.changed(deeds);
        } else {
            deeds.push(Deed::Over(why, false));
        }
    }

    fn changed(&self, deeds: &mut Vec<Deed>) {
        let (ipcp, ipv6cp) = (&self.ipcp, &self.ipv6cp);
        deeds.push(Deed::Network(Network {
            ipv4: ipcp.is_open().then(|| (ipcp.layer.address, ipcp.layer.dns())),
            ipv6: ipv6cp.is_open().then(|| ipv6cp.layer.address()),
            mtu: self.payload.min(self.lcp.layer.peer_mru),
        }));
    }
}

/// A packet for a network protocol's negotiation.
fn of_layer<L: Layer>(automaton: &mut Automaton<L>, now: Instant, control: &Control<'_>, packet: &[u8]) -> Vec<Out> {
    automaton.receive(now, control).unwrap_or_else(|| vec![Out::Send(automaton.fresh(code::CODE_REJECT, packet))])
}
