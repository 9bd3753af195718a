//! One round of questions, all side by side: what is asked when, what is asked again, and when it is over. No socket and
//! no clock: `(now, outcome) -> asks`.
use super::facts::Tried;
use crate::diagd::config::Portal;
use netstack::time::Instant;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// A round is over after this, whatever has not come.
pub const LIMIT: Duration = Duration::from_millis(2_500);
/// What has not been answered is asked again after this.
const AGAIN: Duration = Duration::from_millis(700);
/// How often an echo or a question is sent.
const TRIES: usize = 3;
/// Hosts to which packets of the uplink's size are sent.
const MOST_BIG: usize = 2;
/// Sizes of IP packets that are tried where the uplink's does not get through: of Ethernet, PPPoE and common tunnels.
const SIZES: [u16; 11] = [1_500, 1_492, 1_480, 1_472, 1_460, 1_440, 1_420, 1_400, 1_380, 1_340, 1_280];
/// Hops of what shall arrive.
pub const HOPS: u8 = 64;
/// dnsd serves every private address, this one included.
pub const HOUSE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const HTTP: u16 = 80;

/// What is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// An echo, as an IP packet of this size or of a usual one.
    Echo {
        /// Of whom.
        to: SocketAddr,
        /// In bytes.
        size: Option<u16>,
        /// How many hops it may take.
        hops: u8,
    },
    /// A question for the addresses of a name.
    Query {
        /// Of whom.
        server: SocketAddr,
        /// The name.
        name: String,
        /// Its IPv6 addresses.
        ipv6: bool,
    },
    /// A connection, from this address or any.
    Connect {
        /// To whom.
        to: SocketAddr,
        /// From where.
        from: Option<Ipv6Addr>,
    },
    /// A page over HTTP.
    Page {
        /// Of whom.
        to: SocketAddr,
        /// By which name.
        host: String,
        /// Which one.
        path: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The echo.
    Echo(IpAddr),
    /// Somebody said that it is too large: this many bytes would do.
    TooBig(u32),
    /// Its hops were used up there.
    Expired(IpAddr),
    /// The name's addresses.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// The connection stands.
    Connected,
    /// A page.
    Page(Page),
    /// Nothing will come; why.
    Failed(String),
}

/// A page, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Its status code.
    pub status: u16,
    /// Where it sends its reader.
    pub location: String,
    /// How its text begins.
    pub text: String,
}

/// What an answer told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Got {
    /// How long it took.
    pub took: Duration,
    /// Who answered.
    pub from: Option<IpAddr>,
}

/// By which way a host was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// IPv4.
    V4,
    /// IPv6 from the LAN's address, which comes from the delegated prefix.
    Lan6,
    /// IPv6 from the uplink's own address.
    Uplink6,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Gateway4,
    Gateway6,
    Routers,
    Target(IpAddr),
    Big(IpAddr, u16),
    Server(SocketAddr),
    /// The portal's name at a name server: what dnsd does not believe leads to the portal, too.
    PortalName(SocketAddr),
    House {
        name: usize,
        ipv6: bool,
    },
    Site(usize, Way),
    Portal,
}

#[derive(Debug)]
struct Probe {
    what: What,
    /// What each try asks, over and over.
    asks: Vec<Ask>,
    tries: usize,
    failed: usize,
    trouble: Option<String>,
    at: Instant,
    result: Tried<Got>,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The kernel's number of the uplink.
    pub uplink: u32,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether there is a way out over IPv4.
    pub ipv4: bool,
    /// The same for IPv6; also whether IPv6 is asked about at all.
    pub ipv6: bool,
    /// The gateways.
    pub gateway4: Option<Ipv4Addr>,
    /// The gateways.
    pub gateway6: Option<Ipv6Addr>,
    /// Addresses that send echoes back.
    pub targets: Vec<IpAddr>,
    /// Name servers that dnsd asks.
    pub servers: Vec<SocketAddr>,
    /// Hosts that take connections.
    pub names: Vec<String>,
    /// A page that everybody knows.
    pub portal: Option<Portal>,
    /// IPv6 sources: of the LAN, of the uplink.
    pub sources: [Option<Ipv6Addr>; 2],
}

