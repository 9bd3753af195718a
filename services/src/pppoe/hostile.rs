//! What a concentrator may say, for `fuzz/`.
use super::engine::{Action, Engine, Event, Line, Settings};
use crate::hostile::{Script, pass};
use crate::house::random::Random;
use crate::perm::Mac;
use netstack::time::Instant;
use netstack::wire::ppp::{CHAP, IPCP, IPV6CP, LCP, PAP};
use netstack::wire::pppoe::{Discovery, tag};

/// Sessions sought, found, spoken for and lost.
pub fn engine(bytes: &[u8]) {
    let _ = Discovery::parse(bytes).map(|packet| packet.tags().count());
    let _ = netstack::wire::ppp::Control::parse(bytes).map(|packet| packet.options());
    let mut now = Instant::from_secs(100);
    let mut engine = Engine::new(None, Random::from_seed(1));
    let settings = Settings {
        username: "us@isp".into(),
        password: "secret".into(),
        service: String::new(),
        ac_name: String::new(),
        mtu: 1492,
    };
    let line = Line { mac: Mac([2, 0, 0, 0, 0, 7]), mtu: 1500 };
    let mut mark = Vec::new();
    let mut note = |actions: Vec<Action>| {
        assert!(actions.len() < 24, "{} actions for one event", actions.len());
        for action in actions {
            if let Action::Discover(_, packet) = action
                && let Some(found) = Discovery::parse(&packet).and_then(|packet| packet.tag(tag::HOST_UNIQ))
            {
                mark = found.to_vec();
            }
        }
        mark.clone()
    };
    note(engine.handle(now, Event::Settings(Some(settings))));
    note(engine.handle(now, Event::Line(Some(line))));
    for step in Script(bytes).steps() {
        pass(&mut now, step.wait, |due| {
            due.map(|due| note(engine.handle(due, Event::Timeout)));
            engine.deadline()
        });
        let actions = match step.what % 16 {
            0 => engine.handle(now, Event::Line(step.bytes.first().map(|_| line))),
            1 => engine.handle(now, Event::Lost("gone".into())),
            2 => engine.handle(now, Event::Redial),
            3..8 => {
                // Behind the header: a mark that is ours, else nobody would be meant.
                let mut packet = step.bytes.to_vec();
                let mark = note(Vec::new());
                if step.what & 0x10 == 0 && packet.len() >= 6 {
                    let ours = [&tag::HOST_UNIQ.to_be_bytes()[..], &(mark.len() as u16).to_be_bytes(), &mark].concat();
                    packet.splice(6..6, ours);
                    let length = u16::try_from(packet.len() - 6).unwrap_or(u16::MAX).to_be_bytes();
                    packet[4..6].copy_from_slice(&length);
                }
                let Some(packet) = Discovery::parse(&packet) else { continue };
                engine.handle(now, Event::Discovery(Mac([2, 0, 0, 0, 0xac, 1]), packet))
            }
            what => {
                let protocol = [LCP, PAP, CHAP, IPCP, IPV6CP, LCP, IPCP, 0x8021][usize::from(what - 8)];
                engine.handle(now, Event::Control(protocol, step.bytes))
            }
        };
        note(actions);
    }
}
