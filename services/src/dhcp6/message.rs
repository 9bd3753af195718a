//! What the client takes from a server's message: each value checked, each refusal in words.
use ipnet::Ipv6Net;
use netstack::wire::dhcpv6::{Association, Kind, Lease, Message, Options, code, status};
use std::net::Ipv6Addr;

/// Leases, associations and servers taken from one message; more are left out.
const MOST: usize = 16;
/// The longest search list that is kept, in bytes.
const LONGEST_SEARCH: usize = 1_000;
/// Bounds of SOL_MAX_RT and INF_MAX_RT, in seconds (RFC 9915, sections 21.24 and 21.25).
const MAX_RT: std::ops::RangeInclusive<u32> = 60..=86_400;
/// An /64 is the smallest network that hosts can make addresses in.
const LONGEST_PREFIX: u8 = 64;

/// A status in the RFC's words.
pub fn name(number: u16) -> String {
    let known = match number {
        0 => "Success",
        status::UNSPEC_FAIL => "UnspecFail",
        status::NO_ADDRS_AVAIL => "NoAddrsAvail",
        status::NO_BINDING => "NoBinding",
        status::NOT_ON_LINK => "NotOnLink",
        status::USE_MULTICAST => "UseMulticast",
        status::NO_PREFIX_AVAIL => "NoPrefixAvail",
        _ => return format!("status {number}"),
    };
    known.into()
}

/// What an identity association is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// IA_NA: an address of the uplink.
    Address,
    /// IA_PD: a prefix for the LANs.
    Prefix,
}

/// A leased address (as /128) or prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Host bits zero.
    pub net: Ipv6Net,
    /// In seconds; `u32::MAX` = without end.
    pub preferred: u32,
    /// In seconds; `u32::MAX` = without end, 0 = taken back.
    pub valid: u32,
}

/// An identity association in a server's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ia {
    /// What it is for.
    pub is_for: For,
    /// Our number for it.
    pub iaid: u32,
    /// Seconds until RENEW; 0 = our choice.
    pub t1: u32,
    /// Seconds until REBIND; 0 = our choice.
    pub t2: u32,
    /// The first status other than success, of the association or of a lease in it.
    pub status: Option<u16>,
    /// What it holds.
    pub items: Vec<Item>,
}

/// A server's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// ADVERTISE or REPLY.
    pub kind: Kind,
    /// Transaction.
    pub xid: u32,
    /// Whom it is for.
    pub client: Vec<u8>,
    /// Who sent it.
    pub server: Vec<u8>,
    /// 0 to 255, 255 = take it at once.
    pub preference: u8,
    /// The first status of the message other than success, and its text.
    pub status: Option<(u16, String)>,
    /// It is final although only a SOLICIT was sent.
    pub rapid_commit: bool,
    /// Identity associations.
    pub ias: Vec<Ia>,
    /// DNS servers.
    pub dns: Vec<Ipv6Addr>,
    /// Domain search list.
    pub search: Vec<String>,
    /// Time servers.
    pub ntp: Vec<Ipv6Addr>,
    /// SOL_MAX_RT in seconds, when it is within bounds.
    pub sol_max_rt: Option<u32>,
    /// INF_MAX_RT in seconds, when it is within bounds.
    pub inf_max_rt: Option<u32>,
    /// Information Refresh Time in seconds.
    pub refresh: Option<u32>,
    /// What was passed over, and why.
    pub ignored: Vec<String>,
}

impl Answer {
    /// Takes a server's message; `None` for anything that a client drops in silence (RFC 9915, section 16).
    pub fn parse(bytes: &[u8]) -> Option<Answer> {
        let message = Message::parse(bytes).filter(|message| matches!(message.kind, Kind::Advertise | Kind::Reply))?;
        let options = message.options;
        let identity =
            |code: u16| options.first(code).filter(|duid| (3..=130).contains(&duid.len())).map(<[u8]>::to_vec);
        let mut ignored = Vec::new();
        let max_rt = |code: u16| options.number(code).filter(|seconds| MAX_RT.contains(seconds));
        Some(Answer {
            kind: message.kind,
            xid: message.xid,
            client: identity(code::CLIENT_ID)?,
            server: identity(code::SERVER_ID)?,
            preference: options.first(code::PREFERENCE).and_then(|value| value.first().copied()).unwrap_or_default(),
            status: options.status(),
            rapid_commit: options.first(code::RAPID_COMMIT).is_some(),
            ias: associations(options, &mut ignored),
            dns: servers(options, code::DNS_SERVERS),
            search: options.first(code::DOMAIN_LIST).and_then(names).unwrap_or_default(),
            ntp: time_servers(options),
            sol_max_rt: max_rt(code::SOL_MAX_RT),
            inf_max_rt: max_rt(code::INF_MAX_RT),
            refresh: options.number(code::INFORMATION_REFRESH_TIME),
            ignored,
        })
    }

    /// Whether a kind of association holds anything.
    pub fn offers(&self, is_for: For) -> bool {
        self.ias.iter().any(|ia| ia.is_for == is_for && ia.items.iter().any(|item| item.valid > 0))
    }
}

