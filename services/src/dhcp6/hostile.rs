//! What a server may say, for `fuzz/`.
use super::config::Wishes;
use super::engine::{Action, Advertised, Bindings, Engine, Event, Identity};
use super::message::Answer;
use crate::hostile::{Script, pass};
use crate::house::random::Random;
use netstack::time::Instant;

const DUID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 7];

/// One message.
pub fn message(bytes: &[u8]) {
    let _ = Answer::parse(bytes);
}

/// A client's days: messages that answer its own, others, a link that comes and goes, routers that change their minds.
pub fn engine(bytes: &[u8]) {
    let mut now = Instant::from_secs(10);
    let mut engine = Engine::new(now, Bindings::default(), Random::from_seed(4));
    let (mut xid, mut sent, mut count) = ([0; 3], 0u64, 0u64);
    let mut note = |actions: Vec<Action>| {
        for action in actions {
            if let Action::Send(message) = action {
                sent += 1;
                xid = message.get(1..4).and_then(|xid| xid.try_into().ok()).unwrap_or(xid);
            }
        }
        (xid, sent)
    };
    let identity = |duid: &[u8]| Identity { duid: duid.to_vec(), iaid: 7 };
    note(engine.handle(now, Event::Configured(identity(&DUID), Wishes::default())));
    note(engine.handle(now, Event::Link(true)));
    let start = now;
    for step in Script(bytes).steps() {
        pass(&mut now, step.wait, |due| {
            due.map(|due| note(engine.handle(due, Event::Timeout)));
            engine.deadline()
        });
        count += 1;
        let flag = |bit: u8| step.bytes.first().is_some_and(|first| first & bit != 0);
        let event = match step.what % 16 {
            0 => Event::Link(flag(1)),
            1 => Event::Advertised(Advertised { router: flag(1), managed: flag(2), other_config: flag(4) }),
            2 => Event::Release,
            3 => Event::Rest(flag(1)),
            _ => {
                let mut message = step.bytes.to_vec();
                let (xid, _) = note(Vec::new());
                if let Some(place) = message.get_mut(1..4).filter(|_| step.what & 0x10 == 0) {
                    place.copy_from_slice(&xid);
                }
                let Some(answer) = Answer::parse(&message) else { continue };
                if step.what & 0x20 == 0 {
                    // It is for whoever it says.
                    note(engine.handle(now, Event::Configured(identity(&answer.client), Wishes::default())));
                }
                note(engine.handle(now, Event::Received(&answer)));
                continue;
            }
        };
        note(engine.handle(now, event));
    }
    let (_, sent) = note(Vec::new());
    let passed = (now - start).as_secs();
    assert!(sent <= passed + 16 * (count + 8), "{sent} messages in {passed} s after {count} events");
}
