//! Who is to blame: a table of rules in the order of cause. Each looks at what was found and, where it applies, says so in
//! one sentence. Of those that weigh most the first one holds.
use super::facts::{Delegated, Facts, Neighbour, Source, Tried};
use super::round::{Got, Way};
use super::words::{day_and_time, list};
use crate::perm::WallTime;
use jiff::tz::TimeZone;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Fine,
    /// All works, and there is something to know.
    Note,
    /// The internet works, and something is wrong.
    Trouble,
    /// The internet does not work.
    Broken,
}

impl Level {
    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Level::Fine => "fine",
            Level::Note => "note",
            Level::Trouble => "trouble",
            Level::Broken => "broken",
        }
    }
}

/// What the rules look at.
#[derive(Debug)]
pub struct Case<'a> {
    /// What this round has found.
    pub facts: &'a Facts,
    /// The clock.
    pub wall: WallTime,
    /// Where it hangs.
    pub zone: &'a TimeZone,
    /// How often the uplink has lost its carrier within [`FLAPPING`].
    pub losses: u32,
    /// Ports with damaged packets since the round before: name, damaged, of how many.
    pub damaged: Vec<(String, u64, u64)>,
}

/// Carrier that was lost so often within so long is no accident.
pub const FLAPPING: Duration = Duration::from_secs(600);
const MANY_LOSSES: u32 = 3;
/// A renewal may take so long before it counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(120);
/// An image is not run for longer: such a clock is wrong.
const OLDEST: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Damaged packets that are worth a word: so many, and one of so many.
const MANY_DAMAGED: (u64, u64) = (100, 200);
/// The smallest free space of a disk: bytes, files.
const LITTLE: (u64, u64) = (64 << 10, 16);

/// What stands for " since 12:03" in a rule's sentence.
pub const SINCE: &str = "{since}";

type Sentence = Option<(Level, String)>;

/// A rule's name and what it says.
pub type Rule = (&'static str, fn(&Case<'_>) -> Sentence);

/// In the order of cause: what stands first explains what follows.
pub const RULES: &[Rule] = &[
    ("uplink", uplink),
    ("flapping", flapping),
    ("carrier", carrier),
    ("connections", connections),
    ("memory", memory),
    ("address", address),
    ("lease", lease),
    ("route", route),
    ("clock", clock),
    ("gateway", gateway),
    ("beyond", beyond),
    ("portal", portal),
    ("dnsd", dnsd),
    ("dns", dns),
    ("hosts", hosts),
    ("mtu", mtu),
    ("disk", disk),
    ("ipv6", ipv6),
    ("server", server),
    ("duplex", duplex),
    ("errors", errors),
    ("nat", nat),
    ("time", time),
];

fn ok<T>(tried: &Tried<T>) -> bool {
    matches!(tried, Some(Ok(_)))
}

fn failed<T>(tried: &Tried<T>) -> bool {
    matches!(tried, Some(Err(_)))
}

impl Facts {
    /// Whether something behind the gateway has answered by IPv4.
    pub fn beyond4(&self) -> bool {
        let gateway = self.local.gateway4.map(IpAddr::V4);
        // A name server in the gateway says nothing of what is behind it.
        let server = |(to, tried): &(std::net::SocketAddr, Tried<Got>)| Some(to.ip()) != gateway && ok(tried);
        self.targets(true)
            || self.site(Way::V4)
            || self.outside.servers.iter().any(|one| one.0.is_ipv4() && server(one))
    }

    /// The same by IPv6.
    pub fn beyond6(&self) -> bool {
        self.targets(false) || self.site(Way::Lan6) || self.site(Way::Uplink6)
    }

    fn targets(&self, ipv4: bool) -> bool {
        self.outside.targets.iter().any(|(to, tried)| to.is_ipv4() == ipv4 && ok(tried))
    }

    /// Whether a host took a connection.
    pub fn site(&self, way: Way) -> bool {
        self.outside.sites.iter().any(|(_, by, tried)| *by == way && ok(tried))
    }

    /// Whether the page was answered by somebody else.
    fn intercepted(&self) -> bool {
        matches!(&self.outside.portal, Some((portal, Some(Ok(page)))) if !portal.is(page))
    }

    /// Whether a person at home can use the internet.
    pub fn works(&self) -> bool {
        let named = !self.outside.names.is_empty();
        let page = matches!(&self.outside.portal, Some((portal, Some(Ok(page)))) if portal.is(page));
        let reached = [Way::V4, Way::Lan6].into_iter().any(|way| self.site(way)) || page;
        !self.intercepted() && if named { reached } else { page || self.beyond4() || self.beyond6() }
    }

    fn unless_it_works(&self) -> Level {
        if self.works() { Level::Trouble } else { Level::Broken }
    }