/// What was found outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outside {
    /// The gateway's echo.
    pub gateway4: Tried<Got>,
    /// The same for IPv6.
    pub gateway6: Tried<Got>,
    /// Any router's on the uplink.
    pub routers: Tried<Got>,
    /// Echoes from the internet.
    pub targets: Vec<(IpAddr, Tried<Got>)>,
    /// Name servers.
    pub servers: Vec<(SocketAddr, Tried<Got>)>,
    /// dnsd's answers.
    pub house: Vec<Tried<Got>>,
    /// Hosts that were connected to, by number of their name.
    pub sites: Vec<(usize, Way, Tried<Got>)>,
    /// The names.
    pub names: Vec<String>,
    /// The page, how it is called and how its text should begin.
    pub portal: Option<(Portal, Tried<Page>)>,
    /// Packets of the uplink's size.
    pub big: Big,
}

/// How large packets may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Big {
    /// What was tried, in bytes; 0 = nothing.
    pub size: u16,
    /// To how many hosts, and from how many it came back.
    pub asked: usize,
    /// Of these.
    pub passed: usize,
    /// The largest smaller size that came back.
    pub largest: Option<u16>,
    /// What a router on the way said that it takes.
    pub told: Option<u32>,
}

/// A round.
#[derive(Debug)]
pub struct Round {
    plan: Plan,
    probes: Vec<Probe>,
    /// Of each try: whose it is, and when it went out.
    tries: Vec<(usize, Instant)>,
    page: Option<Page>,
    told: Option<u32>,
    end: Instant,
}

impl Round {
    /// Begins.
    pub fn new(now: Instant, plan: Plan) -> Round {
        let end = now + LIMIT;
        let mut round = Round { probes: Vec::new(), tries: Vec::new(), page: None, told: None, end, plan };
        let plan = round.plan.clone();
        if let Some(gateway) = plan.gateway4 {
            round.add(now, What::Gateway4, echo(gateway.into(), 0));
        }
        if let Some(gateway) = plan.gateway6 {
            round.add(now, What::Gateway6, echo(gateway.into(), plan.uplink));
        }
        if plan.ipv6 {
            round.add(now, What::Routers, echo(ALL_ROUTERS.into(), plan.uplink));
        }
        for target in plan.targets.iter().filter(|target| plan.has(target)) {
            round.add(now, What::Target(*target), echo(*target, 0));
        }
        for server in plan.servers.iter().filter(|server| plan.has(&server.ip())) {
            let names = if plan.names.is_empty() { vec![".".to_owned()] } else { plan.names.clone() };
            let query = |name| Ask::Query { server: *server, name, ipv6: false };
            round.add(now, What::Server(*server), names.into_iter().map(query).collect());
            if let Some(portal) = &plan.portal {
                round.add(now, What::PortalName(*server), vec![query(portal.host.clone())]);
            }
        }
        if plan.ipv4 || plan.ipv6 {
            for (name, text) in round.asked_names() {
                for ipv6 in [false, true] {
                    let wanted = if ipv6 { plan.ipv6 && name < plan.names.len() } else { plan.ipv4 };
                    if wanted {
                        let ask = Ask::Query { server: HOUSE, name: text.clone(), ipv6 };
                        round.add(now, What::House { name, ipv6 }, vec![ask]);
                    }
                }
            }
        }
        round
    }

    // The portal's host comes after the others.
    fn asked_names(&self) -> Vec<(usize, String)> {
        let names = self.plan.names.iter().chain(self.plan.portal.iter().map(|portal| &portal.host));
        names.cloned().enumerate().collect()
    }

    fn add(&mut self, now: Instant, what: What, asks: Vec<Ask>) {
        if !asks.is_empty() && !self.probes.iter().any(|probe| probe.what == what) {
            let (tries, failed, trouble, result) = (0, 0, None, None);
            self.probes.push(Probe { what, asks, tries, failed, trouble, at: now, result });
        }
    }

