//! Finding a concentrator and getting a session from it (RFC 2516, section 5; RFC 4638 for larger packets).
use super::{Settings, text};
use crate::house::random::Random;
use crate::perm::Mac;
use crate::perm::interfaces::PPPOE_MTU;
use netstack::time::Instant;
use netstack::wire::pppoe::{Discovery, PADI, PADO, PADR, PADS, PADT, Tag, emit, tag};
use std::time::Duration;

/// To every concentrator.
pub const EVERYBODY: Mac = Mac([0xff; 6]);
/// Waits between two PADIs: 1, 2, 4, ... seconds, and a little more.
const LONGEST: Duration = Duration::from_secs(60);
/// PADRs to one concentrator, a second, then two apart.
const MOST_REQUESTS: u32 = 3;
/// Offers of one round that are remembered.
const MOST_OFFERS: usize = 8;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Send a packet to a concentrator, or everybody.
    Send(Mac, Vec<u8>),
    /// There is a session.
    Session(Granted),
    /// No concentrator gives one, and why.
    Over(String),
    /// A line for the log.
    Say(String),
}

/// A session as it was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// By whom.
    pub from: Mac,
    /// By what name.
    pub name: String,
    /// Its number, never 0.
    pub session: u16,
    /// The largest packet of PPP, in bytes.
    pub payload: u16,
    /// When it was offered.
    pub offered: Instant,
}

#[derive(Debug, Clone)]
struct Offer {
    from: Mac,
    name: String,
    cookie: Option<Vec<u8>>,
    relay: Option<Vec<u8>>,
    at: Instant,
}

/// One search.
#[derive(Debug)]
pub struct Round {
    settings: Settings,
    /// The largest packet that is asked for.
    payload: u16,
    uniq: [u8; 8],
    /// The concentrator that has failed us last: taken when there is no other.
    avoided: Option<Mac>,
    /// Those that have not been asked yet.
    offers: Vec<Offer>,
    /// The one that is being asked, and how often it was.
    asked: Option<(Offer, u32)>,
    tries: u32,
    said: bool,
    deadline: Instant,
    random: Random,
}

impl Round {
    /// Begins: the first PADI.
    pub fn begin(
        now: Instant,
        settings: &Settings,
        payload: u16,
        avoided: Option<Mac>,
        random: &mut Random,
        deeds: &mut Vec<Deed>,
    ) -> Round {
        let mut uniq = [0; 8];
        uniq[..4].copy_from_slice(&random.next_u32().to_be_bytes());
        uniq[4..].copy_from_slice(&random.next_u32().to_be_bytes());
        let mut round = Round {
            settings: settings.clone(),
            payload,
            uniq,
            avoided,
            offers: Vec::new(),
            asked: None,
            tries: 0,
            said: false,
            deadline: now,
            random: random.clone(),
        };
        round.search(now, deeds);
        round
    }

    /// When [`Round::timeout`] is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether a packet has our mark.
    pub fn is_ours(&self, packet: &Discovery<'_>) -> bool {
        packet.tag(tag::HOST_UNIQ) == Some(&self.uniq)
    }

    fn search(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        self.asked = None;
        deeds.push(Deed::Send(EVERYBODY, self.packet(PADI, None)));
        let wait = (Duration::from_secs(1) * 2u32.pow(self.tries.min(6))).min(LONGEST);
        let jitter = u32::try_from(wait.as_millis() / 10).unwrap_or_default();
        self.deadline = now + wait + Duration::from_millis(self.random.below(jitter).into());
        self.tries += 1;
    }

    fn packet(&self, code: u8, offer: Option<&Offer>) -> Vec<u8> {
        let payload = self.payload.to_be_bytes();
        let mut tags: Vec<Tag<'_>> =
            vec![(tag::SERVICE, self.settings.service.as_bytes()), (tag::HOST_UNIQ, &self.uniq)];
        if u32::from(self.payload) > PPPOE_MTU {
            tags.push((tag::MAX_PAYLOAD, &payload));
        }
        let cookie = offer.and_then(|offer| offer.cookie.as_deref()).map(|value| (tag::AC_COOKIE, value));
        let relay = offer.and_then(|offer| offer.relay.as_deref()).map(|value| (tag::RELAY, value));
        tags.extend(cookie.into_iter().chain(relay));
        emit(code, 0, &tags)
    }

    /// The time has come.
    pub fn timeout(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        if now < self.deadline {
            return;
        }
        match self.asked.take() {
            Some((offer, asked)) if asked < MOST_REQUESTS => self.ask(now, offer, asked, deeds),
            Some((offer, _)) => {
                deeds.push(Deed::Say(format!("{}: no answer to our request for a session", offer.name)));
                self.next(now, deeds);
            }
            None if !self.offers.is_empty() => self.next(now, deeds),
            None => {
                if self.tries > 2 && !std::mem::replace(&mut self.said, true) {
                    deeds.push(Deed::Say("no concentrator answers; searching on".into()));
                }
                self.search(now, deeds);
            }
        }
    }

