//! Scenarios: clients, upstreams and minutes against the engine. Every message is read and written here by `domain`,
//! so that it judges our own codec.
mod asking;
mod blocking;
mod dnssec;
mod guarding;
mod hits;
mod keeping;
mod names;
mod rubbish;
mod secure;
mod signed;

use super::engine::forward::Group;
use super::engine::local::Host;
use super::engine::{Action, Attempt, Client, Engine, Settings, Transport, name};
use crate::perm::upstream::{Server, Upstream};
use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::message::Message;
use domain::base::message_builder::{AnswerBuilder, AuthorityBuilder, MessageBuilder, StaticCompressor};
use domain::base::{Name, ParsedName, Serial, Ttl};
use domain::dep::octseq::OctetsBuilder;
use domain::rdata::{A, AllRecordData, Soa};
use netstack::time::Instant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

type Answer = Message<Vec<u8>>;
/// Names are compressed, as real servers do.
type Buffer = StaticCompressor<Vec<u8>>;

/// A question that reached an upstream.
struct Asked {
    attempt: Attempt,
    to: Server,
    transport: Transport,
    message: Message<Vec<u8>>,
}

/// The engine and its world.
struct World {
    engine: Engine,
    now: Instant,
    asked: Vec<Asked>,
    closed: Vec<Attempt>,
    answers: Vec<(Client, Answer)>,
    last_id: u16,
}

/// A query as a test writes it.
#[derive(Clone)]
struct Ask {
    name: String,
    rtype: Rtype,
    edns: Option<u16>,
    dnssec_ok: bool,
    recursion: bool,
    client: Client,
}

fn ask(name: &str, rtype: Rtype) -> Ask {
    let peer = "192.168.42.7:4000".parse().unwrap();
    let client = Client::Udp { listener: 1, peer };
    Ask { name: name.into(), rtype, edns: Some(1232), dnssec_ok: false, recursion: true, client }
}

impl Ask {
    fn from(mut self, last: u8, port: u16) -> Ask {
        self.client =
            Client::Udp { listener: 1, peer: SocketAddr::new(Ipv4Addr::new(192, 168, 42, last).into(), port) };
        self
    }

    fn tcp(mut self) -> Ask {
        self.client = Client::Tcp { stream: 5, peer: IpAddr::V4(Ipv4Addr::new(192, 168, 42, 7)) };
        self
    }

    fn edns(mut self, size: Option<u16>) -> Ask {
        self.edns = size;
        self
    }

    fn message(&self, id: u16) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec().question();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(self.recursion);
        builder.push((self.name.parse::<Name<Vec<u8>>>().unwrap(), self.rtype)).unwrap();
        let mut builder = builder.additional();
        if let Some(size) = self.edns {
            let write = builder.opt(|opt| {
                opt.set_udp_payload_size(size);
                opt.set_dnssec_ok(self.dnssec_ok);
                Ok(())
            });
            write.unwrap();
        }
        builder.finish()
    }
}

impl World {
    fn new(upstreams: &[&str]) -> World {
        let mut number = 0u64;
        let random = Box::new(move || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            number >> 20
        });
        let (engine, now) = (Engine::new(1 << 20, random), Instant::from_secs(1_000));
        let mut world = World { engine, now, asked: vec![], closed: vec![], answers: vec![], last_id: 0 };
        world.configure(upstreams, &[]);
        world
    }

    /// Two upstreams, of which it is known that the first replies after 20 ms and the second after 30.
    fn with_two() -> World {
        let mut world = World::new(&["10.0.0.1", "10.0.0.2"]);
        for (at, wait) in [(0, 20), (2, 30)] {
            assert!(world.query(&ask(&format!("n{at}.com"), Rtype::A)).is_none());
            world.pass(Duration::from_millis(wait));
            world.reply_to(at, Rcode::NOERROR, |records| a(records, 0, 1));
        }
        assert_eq!(world.asked.len(), 3);
        (world.asked, world.closed, world.answers) = (vec![], vec![], vec![]);
        world
    }

    fn configure(&mut self, upstreams: &[&str], hosts: &[(&str, u8, Option<u64>)]) {
        let hosts = hosts.iter().map(|(name, last, until)| Host {
            name: (*name).into(),
            addresses: vec![IpAddr::from([192, 168, 42, *last])],
            until: until.map(Instant::from_secs),
            bare: true,
            ..Host::default()
        });
        self.settings(Settings { groups: vec![group("", upstreams)], hosts: hosts.collect(), ..Settings::default() });
    }

    fn settings(&mut self, settings: Settings) {
        self.engine.configure(self.now, &settings);
        self.collect();
    }

    /// Sends a query; its answer, when it comes at once.
    fn query(&mut self, ask: &Ask) -> Option<Answer> {
        self.last_id = self.last_id.wrapping_add(1);
        let mut out = Vec::new();
        let at_once = self.engine.query(self.now, ask.client, &ask.message(self.last_id), &mut out);
        self.collect();
        at_once.then(|| read(out, self.last_id))
    }

    fn collect(&mut self) {
        let mut actions = Vec::new();
        self.engine.take_actions(&mut actions);
        for action in actions {
            match action {
                Action::Answer(client, message) => {
                    self.answers.push((client, Message::from_octets(message).unwrap()));
                }
                Action::Ask { attempt, to, transport, message, .. } => {
                    let message = Message::from_octets(message).unwrap();
                    self.asked.push(Asked { attempt, to, transport, message });
                }
                Action::Close(attempt) => self.closed.push(attempt),
            }
        }
    }

    /// The last question that an upstream got.
    fn last(&self) -> &Asked {
        self.asked.last().unwrap()
    }

    /// Has the last asked upstream reply.
    fn reply(&mut self, rcode: Rcode, records: impl Fn(&mut AnswerBuilder<Buffer>)) {
        let at = self.asked.len() - 1;
        self.reply_to(at, rcode, records);
    }

    fn reply_to(&mut self, at: usize, rcode: Rcode, records: impl Fn(&mut AnswerBuilder<Buffer>)) {
        let message = answer_to(&self.asked[at].message, rcode, records);
        self.raw(at, &message);
    }

    fn raw(&mut self, at: usize, message: &[u8]) {
        let attempt = self.asked[at].attempt;
        self.engine.reply(self.now, attempt, message);
        self.collect();
    }

    fn raw_to(&mut self, asked: &Asked, message: &[u8]) {
        self.engine.reply(self.now, asked.attempt, message);
        self.collect();
    }

    /// Has the last asked upstream reply that there is nothing, with an SOA.
    fn reply_nothing(&mut self, rcode: Rcode, ttl: u32, minimum: u32) {
        let mut authority = builder_for(&self.last().message, rcode).authority();
        push_soa(&mut authority, ttl, minimum);
        let at = self.asked.len() - 1;
        self.raw(at, &authority.finish().into_target());
    }

    fn fail(&mut self, at: usize) {
        let attempt = self.asked[at].attempt;
        self.engine.failed(self.now, attempt);
        self.collect();
    }

    /// Lets time pass, as the event loop would: from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.engine.tick(self.now);
            self.collect();
        }
        self.now = end;
    }

    fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// The one answer that has come late.
    fn late(&mut self) -> Answer {
        assert_eq!(self.answers.len(), 1, "late answers");
        self.answers.remove(0).1
    }

    /// Asks and answers, so that it is kept.
    fn fill(&mut self, name: &str, ttl: u32) {
        assert!(self.query(&ask(name, Rtype::A)).is_none(), "{name} is known");
        self.reply(Rcode::NOERROR, |records| a(records, ttl, 1));
        self.late();
    }
}