    /// What is to be asked now, each with its number.
    pub fn turn(&mut self, now: Instant) -> Vec<(u32, Ask)> {
        let mut asks = Vec::new();
        let mut at = 0;
        while let Some(probe) = self.probes.get(at) {
            let due = probe.tries < probe.what.tries() && probe.at <= now && now < self.end;
            if due && self.is_open(at) {
                let second = probe.tries == 1;
                if let (true, What::Big(to, size)) = (second, &probe.what)
                    && u32::from(*size) == self.plan.mtu
                {
                    self.smaller(now, *to, *size);
                }
                let number = self.tries.len() as u32;
                self.tries.push((at, now));
                let Some(probe) = self.probes.get_mut(at) else { break };
                asks.extend(probe.asks.get(probe.tries % probe.asks.len()).map(|ask| (number, ask.clone())));
                probe.tries += 1;
                probe.at = now + AGAIN;
            }
            at += 1;
        }
        asks
    }

    fn smaller(&mut self, now: Instant, to: IpAddr, size: u16) {
        for smaller in SIZES.into_iter().filter(|smaller| *smaller < size) {
            self.add(now, What::Big(to, smaller), big(to, smaller));
        }
    }

    /// Whether its answer is still of interest: it has none, and none of its like has.
    fn is_open(&self, at: usize) -> bool {
        let Some(probe) = self.probes.get(at) else { return false };
        let like = |other: &Probe| other.what.is_like(&probe.what) && matches!(other.result, Some(Ok(_)));
        probe.result.is_none() && !self.probes.iter().any(like)
    }

    /// When [`Round::turn`] is wanted, or the round is over.
    pub fn deadline(&self) -> Instant {
        let open = (0..self.probes.len()).filter(|at| self.is_open(*at)).filter_map(|at| self.probes.get(at));
        let next = open.filter(|probe| probe.tries < probe.what.tries()).map(|probe| probe.at).min();
        next.map_or(self.end, |next| next.min(self.end))
    }

