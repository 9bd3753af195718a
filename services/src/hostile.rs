//! What strangers may say to a service, as functions of bytes: `fuzz/` throws bytes at them, and each is to come back,
//! without a panic and in bounded time and memory. Compiled for `fuzz/` only.
//!
//! What belongs to one service stands in its own `hostile.rs`; here is what services share, and the table.
mod files;

use crate::{
    captured, console, deviced, dhcp4, dhcp4d, dhcp6, diagd, dnsd, dyndns, listd, mend, ntpd, pppoe, radvd, web, webd,
};
use netstack::time::Instant;
use std::time::Duration;

/// A name and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the services. Those called `..._engine` read a [`Script`].
pub const TARGETS: &[Target] = &[
    ("dhcp4_message", dhcp4::hostile::message),
    ("dhcp4_engine", dhcp4::hostile::engine),
    ("dhcp4d_message", dhcp4d::hostile::message),
    ("dhcp4d_engine", dhcp4d::hostile::engine),
    ("dhcp4d_log", dhcp4d::hostile::log),
    ("dhcp6_message", dhcp6::hostile::message),
    ("dhcp6_engine", dhcp6::hostile::engine),
    ("radvd_engine", radvd::hostile::engine),
    ("pppoe_engine", pppoe::hostile::engine),
    ("dns_query", dnsd::hostile::query),
    ("dns_stream", dnsd::hostile::stream),
    ("dns_engine", dnsd::hostile::engine),
    ("dns_proofs", dnsd::hostile::proofs),
    ("dns_kept", dnsd::hostile::kept),
    ("dns_answers", answers),
    ("dns_update", dyndns::hostile::update),
    ("ntp_engine", ntpd::hostile::engine),
    ("http_request", web::hostile::request),
    ("http_route", webd::hostile::route),
    ("http_answer", http_answer),
    ("ssh", captured::hostile::ssh),
    ("mqtt", deviced::hostile::mqtt),
    ("console", console::hostile::console),
    ("json_written", files::written),
    ("json_kept", files::kept),
    ("json_asked", files::asked),
    ("blocklist", files::blocklist),
    ("update", files::update),
    ("backup", files::backup),
    ("mended", mend::hostile::stream),
];

/// A course of events, out of any bytes: each is a byte that says what, one for how long is waited before, two for the
/// length of what comes (the lower first), and that.
#[derive(Debug)]
pub struct Script<'a>(pub &'a [u8]);

/// One event of a [`Script`].
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What happens.
    pub what: u8,
    /// How long before.
    pub wait: Duration,
    /// What comes.
    pub bytes: &'a [u8],
}

/// A script has no more steps.
const MOST: usize = 64;

impl<'a> Script<'a> {
    /// Its steps.
    pub fn steps(self) -> impl Iterator<Item = Step<'a>> {
        let mut rest = self.0;
        let next = move || {
            let (&[what, wait, low, high], behind) = rest.split_first_chunk()?;
            let (bytes, behind) = behind.split_at(usize::from(u16::from_le_bytes([low, high])).min(behind.len()));
            rest = behind;
            // From a millisecond to six days, most of them short.
            let wait = Duration::from_millis(u64::from(wait).pow(4) / 8);
            Some(Step { what, wait, bytes })
        };
        std::iter::from_fn(next).take(MOST)
    }
}

/// Lets time pass from timer to timer.
pub fn pass(now: &mut Instant, wait: Duration, mut deadline: impl FnMut(Option<Instant>) -> Option<Instant>) {
    let (end, mut turns, mut at_once) = (*now + wait, 0u32, 0);
    let mut next = deadline(None);
    while let Some(at) = next.filter(|at| *at <= end) {
        // Whoever is to be called over and over again at the same instant would hold the processor for ever.
        at_once = if at <= *now { at_once + 1 } else { 0 };
        assert!(at_once < 300, "a timer that never rests");
        turns += 1;
        if turns > 20_000 {
            break;
        }
        *now = at.max(*now);
        next = deadline(Some(*now));
    }
    *now = end;
}

/// Answers of name servers, to whoever asks one question.
fn answers(bytes: &[u8]) {
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    for ipv6 in [false, true] {
        let _ = crate::house::asking::addresses(bytes, id, ipv6);
        diagd::hostile::answer(bytes, id, ipv6);
    }
}

/// Answers of web servers.
fn http_answer(bytes: &[u8]) {
    dyndns::hostile::http(bytes);
    listd::hostile::http(bytes);
    diagd::hostile::page(bytes);
}