    /// Before what is said of IPv4 alone.
    fn half(&self) -> &'static str {
        if self.beyond6() { "IPv4 does not work, IPv6 does: " } else { "" }
    }
}

fn begin(half: &str, sentence: String) -> String {
    // A sentence that stands alone begins with a capital.
    match (half, sentence.split_at_checked(1)) {
        ("", Some((first, rest))) => format!("{}{rest}", first.to_uppercase()),
        _ => format!("{half}{sentence}"),
    }
}

fn uplink(case: &Case<'_>) -> Sentence {
    let local = &case.facts.local;
    let name = &local.interface;
    match &local.uplink {
        None => Some((Level::Broken, format!("There is no {name}: no network card is assigned to it."))),
        Some(uplink) if !uplink.up => Some((Level::Broken, format!("{name} is switched off."))),
        Some(_) => None,
    }
}

fn flapping(case: &Case<'_>) -> Sentence {
    let (name, losses, minutes) = (&case.facts.local.interface, case.losses, FLAPPING.as_secs() / 60);
    (losses >= MANY_LOSSES).then(|| {
        let words = format!(
            "The cable of {name} loses its carrier again and again ({losses} times within {minutes} minutes): \
             the cable, its plugs or the modem are bad."
        );
        (case.facts.unless_it_works(), words)
    })
}

fn carrier(case: &Case<'_>) -> Sentence {
    let local = &case.facts.local;
    let lost = local.uplink.as_ref().is_some_and(|uplink| uplink.up && !uplink.carrier);
    lost.then(|| {
        let words = format!(
            "{} has had no carrier{SINCE}: its cable is unplugged, or what is at its other end is off.",
            local.interface
        );
        (Level::Broken, words)
    })
}

fn connections(case: &Case<'_>) -> Sentence {
    let (held, most) = case.facts.local.connections?;
    (most > 0 && held >= most - most / 20).then(|| {
        let words = format!("The table of connections is full ({held} of {most}){SINCE}: new ones are refused.");
        (case.facts.unless_it_works(), words)
    })
}

fn memory(case: &Case<'_>) -> Sentence {
    let (available, all) = case.facts.local.memory?;
    (available < all / 20).then(|| {
        let words = format!("Memory is short{SINCE}: {} of {} MiB are left.", available >> 10, all >> 10);
        (Level::Trouble, words)
    })
}

fn address(case: &Case<'_>) -> Sentence {
    let local = &case.facts.local;
    if local.address4().is_some() {
        return None;
    }
    let (name, half) = (&local.interface, case.facts.half());
    let words = match (local.source, local.renew4) {
        (Source::Fixed, _) => {
            format!("{name} has none of the addresses that interfaces.json gives it: `log netconfigd`")
        }
        (_, Some(_)) => format!("{name} has a lease and not its address: `log netconfigd`"),
        (Source::Pppoe, None) => {
            format!(
                "the provider has opened no PPPoE session{SINCE}: {name} has no address; `log pppoe` says how far it came"
            )
        }
        (Source::Dhcp, None) => format!("the provider's DHCP server has not answered{SINCE}: {name} has no address"),
    };
    let level = if half.is_empty() { Level::Broken } else { Level::Trouble };
    Some((level, begin(half, format!("{words}."))))
}

fn lease(case: &Case<'_>) -> Sentence {
    let local = &case.facts.local;
    let renew = local.renew4.filter(|_| local.source == Source::Dhcp)?;
    (!renew.is_zero() && case.wall.since(renew) > PATIENCE).then(|| {
        let since = day_and_time(case.zone, renew, case.wall);
        let words = format!(
            "The provider's DHCP server has not answered since {since}; the last configuration is still in use."
        );
        // Where nothing works, its silence is one of many.
        (Level::Trouble, words)
    })
}

fn route(case: &Case<'_>) -> Sentence {
    let (local, half) = (&case.facts.local, case.facts.half());
    (!local.route4).then(|| {
        let level = if half.is_empty() { Level::Broken } else { Level::Trouble };
        (level, begin(half, format!("nobody has told {} a gateway: there is no way out.", local.interface)))
    })
}

fn clock(case: &Case<'_>) -> Sentence {
    let (built, wall) = (case.facts.local.built?, case.wall);
    // Then it is the image's date that is wrong.
    if case.facts.local.clock_right == Some(true) {
        return None;
    }
    let day = |time| day_and_time(case.zone, time, WallTime::default());
    let words = if wall < built {
        format!("{}, before this image was made ({})", day(wall), day(built))
    } else if wall.since(built) > OLDEST {
        format!("{}, decades after this image was made ({})", day(wall), day(built))
    } else {
        return None;
    };
    Some((case.facts.unless_it_works(), format!("The clock is wrong: it says {words}; certificates fail by it.")))
}