fn associations(options: Options, ignored: &mut Vec<String>) -> Vec<Ia> {
    let mut all: Vec<Ia> = Vec::new();
    for (code, value) in options.iter().filter(|(code, _)| matches!(*code, code::IA_NA | code::IA_PD)) {
        let (is_for, what) = if code == code::IA_NA { (For::Address, "IA_NA") } else { (For::Prefix, "IA_PD") };
        if all.len() == MOST {
            ignored.push(format!("more than {MOST} associations"));
            break;
        }
        let Some(found) = Association::parse(value) else {
            ignored.push(format!("an {what} that is cut short"));
            continue;
        };
        if all.iter().any(|ia| (ia.is_for, ia.iaid) == (is_for, found.iaid)) {
            ignored.push(format!("{what} {} for the second time", found.iaid));
            continue;
        }
        if found.t1 > found.t2 && found.t2 > 0 {
            ignored.push(format!("{what} {}: T1 {} is greater than T2 {}", found.iaid, found.t1, found.t2));
            continue;
        }
        let mut ia = Ia {
            is_for,
            iaid: found.iaid,
            t1: found.t1,
            t2: found.t2,
            status: found.options.status().map(|(status, _)| status),
            items: Vec::new(),
        };
        leases(is_for, found.options, &mut ia, ignored);
        all.push(ia);
    }
    // Of two prefixes that overlap only the first can be used, whichever association it is in.
    let mut seen: Vec<Ipv6Net> = Vec::new();
    for ia in &mut all {
        ia.items.retain(|item| {
            let twice = seen.iter().any(|other| other.contains(&item.net) || item.net.contains(other));
            if twice {
                ignored.push(format!("{} overlaps another", item.net));
            }
            seen.push(item.net);
            !twice
        });
    }
    all
}

fn leases(is_for: For, options: Options, ia: &mut Ia, ignored: &mut Vec<String>) {
    let wanted = if is_for == For::Address { code::IAADDR } else { code::IAPREFIX };
    for (_, value) in options.iter().filter(|(code, _)| *code == wanted) {
        let lease = if is_for == For::Address { Lease::address(value) } else { Lease::prefix(value) };
        let Some(lease) = lease else {
            ignored.push("a lease that is cut short".into());
            continue;
        };
        if let Some((status, _)) = lease.options.status() {
            ia.status = ia.status.or(Some(status));
        }
        let net = lease.prefix.trunc();
        let why = if lease.preferred > lease.valid {
            format!("its preferred lifetime {} is longer than its valid one {}", lease.preferred, lease.valid)
        } else if is_for == For::Prefix && net.prefix_len() > LONGEST_PREFIX {
            format!("it is longer than /{LONGEST_PREFIX}")
        } else if !is_usable(net) {
            "it cannot be used".into()
        } else if ia.items.len() == MOST {
            "it is one too many".into()
        } else {
            ia.items.push(Item { net, preferred: lease.preferred, valid: lease.valid });
            continue;
        };
        ignored.push(format!("{net}: {why}"));
    }
}

/// Nobody can delegate these: everything, what is of one link or host, groups.
fn is_usable(net: Ipv6Net) -> bool {
    let address = net.network();
    net.prefix_len() >= 8
        && !address.is_multicast()
        && !address.is_unicast_link_local()
        && !address.is_loopback()
        && !address.is_unspecified()
}

fn servers(options: Options, code: u16) -> Vec<Ipv6Addr> {
    let mut all = options.addresses(code);
    all.retain(|address| !address.is_unspecified() && !address.is_multicast() && !address.is_loopback());
    all.truncate(MOST);
    all
}

/// Addresses of option 56 (RFC 5908, suboption 1), else of option 31.
fn time_servers(options: Options) -> Vec<Ipv6Addr> {
    const ADDRESS: u16 = 1;
    let inner = options.first(code::NTP_SERVER).and_then(Options::parse);
    let by_56 = inner.into_iter().flat_map(Options::iter).filter(|(code, _)| *code == ADDRESS);
    let mut all: Vec<Ipv6Addr> =
        by_56.filter_map(|(_, value)| <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from)).collect();
    if all.is_empty() {
        all = servers(options, code::SNTP_SERVERS);
    }
    all.truncate(MOST);
    all
}

/// Names in DNS's form without compression (RFC 9915, section 10); none when one is malformed.
fn names(mut bytes: &[u8]) -> Option<Vec<String>> {
    if bytes.len() > LONGEST_SEARCH {
        return None;
    }
    let (mut names, mut name) = (Vec::new(), String::new());
    while let [length, rest @ ..] = bytes {
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        let clean = label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if *length > 63 || !clean {
            return None;
        }
        if label.is_empty() {
            names.push(std::mem::take(&mut name));
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(std::str::from_utf8(label).ok()?);
        }
        bytes = rest;
    }
    names.retain(|name| !name.is_empty());
    Some(names)
}
