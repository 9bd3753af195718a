//! What the router forwards, counted by its connections, so that what the flowtable carries past the ruleset counts as
//! well: in all, and for each device at home.
//!
//! A sum is made of what was counted before, of the connections that have ended since, and of those that stand. Ends of
//! connections can be missed (a restart, a full socket); a sum then goes on from what it was, and never goes back.
use super::places::{Place, Places};
use crate::perm::Mac;
use netstack::conntrack::Flow;
use netstack::nft::Count;
use std::collections::BTreeMap;

/// Devices that are counted each by itself; what others send and receive counts under no address.
const DEVICES: usize = 1_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Everything of a family; `true` = IPv6.
    Family(bool),
    /// What a device has received; `None` = all whose hardware address is not known.
    To(Option<Mac>),
    /// What a device has sent.
    From(Option<Mac>),
}

/// Counts by subject.
pub type Sums = BTreeMap<Subject, Count>;

/// The sums.
#[derive(Debug, Default)]
pub struct Traffic {
    before: Sums,
    ended: Sums,
    standing: Sums,
    /// What was said last; never less is said.
    said: Sums,
    offloaded: u64,
    /// Hardware addresses by address, also of devices that are gone.
    places: Places,
}

fn add(sums: &mut Sums, subject: Subject, count: Count) {
    let sum = sums.entry(subject).or_default();
    sum.packets += count.packets;
    sum.bytes += count.bytes;
}

fn less(count: Count, by: Count) -> Count {
    Count { packets: count.packets.saturating_sub(by.packets), bytes: count.bytes.saturating_sub(by.bytes) }
}

impl Traffic {
    /// Goes on from sums, of which so much belongs to connections that may still stand.
    pub fn new(said: Sums, standing: &Sums) -> Traffic {
        let before = said.iter().map(|(subject, count)| {
            let held = standing.get(subject).copied().unwrap_or_default();
            (*subject, less(*count, held))
        });
        Traffic { before: before.collect(), said, ..Traffic::default() }
    }

    /// Where addresses are from now on. Devices that are gone stay known.
    pub fn place(&mut self, places: Places) {
        self.places.renew(places);
    }

    /// A connection has ended.
    pub fn end(&mut self, flow: &Flow) {
        for (subject, count) in self.parts(flow) {
            add(&mut self.ended, subject, count);
        }
    }

    /// Looks at the connections that stand: `each` hands them in one by one, and what ended meanwhile after them. A
    /// connection that ends while the kernel tells of it counts once.
    pub fn look<E>(
        &mut self,
        each: impl FnOnce(&mut dyn FnMut(&Flow), &mut Vec<Flow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut standing, mut offloaded, mut ids) = (Sums::new(), 0, Vec::new());
        let mut ended = Vec::new();
        let this = &*self;
        each(
            &mut |flow| {
                offloaded += u64::from(flow.offloaded);
                let parts = this.parts(flow);
                if !parts.is_empty() {
                    ids.push(flow.id);
                }
                for (subject, count) in parts {
                    add(&mut standing, subject, count);
                }
            },
            &mut ended,
        )?;
        ids.sort_unstable();
        for flow in &ended {
            self.end(flow);
            if ids.binary_search(&flow.id).is_ok() {
                for (subject, count) in self.parts(flow) {
                    let sum = standing.entry(subject).or_default();
                    *sum = less(*sum, count);
                }
            }
        }
        (self.standing, self.offloaded) = (standing, offloaded);
        self.settle();
        Ok(())
    }

    /// Whom a connection counts for, and with how much. What the router itself says or hears is not forwarded.
    fn parts(&self, flow: &Flow) -> Vec<(Subject, Count)> {
        let (from, to) = (flow.original.source.ip(), flow.reply.source.ip());
        let places = [self.places.of(from), self.places.of(to)];
        let [there, back] = flow.carried;
        let at_home = |place: &Place| matches!(place, Place::Lan(_));
        if places.contains(&Place::Router) || !places.iter().any(at_home) {
            return Vec::new();
        }
        let both = Count { packets: there.packets + back.packets, bytes: there.bytes + back.bytes };
        let mut all = vec![(Subject::Family(from.is_ipv6()), both)];
        if at_home(&places[0]) {
            let device = self.places.mac(from);
            all.extend([(Subject::From(device), there), (Subject::To(device), back)]);
        }
        if at_home(&places[1]) {
            let device = self.places.mac(to);
            all.extend([(Subject::To(device), there), (Subject::From(device), back)]);
        }
        all
    }

