//! What clients, upstreams and a damaged disk may say, for `fuzz/`. What clients get is read by `domain`, another hand.
use super::engine::forward::Group;
use super::engine::local::Host;
use super::engine::validate::{self, Rules, anchors};
use super::engine::{Action, Attempt, Client, Engine, Settings};
use super::streams;
use crate::hostile::{Script, pass};
use crate::perm::upstream::Upstream;
use domain::base::message::Message;
use netstack::time::Instant;
use std::collections::VecDeque;
use std::net::IpAddr;

fn world(dnssec: bool) -> (Engine, Instant) {
    let mut number = 0u64;
    let random = Box::new(move || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        number >> 20
    });
    let now = Instant::from_secs(1_000);
    let mut engine = Engine::new(1 << 16, random);
    let server = |text: &str| Upstream::parse(text).ok().and_then(|upstream| upstream.server().cloned());
    let servers = ["10.0.0.1", "10.0.0.2"].into_iter().filter_map(server).collect();
    let host =
        Host { name: "xps".into(), addresses: vec![IpAddr::from([192, 168, 42, 4])], bare: true, ..Host::default() };
    let settings = Settings {
        groups: vec![Group { domain: Box::new([0]), servers, aside: false }],
        hosts: vec![host],
        dnssec: dnssec.then(|| Rules { anchors: anchors::built_in(), exempt: Vec::new(), wall: None }),
        ..Settings::default()
    };
    engine.configure(now, &settings);
    (engine, now)
}

/// What we send is well-formed, has the question's id, and fits.
fn judge(message: &[u8], most: usize) {
    assert!(message.len() <= most, "{} bytes where {most} are taken", message.len());
    let Ok(answer) = Message::from_octets(message) else {
        assert!(message.len() >= 12, "an answer without a head");
        return;
    };
    assert!(answer.header().qr());
    for section in [answer.answer(), answer.authority(), answer.additional()] {
        assert!(section.is_ok_and(|mut section| section.all(|record| record.is_ok())), "a record that nobody can read");
    }
}

fn clients() -> [Client; 2] {
    let tcp = Client::Tcp { stream: 5, peer: IpAddr::from([192, 168, 42, 7]) };
    [Client::Udp { listener: 1, peer: ([192, 168, 42, 7], 4_000).into() }, tcp]
}

/// One question, by UDP and by TCP.
pub fn query(bytes: &[u8]) {
    for (client, most) in clients().into_iter().zip([1_232, 65_535]) {
        let (mut engine, now) = world(false);
        let mut out = Vec::new();
        if engine.query(now, client, bytes, &mut out) {
            assert!(bytes.get(..2) == out.get(..2), "another's id");
            judge(&out, most);
        }
    }
}

/// Questions on one TCP connection.
pub fn stream(bytes: &[u8]) {
    let (mut engine, now) = world(false);
    let [_, client] = clients();
    let mut rest = bytes;
    while let Some(Some(length)) = streams::whole(rest) {
        let Some((message, behind)) = rest.get(2..).and_then(|rest| rest.split_at_checked(length)) else { break };
        let mut out = Vec::new();
        if engine.query(now, client, message, &mut out) {
            judge(&out, 65_535);
        }
        rest = behind;
    }
}

/// A resolver's days: questions, replies that have the id and the question that was asked, others, and failures.
pub fn engine(bytes: &[u8]) {
    let dnssec = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let (mut engine, mut now) = world(dnssec);
    let mut asked: VecDeque<(Attempt, Vec<u8>)> = VecDeque::new();
    let mut note = |engine: &mut Engine, done: Option<usize>| -> Option<(Attempt, Vec<u8>)> {
        let mut actions = Vec::new();
        engine.take_actions(&mut actions);
        for action in actions {
            match action {
                Action::Answer(client, message) => {
                    judge(&message, if matches!(client, Client::Udp { .. }) { 1_232 } else { 65_535 });
                }
                Action::Ask { attempt, message, .. } => asked.push_back((attempt, message)),
                Action::Close(attempt) => asked.retain(|(open, _)| *open != attempt),
            }
        }
        while asked.len() > 64 {
            asked.pop_front();
        }
        let at = done?.checked_rem(asked.len())?;
        asked.remove(at)
    };
    for step in Script(bytes).steps() {
        pass(&mut now, step.wait, |due| {
            if let Some(due) = due {
                engine.tick(due);
                note(&mut engine, None);
            }
            engine.deadline()
        });
        let which = usize::from(step.what >> 3 & 7);
        match step.what & 7 {
            0 | 1 => {
                let mut out = Vec::new();
                let tcp = usize::from(step.what & 1);
                if engine.query(now, clients()[tcp], step.bytes, &mut out) {
                    judge(&out, [1_232, 65_535][tcp]);
                }
            }
            2 => {
                if let Some((attempt, _)) = note(&mut engine, Some(which)) {
                    engine.failed(now, attempt);
                }
            }
            3 => engine.rewire(now),
            what => {
                let Some((attempt, question)) = note(&mut engine, Some(which)) else { continue };
                let mut reply = step.bytes.to_vec();
                if what < 7 {
                    answer_to(&question, &mut reply);
                }
                engine.reply(now, attempt, &reply);
            }
        }
        note(&mut engine, None);
    }
}

/// Makes it a reply to a question: its id, its spelling. The question's end is where the reply's is, if it has one.
fn answer_to(question: &[u8], reply: &mut Vec<u8>) {
    let end = |message: &[u8]| {
        let mut at = 12;
        while let Some(length @ 1..64) = message.get(at) {
            at += 1 + usize::from(*length);
        }
        at + 5
    };
    let (ours, theirs) = (end(question), end(reply));
    if reply.len() >= theirs && question.len() >= ours {
        reply.splice(12..theirs, question[12..ours].iter().copied());
        reply[..2].copy_from_slice(&question[..2]);
        reply[2] |= 0x80;
        reply[4..6].copy_from_slice(&[0, 1]);
    }
}

/// What proves an answer, record by record.
pub fn proofs(bytes: &[u8]) {
    validate::met(bytes);
    let _ = anchors::parse(std::path::Path::new("root.key"), bytes);
}

/// A cache that was kept over a restart.
pub fn kept(bytes: &[u8]) {
    let (mut engine, now) = world(false);
    let count = engine.restore(now, bytes, 60);
    // Who damages it as carefully as that writes the sum anew.
    let summed = [bytes, &super::engine::kept::sum(bytes).to_be_bytes()].concat();
    assert!(count + engine.restore(now, &summed, 60) <= bytes.len());
    for client in clients() {
        let mut out = Vec::new();
        let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01x\x03com\0\0\x01\0\x01";
        if engine.query(now, client, question, &mut out) {
            judge(&out, 65_535);
        }
    }
}