fn gateway(case: &Case<'_>) -> Sentence {
    let facts = case.facts;
    let gateway = facts.local.gateway4?;
    let silent = failed(&facts.outside.gateway4) && facts.local.neighbour4 != Neighbour::There && !facts.beyond4();
    silent.then(|| {
        let half = facts.half();
        let arp = if facts.local.neighbour4 == Neighbour::Gone { ", not even ARP" } else { "" };
        let words = format!("the provider's gateway {gateway} does not answer{SINCE}{arp}.");
        (if half.is_empty() { Level::Broken } else { Level::Trouble }, begin(half, words))
    })
}

fn beyond(case: &Case<'_>) -> Sentence {
    let facts = case.facts;
    // Nothing was asked beyond, or not answered.
    let gateway = facts.local.gateway4.map(IpAddr::V4);
    let behind = |to: &IpAddr| to.is_ipv4() && Some(*to) != gateway;
    let asked = facts.outside.targets.iter().any(|(to, tried)| behind(to) && failed(tried))
        || facts.outside.servers.iter().any(|(to, tried)| behind(&to.ip()) && failed(tried));
    if !asked || facts.beyond4() || facts.intercepted() {
        return None;
    }
    let half = facts.half();
    let words = match facts.local.gateway4 {
        Some(gateway) => format!(
            "the provider's gateway {gateway} is there, and nothing behind it answers{SINCE}: the fault is the provider's."
        ),
        None => format!("the session is up, and nothing behind it answers{SINCE}: the fault is the provider's."),
    };
    Some((if half.is_empty() { Level::Broken } else { Level::Trouble }, begin(half, words)))
}

fn portal(case: &Case<'_>) -> Sentence {
    let Some((portal, Some(Ok(page)))) = &case.facts.outside.portal else { return None };
    (!portal.is(page)).then(|| {
        let mut words = format!("A captive portal stands before the internet: {} is answered ", portal.url);
        words.push_str(&match page.location.as_str() {
            "" => format!("with status {} and another text", page.status),
            location => format!("by sending us to {location}"),
        });
        (Level::Broken, format!("{words}."))
    })
}

fn dnsd(case: &Case<'_>) -> Sentence {
    let outside = &case.facts.outside;
    let dead = !outside.house.is_empty() && outside.house.iter().all(failed);
    (dead && outside.servers.iter().any(|(_, tried)| ok(tried))).then(|| {
        let words = format!("The router's own name server does not answer{SINCE}, and those it asks do: `log dnsd`.");
        (Level::Broken, words)
    })
}

fn servers(case: &Case<'_>, answering: bool) -> Vec<String> {
    let servers = case.facts.outside.servers.iter();
    let wanted = servers.filter(|(_, tried)| if answering { ok(tried) } else { failed(tried) });
    wanted.map(|(server, _)| server.ip().to_string()).collect()
}

/// What is wrong with the name servers that fail: one that answers with an error is not silent.
fn fault(case: &Case<'_>, many: bool) -> String {
    let reasons = case.facts.outside.servers.iter().filter_map(|(_, tried)| tried.as_ref()?.as_ref().err());
    match reasons.into_iter().find(|why| why.starts_with("answers ")) {
        Some(why) => format!("{why}{SINCE}"),
        None if many => format!("do not answer{SINCE}"),
        None => format!("does not answer{SINCE}"),
    }
}

fn dns(case: &Case<'_>) -> Sentence {
    let dead = servers(case, false);
    (!dead.is_empty() && servers(case, true).is_empty()).then(|| {
        let words = if dead.len() == 1 {
            format!("The name server {} {}", dead.concat(), fault(case, false))
        } else {
            format!("None of the name servers {} answers{SINCE}", list(&dead, "and"))
        };
        let there = case.facts.beyond4() || case.facts.beyond6();
        let rest = if there { "the internet is there, its names" } else { "names" };
        // dnsd may still know some names.
        (case.facts.unless_it_works(), format!("{words}: {rest} cannot be looked up."))
    })
}

fn hosts(case: &Case<'_>) -> Sentence {
    let facts = case.facts;
    let tried = |way: Way| facts.outside.sites.iter().any(|(_, by, tried)| *by == way && failed(tried));
    (tried(Way::V4) && !facts.site(Way::V4)).then(|| {
        let half = if facts.site(Way::Lan6) { "IPv4 does not work, IPv6 does: " } else { "" };
        let words = format!(
            "names are found, and none of {} takes a connection on port 80{SINCE}.",
            list(&facts.outside.names, "and")
        );
        (facts.unless_it_works(), begin(half, words))
    })
}