    /// Whether nothing more is waited for.
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.end || !(0..self.probes.len()).any(|at| self.is_open(at))
    }

    /// What came of a try.
    pub fn heard(&mut self, now: Instant, number: u32, outcome: Outcome) {
        let Some((at, sent)) = self.tries.get(number as usize).copied() else { return };
        let Some(probe) = self.probes.get_mut(at) else { return };
        let took = now - sent;
        let what = probe.what.clone();
        let from = match outcome {
            Outcome::Echo(from) => Some(from),
            Outcome::TooBig(mtu) => {
                self.told = Some(mtu);
                None
            }
            Outcome::Addresses(list) => {
                self.addresses(now, &what, number, &list);
                None
            }
            // Who knows that there is none answers.
            Outcome::Connected | Outcome::NoSuchName => None,
            Outcome::Page(page) => {
                self.page = Some(page);
                None
            }
            Outcome::Expired(from) => return self.fail(at, format!("lost in a loop at {from}")),
            Outcome::Failed(why) => return self.fail(at, why),
        };
        if let Some(probe) = self.probes.get_mut(at).filter(|probe| probe.result.is_none()) {
            probe.result = Some(Ok(Got { took, from }));
        }
        if let What::Target(to) = what {
            let tried = self.probes.iter().filter(|probe| matches!(probe.what, What::Big(..))).count();
            // Of the first family that answers: one is enough to know the line.
            let size = u16::try_from(self.plan.mtu).unwrap_or(0);
            if tried < MOST_BIG && size >= 1_280 && (to.is_ipv4() || !self.plan.ipv4) {
                self.add(now, What::Big(to, size), big(to, size));
            }
        }
    }

    fn fail(&mut self, at: usize, why: String) {
        let Some(probe) = self.probes.get_mut(at) else { return };
        probe.failed += 1;
        if probe.failed >= probe.what.tries() && probe.result.is_none() {
            probe.result = Some(Err(why.clone()));
        }
        probe.trouble = Some(why);
    }

    // The addresses of a name: who is there is connected to.
    fn addresses(&mut self, now: Instant, what: &What, number: u32, list: &[IpAddr]) {
        let name = match what {
            What::House { name, .. } => Some(*name),
            What::PortalName(_) => Some(self.plan.names.len()),
            What::Server(_) => {
                // The name that this try asked for.
                let earlier = |(_, (probe, _)): &(usize, &(usize, Instant))| {
                    self.probes.get(*probe).is_some_and(|probe| probe.what == *what)
                };
                let before = self.tries.iter().enumerate().take(number as usize).filter(earlier).count();
                Some(before % self.plan.names.len().max(1)).filter(|_| !self.plan.names.is_empty())
            }
            _ => None,
        };
        let (Some(name), Some(address)) = (name, list.first()) else { return };
        let connect = |from| vec![Ask::Connect { to: SocketAddr::new(*address, HTTP), from }];
        if name >= self.plan.names.len() {
            let page = self.plan.portal.as_ref().map(|portal| {
                let to = SocketAddr::new(*address, portal.port);
                vec![Ask::Page { to, host: portal.host.clone(), path: portal.path.clone() }]
            });
            self.add(now, What::Portal, page.unwrap_or_default());
        } else if address.is_ipv4() {
            self.add(now, What::Site(name, Way::V4), connect(None));
        } else {
            for (way, source) in [Way::Lan6, Way::Uplink6].into_iter().zip(self.plan.sources) {
                if source.is_some() {
                    self.add(now, What::Site(name, way), connect(source));
                }
            }
        }
    }

    /// What was found.
    pub fn found(self) -> Outside {
        let mut found = Outside { names: self.plan.names.clone(), ..Outside::default() };
        found.big.told = self.told;
        let open: Vec<bool> = (0..self.probes.len()).map(|at| self.is_open(at)).collect();
        let mut page = None;
        for (probe, open) in self.probes.into_iter().zip(open) {
            let silence = || Err(format!("no answer within {} ms", LIMIT.as_millis()));
            let result = match probe.result {
                None if open => Some(probe.trouble.map_or_else(silence, Err)),
                // One of its like has answered: that is enough.
                result => result,
            };
            match probe.what {
                What::Gateway4 => found.gateway4 = result,
                What::Gateway6 => found.gateway6 = result,
                What::Routers => found.routers = result,
                What::Target(to) => found.targets.push((to, result)),
                What::Big(_, size) => {
                    // Who says that it is too large has answered, and it has not come through.
                    let through = matches!(&result, Some(Ok(got)) if got.from.is_some());
                    if u32::from(size) == self.plan.mtu {
                        found.big.size = size;
                        found.big.asked += 1;
                        found.big.passed += usize::from(through);
                    } else if through {
                        found.big.largest = found.big.largest.max(Some(size));
                    }
                }
                What::Server(server) => found.servers.push((server, result)),
                What::PortalName(_) => {}
                What::House { .. } => found.house.push(result),
                What::Site(name, way) => found.sites.push((name, way, result)),
                What::Portal => page = Some(result),
            }
        }
        let got = self.page;
        found.portal = self.plan.portal.map(|portal| {
            let result = page.flatten().map(|result| result.map(|_| got.unwrap_or_default()));
            (portal, result)
        });
        found
    }
}

impl Plan {
    fn has(&self, address: &IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

impl What {
    fn tries(&self) -> usize {
        match self {
            What::Site(..) | What::Portal => 1,
            _ => TRIES,
        }
    }

    /// Whether an answer to one is enough for both.
    fn is_like(&self, other: &What) -> bool {
        match (self, other) {
            (What::Target(a), What::Target(b)) => a.is_ipv4() == b.is_ipv4(),
            (What::Site(_, a), What::Site(_, b)) => a == b,
            (What::PortalName(_), What::PortalName(_)) => true,
            (What::Big(a, full), What::Big(b, size)) => a == b && full >= size,
            (a, b) => a == b,
        }
    }
}

fn echo(to: IpAddr, scope: u32) -> Vec<Ask> {
    let to = match to {
        IpAddr::V6(ip) if ip.is_unicast_link_local() || ip.is_multicast() => SocketAddrV6::new(ip, 0, 0, scope).into(),
        ip => SocketAddr::new(ip, 0),
    };
    vec![Ask::Echo { to, size: None, hops: HOPS }]
}

fn big(to: IpAddr, size: u16) -> Vec<Ask> {
    vec![Ask::Echo { to: SocketAddr::new(to, 0), size: Some(size), hops: HOPS }]
}
