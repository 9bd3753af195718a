//! The answer to a machine of the LAN (RFC 5905, section 9.2).
use super::{Engine, SECOND};
use netstack::time::Instant;
use netstack::wire::ntp::{CLIENT, LENGTH, Packet, SERVER, Timestamp, UNSYNCHRONISED};
use std::net::IpAddr;

/// What a clock runs wrong in a second when nobody corrects it, in nanoseconds.
const DRIFT: i64 = 15_000;
/// With more error than this the time is no longer offered.
const WORST: i64 = SECOND;

impl Engine {
    /// The answer to a question that came at `came` and leaves at `left`, nanoseconds since 1970; `None` when it is no
    /// question of a client. It is never longer than the question.
    pub fn answer(&self, now: Instant, question: &[u8], came: i64, left: i64) -> Option<[u8; LENGTH]> {
        let question = Packet::parse(question)?;
        if question.mode != CLIENT || !(1..=4).contains(&question.version) {
            return None;
        }
        let blank = Packet {
            version: question.version,
            mode: SERVER,
            poll: question.poll,
            // A microsecond.
            precision: -20,
            origin: question.transmit,
            receive: Timestamp::from_nanos(came),
            transmit: Timestamp::from_nanos(left),
            ..Packet::default()
        };
        let wrong = self.last.map(|last| last.error.saturating_add(now.since(last.at).as_secs() as i64 * DRIFT));
        let known = self.last.zip(self.leader).zip(wrong.filter(|wrong| *wrong < WORST));
        let told = self.leading().map(|source| source.told).unwrap_or_default();
        let packet = match known {
            Some(((last, leader), wrong)) => Packet {
                leap: told.leap,
                stratum: told.stratum.saturating_add(1).min(15),
                root_delay: told.root_delay,
                root_dispersion: u32::try_from((wrong << 16) / SECOND).unwrap_or(u32::MAX),
                reference_id: identity(leader.ip()),
                reference: Timestamp::from_nanos(last.wall),
                ..blank
            },
            None => Packet { leap: UNSYNCHRONISED, reference_id: *b"INIT", ..blank },
        };
        Some(packet.emit())
    }
}

/// Only to find circles by: an IPv6 address is folded.
fn identity(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => {
            let fold = |sum: u32, half: &u16| sum.rotate_left(5) ^ u32::from(*half);
            ip.segments().iter().fold(0, fold).to_be_bytes()
        }
    }
}