    fn sum(&self, subject: &Subject) -> Count {
        let parts = [&self.before, &self.ended, &self.standing];
        parts.iter().filter_map(|sums| sums.get(subject)).fold(Count::default(), |all, count| Count {
            packets: all.packets + count.packets,
            bytes: all.bytes + count.bytes,
        })
    }

    /// What is less than it was had parts whose end was missed.
    fn settle(&mut self) {
        self.forget_some();
        let subjects: Vec<Subject> = [&self.said, &self.before, &self.ended, &self.standing]
            .iter()
            .flat_map(|sums| sums.keys().copied())
            .collect();
        for subject in subjects {
            let said = self.said.get(&subject).copied().unwrap_or_default();
            let missing = less(said, self.sum(&subject));
            add(&mut self.before, subject, missing);
            let sum = self.sum(&subject);
            self.said.insert(subject, sum);
        }
    }

    /// Too many devices: those that have moved least, and have no connection, count with the unknown from now on.
    fn forget_some(&mut self) {
        let known = |subject: &Subject| matches!(subject, Subject::To(Some(_)));
        let mut devices: Vec<(u64, Mac)> = Vec::new();
        for (subject, count) in self.said.iter().filter(|(subject, _)| known(subject)) {
            if let Subject::To(Some(mac)) = subject
                && !self.standing.contains_key(subject)
            {
                devices.push((count.bytes, *mac));
            }
        }
        let all = self.said.keys().chain(self.standing.keys()).filter(|subject| known(subject));
        let many = all.collect::<std::collections::BTreeSet<_>>().len().saturating_sub(DEVICES);
        devices.sort_unstable();
        for (_, mac) in devices.into_iter().take(many) {
            for (subject, rest) in
                [(Subject::To(Some(mac)), Subject::To(None)), (Subject::From(Some(mac)), Subject::From(None))]
            {
                let sum = self.sum(&subject);
                for sums in [&mut self.before, &mut self.ended, &mut self.said] {
                    sums.remove(&subject);
                }
                add(&mut self.before, rest, sum);
            }
        }
    }

    /// The sum of all time, as of the last look.
    pub fn of(&self, subject: Subject) -> Count {
        self.said.get(&subject).copied().unwrap_or_default()
    }

    /// All sums, and what of them belongs to connections that stood at the last look.
    pub fn sums(&self) -> (&Sums, &Sums) {
        (&self.said, &self.standing)
    }

