//! What a server may say, for `fuzz/`.
use super::engine::{Action, Engine, Event};
use super::message::Answer;
use super::wishes::Wishes;
use crate::hostile::{Script, pass};
use crate::house::random::Random;
use crate::perm::Mac;
use netstack::time::Instant;
use std::net::Ipv4Addr;
use std::time::Duration;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 7]);

/// One message, and the frame around it.
pub fn message(bytes: &[u8]) {
    let _ = Answer::parse(bytes);
    let _ = netstack::wire::arp::sender(bytes);
    if let Some(datagram) = netstack::wire::ipv4udp::parse(bytes, true) {
        let _ = Answer::parse(datagram.payload);
    }
}

/// A client's days: messages that answer its own, others, a cable that comes and goes.
pub fn engine(bytes: &[u8]) {
    let mut now = Instant::from_secs(1_000);
    let mut engine = Engine::new(now, Wishes::defaults("weir"), None, Random::from_seed(1));
    let (mut xid, mut sent, mut count) = ([0; 4], 0u32, 0u64);
    let mut note = |actions: Vec<Action>| {
        for action in actions {
            if let Action::Broadcast { message, .. } | Action::Unicast { message, .. } = action {
                sent += 1;
                xid = message.get(4..8).and_then(|xid| xid.try_into().ok()).unwrap_or(xid);
            }
        }
        (xid, sent)
    };
    note(engine.handle(now, Event::Link(Some(MAC))));
    let start = now;
    for step in Script(bytes).steps() {
        pass(&mut now, step.wait, |due| {
            due.map(|due| note(engine.handle(due, Event::Timeout)));
            engine.deadline()
        });
        let (xid, _) = note(Vec::new());
        let event = match step.what % 16 {
            0 => Event::Link(step.bytes.first().map(|_| MAC)),
            1 => Event::Claimed(Mac([2, 0, 0, 0, 0, 9]), address(step.bytes)),
            2 => Event::Release,
            3 => Event::Rest(!step.bytes.is_empty()),
            4 => Event::Spoof(step.bytes.first().map(|last| Mac([2, 0, 0, 0, 1, *last]))),
            _ => {
                let mut message = step.bytes.to_vec();
                // Else it would have to be guessed which message it answers.
                if let Some(place) = message.get_mut(4..8).filter(|_| step.what & 0x10 == 0) {
                    place.copy_from_slice(&xid);
                }
                if let Some(place) = message.get_mut(28..34).filter(|_| step.what & 0x20 == 0) {
                    place.copy_from_slice(&MAC.0);
                }
                count += 1;
                let Some(answer) = Answer::parse(&message) else { continue };
                note(engine.handle(now, Event::Received(&answer)));
                continue;
            }
        };
        count += 1;
        note(engine.handle(now, event));
    }
    // What a stranger says costs a few messages each; time by itself one in a few seconds.
    let (_, sent) = note(Vec::new());
    let passed = (now - start).max(Duration::ZERO).as_secs();
    assert!(u64::from(sent) <= passed + 16 * (count + 2), "{sent} messages in {passed} s after {count} events");
}

fn address(bytes: &[u8]) -> Ipv4Addr {
    bytes.first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |ip| Ipv4Addr::from(*ip))
}