fn mtu(case: &Case<'_>) -> Sentence {
    let (big, local) = (&case.facts.outside.big, &case.facts.local);
    let largest = big.largest.filter(|_| big.asked > 0 && big.passed == 0 && big.told.is_none())?;
    let words = format!(
        "Packets of {} bytes are lost on the way without a word, those of {largest} get through{SINCE}: \
         \"mtu\": {largest} for {} in interfaces.json helps.",
        big.size, local.interface
    );
    Some((Level::Trouble, words))
}

fn disk(case: &Case<'_>) -> Sentence {
    let disk = case.facts.local.disk?;
    let full = disk.free < LITTLE.0.min(disk.size / 20) || disk.files.is_some_and(|files| files < LITTLE.1);
    let why = if disk.read_only {
        "takes nothing any more: the disk is damaged, or was"
    } else if full {
        "is full"
    } else if disk.memory {
        "is in memory only: there is no disk that can be used"
    } else if disk.mended {
        let words = "/perm was damaged and has been made anew at the last boot with what could be read of it: \
                     /perm/mended/report, in every backup, says what was lost.";
        return Some((Level::Note, words.into()));
    } else {
        return None;
    };
    let words = format!("/perm {why}{SINCE}; leases and settings are lost at the next boot.");
    Some((Level::Trouble, words))
}

fn ipv6(case: &Case<'_>) -> Sentence {
    let (facts, local) = (case.facts, &case.facts.local);
    let carrier = local.uplink.as_ref().is_some_and(|uplink| uplink.running);
    if !local.expects_ipv6() || !carrier || facts.beyond6() {
        return None;
    }
    let tried = facts.outside.targets.iter().any(|(to, tried)| to.is_ipv6() && failed(tried))
        || facts.outside.sites.iter().any(|(_, way, tried)| *way != Way::V4 && failed(tried));
    let name = &local.interface;
    let why = match (local.route6, local.delegated) {
        (false, _) => format!("no router of the provider announces itself on {name}{SINCE}"),
        (true, Delegated::RanOut) => format!("the provider's prefix has run out and was not renewed{SINCE}"),
        (true, _) if !tried => return None,
        (true, _) => {
            let gateway =
                local.gateway6.map_or_else(|| "the session".to_owned(), |gateway| format!("its gateway {gateway}"));
            let there = ok(&facts.outside.gateway6) || local.neighbour6 == Neighbour::There || local.gateway6.is_none();
            let there = if there { "is there" } else { "does not answer, either" };
            format!("nothing in the internet answers{SINCE}; {gateway} {there}")
        }
    };
    let begin = if facts.works() { "IPv6 does not work, IPv4 does: " } else { "IPv6 does not work, either: " };
    Some((Level::Trouble, format!("{begin}{why}.")))
}

fn server(case: &Case<'_>) -> Sentence {
    let (dead, alive) = (servers(case, false), servers(case, true));
    (!dead.is_empty() && !alive.is_empty()).then(|| {
        let (many, fault) = (dead.len() > 1, fault(case, dead.len() > 1));
        let (who, alive) = (if many { "name servers" } else { "name server" }, list(&alive, "and"));
        (Level::Trouble, format!("The {who} {} {fault}; names are asked of {alive}.", list(&dead, "and")))
    })
}

fn duplex(case: &Case<'_>) -> Sentence {
    let port = case.facts.local.ports.iter().find(|port| port.half_duplex)?;
    let speed = port.speed.map_or(String::new(), |speed| format!("{speed} Mbit/s, "));
    let words = format!(
        "{} runs at {speed}half duplex{SINCE}: its other end does not negotiate, or the cable is bad.",
        port.name
    );
    Some((Level::Trouble, words))
}

fn errors(case: &Case<'_>) -> Sentence {
    let (least, share) = MANY_DAMAGED;
    let many =
        |(_, damaged, packets): &&(String, u64, u64)| *damaged >= least && damaged.saturating_mul(share) >= *packets;
    let (name, ..) = case.damaged.iter().find(many)?;
    Some((Level::Trouble, format!("Packets come damaged over {name}{SINCE}: the cable or its plugs are bad.")))
}

fn nat(case: &Case<'_>) -> Sentence {
    let local = &case.facts.local;
    let address = local.address4()?;
    let name = &local.interface;
    let words = if is_shared(address) {
        format!("{name} has {address}, which the provider shares among customers (CGNAT)")
    } else if address.is_private() {
        format!("{name} has the private address {address}: another router stands before this one (double NAT)")
    } else {
        return None;
    };
    Some((Level::Note, format!("The internet works, but {words}; over IPv4 nobody reaches this router from outside.")))
}

fn time(case: &Case<'_>) -> Sentence {
    let words = "The internet works, but no time server that could be believed has answered since the boot: \
                 whether the clock is right is not known.";
    (case.facts.local.clock_right == Some(false)).then(|| (Level::Note, words.into()))
}

/// RFC 6598.
fn is_shared(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    a == 100 && b & 0xc0 == 64
}