    /// Connections that the flowtable carried at the last look.
    pub fn offloaded(&self) -> u64 {
        self.offloaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netstack::conntrack::Tuple;
    use std::convert::Infallible;

    const PHONE: Mac = Mac([2, 0, 0, 0, 0, 7]);

    fn places() -> Places {
        let route = |net: &str, interface: Option<&str>| (net.parse().unwrap(), interface.map(str::to_owned));
        Places::new(
            [
                route("192.168.42.1/32", None),
                route("203.0.113.9/32", None),
                route("192.168.42.0/24", Some("lan0")),
                route("0.0.0.0/0", Some("uplink0")),
            ],
            [("192.168.42.7".parse().unwrap(), PHONE)],
        )
    }

    fn flow(id: u32, from: &str, to: &str, packets: u64) -> Flow {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let carried = [Count { packets, bytes: packets * 100 }, Count { packets, bytes: packets * 1_000 }];
        let original = Tuple { source: from, destination: to };
        Flow::new(id, 6, original, Tuple { source: to, destination: from }, carried)
    }

    fn look(traffic: &mut Traffic, flows: &[Flow], gone: &[Flow]) {
        let _ = traffic.look(|take, ended| {
            flows.iter().for_each(take);
            ended.extend_from_slice(gone);
            Ok::<(), Infallible>(())
        });
    }

    #[test]
    fn what_stands_and_what_has_ended_is_one_sum() {
        let mut traffic = Traffic::default();
        traffic.place(places());
        let (out, local) = ("192.168.42.7:5", "198.51.100.1:443");
        look(
            &mut traffic,
            &[flow(1, out, local, 5), flow(2, "203.0.113.9:1", local, 9), flow(3, out, "192.168.42.1:53", 9)],
            &[],
        );
        assert_eq!(traffic.of(Subject::Family(false)), Count { packets: 10, bytes: 5_500 });
        assert_eq!(traffic.of(Subject::From(Some(PHONE))), Count { packets: 5, bytes: 500 });
        assert_eq!(traffic.of(Subject::To(Some(PHONE))), Count { packets: 5, bytes: 5_000 });
        // It ends, another begins; one ends while it is being told of.
        traffic.end(&flow(1, out, local, 7));
        look(&mut traffic, &[flow(4, out, local, 1), flow(5, out, local, 2)], &[flow(5, out, local, 2)]);
        assert_eq!(traffic.of(Subject::From(Some(PHONE))).packets, 7 + 1 + 2);
        // From outside to a device at home.
        look(&mut traffic, &[flow(4, out, local, 1), flow(6, "198.51.100.9:9", "192.168.42.7:22", 3)], &[]);
        assert_eq!(traffic.of(Subject::To(Some(PHONE))).packets, 10 + 3);
    }

    #[test]
    fn sums_go_on_and_never_back_whatever_was_missed() {
        let (out, local) = ("192.168.42.7:5", "198.51.100.1:443");
        let mut traffic = Traffic::default();
        traffic.place(places());
        look(&mut traffic, &[flow(1, out, local, 100), flow(2, out, local, 1)], &[]);
        let (said, standing) = traffic.sums();
        // A restart: one has ended unseen, the other has gone on.
        let mut traffic = Traffic::new(said.clone(), standing);
        traffic.place(places());
        look(&mut traffic, &[flow(2, out, local, 3)], &[]);
        assert_eq!(traffic.of(Subject::Family(false)).packets, 202);
        look(&mut traffic, &[flow(2, out, local, 4)], &[]);
        assert_eq!(traffic.of(Subject::Family(false)).packets, 204);
        // A reboot: nothing stands.
        let mut traffic = Traffic::new(traffic.sums().0.clone(), &Sums::new());
        traffic.place(places());
        look(&mut traffic, &[flow(2, out, local, 1)], &[]);
        assert_eq!(traffic.of(Subject::Family(false)).packets, 206);
    }

    #[test]
    fn who_is_gone_stays_known_and_the_number_of_devices_is_bounded() {
        let mut traffic = Traffic::default();
        let route = || {
            [
                ("10.0.0.0/8".parse().unwrap(), Some("lan0".to_owned())),
                ("0.0.0.0/0".parse().unwrap(), Some("uplink0".to_owned())),
            ]
        };
        let ip = |at: u32| std::net::Ipv4Addr::from(0x0a00_0000 + at);
        let mac = |at: u32| {
            let [a, b, c, d] = at.to_be_bytes();
            Mac([2, 0, a, b, c, d])
        };
        for at in 1..=1_500 {
            traffic.place(Places::new(route(), [(ip(at).into(), mac(at))]));
            traffic.end(&flow(at, &format!("{}:9", ip(at)), "198.51.100.1:80", u64::from(at)));
            if at % 100 == 0 {
                look(&mut traffic, &[], &[]);
            }
        }
        traffic.end(&flow(9, &format!("{}:9", ip(1_499)), "198.51.100.1:80", 1));
        look(&mut traffic, &[], &[]);
        assert_eq!(traffic.of(Subject::From(Some(mac(1_499)))).packets, 1_500, "still known");
        assert_eq!(traffic.of(Subject::From(Some(mac(1)))), Count::default());
        let sums = traffic.sums().0;
        assert!(sums.keys().filter(|subject| matches!(subject, Subject::To(_))).count() <= DEVICES + 1);
        let from: u64 = sums
            .iter()
            .filter(|(subject, _)| matches!(subject, Subject::From(_)))
            .map(|(_, count)| count.packets)
            .sum();
        assert_eq!(from, (1..=1_500).sum::<u64>() + 1, "nothing is lost");
    }
}