    /// Asks the next that has offered, else searches on.
    fn next(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        if self.offers.is_empty() {
            self.search(now, deeds);
        } else {
            let offer = self.offers.remove(0);
            self.ask(now, offer, 0, deeds);
        }
    }

    fn ask(&mut self, now: Instant, offer: Offer, asked: u32, deeds: &mut Vec<Deed>) {
        deeds.push(Deed::Send(offer.from, self.packet(PADR, Some(&offer))));
        self.deadline = now + Duration::from_secs(1) * (asked + 1);
        self.asked = Some((offer, asked + 1));
    }

    /// A packet of a concentrator.
    pub fn receive(&mut self, now: Instant, from: Mac, packet: &Discovery<'_>, deeds: &mut Vec<Deed>) {
        match packet.code {
            PADO if self.is_ours(packet) => self.offered(now, from, packet, deeds),
            PADS if self.is_ours(packet) => self.granted(now, from, packet, deeds),
            _ => {}
        }
    }

    fn offered(&mut self, now: Instant, from: Mac, packet: &Discovery<'_>, deeds: &mut Vec<Deed>) {
        let name = text(packet.tag(tag::AC_NAME).unwrap_or_default());
        let name = if name.is_empty() { from.to_string() } else { name };
        if let Some(error) = refusal(packet) {
            deeds.push(Deed::Say(format!("{name} offers nothing: {error}")));
            return;
        }
        let wanted = self.settings.ac_name.as_str();
        if !wanted.is_empty() && packet.tag(tag::AC_NAME) != Some(wanted.as_bytes()) {
            deeds.push(Deed::Say(format!("{name} has answered, but {wanted:?} is wanted")));
            return;
        }
        let service = self.settings.service.as_bytes();
        if !service.is_empty() && packet.tags().all(|found| found != (tag::SERVICE, service)) {
            deeds.push(Deed::Say(format!("{name} has no service {:?}", self.settings.service)));
            return;
        }
        let known = |offer: &Offer| offer.from == from;
        let asked = self.asked.as_ref().is_some_and(|(offer, _)| known(offer));
        if asked || self.offers.iter().any(known) || self.offers.len() >= MOST_OFFERS {
            return;
        }
        let value = |kind| packet.tag(kind).map(<[u8]>::to_vec);
        let offer = Offer { from, name, cookie: value(tag::AC_COOKIE), relay: value(tag::RELAY), at: now };
        // One that has failed us waits for the next search to end: another may answer until then.
        if self.asked.is_some() || self.avoided == Some(from) {
            self.offers.push(offer);
        } else {
            self.ask(now, offer, 0, deeds);
        }
    }

    fn granted(&mut self, now: Instant, from: Mac, packet: &Discovery<'_>, deeds: &mut Vec<Deed>) {
        let Some((offer, asked)) = self.asked.take_if(|(offer, _)| offer.from == from) else { return };
        let error = refusal(packet).or((packet.session == 0).then(|| "a session without a number".into()));
        if let Some(error) = error {
            let words = format!("{} gives no session: {error}", offer.name);
            if self.offers.is_empty() {
                self.asked = Some((offer, asked));
                deeds.push(Deed::Over(words));
            } else {
                deeds.push(Deed::Say(words));
                self.next(now, deeds);
            }
            return;
        }
        // Larger packets only where both have said so (RFC 4638, section 3).
        let large = packet.tag(tag::MAX_PAYLOAD).and_then(|value| Some(u16::from_be_bytes(*value.first_chunk()?)));
        let usual = u16::try_from(PPPOE_MTU).unwrap_or_default();
        let payload = large.unwrap_or(usual).max(usual).min(self.payload);
        let Offer { name, at, .. } = offer;
        deeds.push(Deed::Session(Granted { from, name, session: packet.session, payload, offered: at }));
    }
}

/// What a concentrator says is wrong.
fn refusal(packet: &Discovery<'_>) -> Option<String> {
    let (kind, value) =
        packet.tags().find(|(kind, _)| [tag::SERVICE_ERROR, tag::SYSTEM_ERROR, tag::GENERIC_ERROR].contains(kind))?;
    let kind = match kind {
        tag::SERVICE_ERROR => "it has no such service",
        tag::SYSTEM_ERROR => "it has a trouble of its own",
        _ => "an error",
    };
    let words = text(value);
    Some(if words.is_empty() { kind.to_owned() } else { format!("{kind} ({words})") })
}

/// What a PADT says of itself.
pub fn farewell(packet: &Discovery<'_>) -> String {
    refusal(packet).map_or_else(String::new, |words| format!(": {words}"))
}

/// Ends a session.
pub fn padt(session: u16) -> Vec<u8> {
    emit(PADT, session, &[])
}