/// Servers for a domain; empty = for everything.
fn group(domain: &str, servers: &[&str]) -> Group {
    let domain = if domain.is_empty() { Box::new([0]) } else { name::from_text(domain).unwrap() };
    let server = |text: &&str| match Upstream::parse(text).unwrap() {
        Upstream::At(server) => server,
        Upstream::Named { .. } => panic!("{text} has no address"),
    };
    Group { domain, servers: servers.iter().map(server).collect(), aside: false }
}

fn read(out: Vec<u8>, id: u16) -> Answer {
    let message = Message::from_octets(out).unwrap();
    assert_eq!(message.header().id(), id);
    assert!(message.header().qr() && message.header().ra());
    message
}

fn builder_for(query: &Message<Vec<u8>>, rcode: Rcode) -> AnswerBuilder<Buffer> {
    let builder = MessageBuilder::from_target(StaticCompressor::new(Vec::new())).unwrap();
    let mut builder = builder.start_answer(query, rcode).unwrap();
    builder.header_mut().set_ra(true);
    builder
}

fn answer_to(query: &Message<Vec<u8>>, rcode: Rcode, records: impl Fn(&mut AnswerBuilder<Buffer>)) -> Vec<u8> {
    let mut builder = builder_for(query, rcode);
    records(&mut builder);
    let mut builder = builder.additional();
    // As real ones do: an OPT of their own, with an option.
    builder.opt(|opt| opt.push_raw_option(65_001.into(), 2, |target| target.append_slice(b"hi"))).unwrap();
    builder.finish().into_target()
}

/// The name of the question, as owner of a record.
fn owner(builder: &AnswerBuilder<Buffer>) -> Name<Vec<u8>> {
    use domain::base::ToName;
    builder.as_message().sole_question().unwrap().qname().to_name()
}

/// Pushes an A record of 198.51.100.`last`.
fn a(builder: &mut AnswerBuilder<Buffer>, ttl: u32, last: u8) {
    let name = owner(builder);
    builder.push((name, Class::IN, Ttl::from_secs(ttl), A::from_octets(198, 51, 100, last))).unwrap();
}

fn push_soa(builder: &mut AuthorityBuilder<Buffer>, ttl: u32, minimum: u32) {
    let zone: Name<Vec<u8>> = "com".parse().unwrap();
    let seconds = Ttl::from_secs;
    let soa = Soa::new(zone.clone(), zone.clone(), Serial(7), seconds(1), seconds(2), seconds(3), seconds(minimum));
    builder.push((zone, Class::IN, seconds(ttl), soa)).unwrap();
}

/// Every record of an answer but OPT as `owner TTL data`, by section.
fn records(message: &Answer) -> [Vec<String>; 3] {
    let (_, answer, authority, additional) = message.sections().unwrap();
    [answer, authority, additional].map(|section| {
        let records = section.into_records::<AllRecordData<_, ParsedName<_>>>().map(Result::unwrap);
        let records = records.filter(|record| record.rtype() != Rtype::OPT);
        records.map(|record| format!("{} {} {}", record.owner(), record.ttl().as_secs(), record.data())).collect()
    })
}

/// The addresses of an answer, as last byte and TTL.
fn addresses(message: &Answer) -> Vec<(u8, u32)> {
    let answer = message.answer().unwrap().limit_to::<A>().map(Result::unwrap);
    answer.map(|record| (record.data().addr().octets()[3], record.ttl().as_secs())).collect()
}

fn rcode(message: &Answer) -> Rcode {
    message.header().rcode()
}
