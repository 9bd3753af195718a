//! nftables without the `nft` program: a table as a value, put into the kernel in one transaction.
//!
//! Only the named table is touched; other programs' tables stay as they are. Chains that stand already stay, so that no
//! packet ever finds a hook without its chain: their rules are taken out and put in anew. Named counters go on
//! counting, and sets that rules fill keep what they hold. Each commit costs some milliseconds in the kernel, so
//! callers keep the value that they applied last and commit only when it differs.
mod expression;
pub mod flowtable;
mod found;
mod rule;
mod set;

pub use expression::Expression;
pub use found::Count;
pub use rule::{Part, Rule, state};
pub use set::{Element, Field, Set, Value};

use crate::netlink::builder::Builder;
use crate::netlink::{Error, Socket};
use found::{COUNTER, Found};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::collections::BTreeMap;
use std::io;

/// Where in the packet's way a chain stands (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// Before routing.
    Prerouting = 0,
    /// To the router itself.
    Input = 1,
    /// Through the router.
    Forward = 2,
    /// From the router itself.
    Output = 3,
    /// After routing.
    Postrouting = 4,
}

/// What a base chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Accepts and drops.
    Filter,
    /// Rewrites addresses of new connections.
    Nat,
}

/// What happens to a packet that no rule has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Policy {
    /// Dropped. A new chain accepts until the commit is through, so such a chain also ends with a drop rule.
    Drop = 0,
    /// Accepted.
    Accept = 1,
}

/// A chain; without a hook it is reached by jumps only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    name: String,
    base: Option<(Kind, Hook, i32, Policy)>,
    rules: Vec<Rule>,
}

impl Chain {
    /// A chain that packets enter at a hook, in the order of `priority`.
    pub fn base(name: &str, kind: Kind, hook: Hook, priority: i32, policy: Policy) -> Chain {
        Chain { name: name.to_owned(), base: Some((kind, hook, priority, policy)), rules: Vec::new() }
    }

    /// A chain to jump to.
    pub fn plain(name: &str) -> Chain {
        Chain { name: name.to_owned(), base: None, rules: Vec::new() }
    }

    /// Adds a rule at the end.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Chain {
        self.rules.push(rule);
        self
    }
}

/// A table of family `inet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    name: String,
    counters: Vec<String>,
    flowtable: Option<String>,
    sets: Vec<Set>,
    chains: Vec<Chain>,
}

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
/// `NFT_MSG_NEWGEN`: a transaction is through.
pub(crate) const NEW_GENERATION: u16 = SUBSYSTEM << 8 | 15;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const DEL_CHAIN: u16 = SUBSYSTEM << 8 | 5;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const DEL_RULE: u16 = SUBSYSTEM << 8 | 8;
const NEW_OBJECT: u16 = SUBSYSTEM << 8 | 18;
const DEL_OBJECT: u16 = SUBSYSTEM << 8 | 20;
const CREATE: u16 = libc::NLM_F_CREATE as u16;
const APPEND: u16 = CREATE | libc::NLM_F_APPEND as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
/// `NFPROTO_INET`: IPv4 and IPv6 in one table.
const INET: u8 = 1;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;

/// The kernel's numbers of every rule of a table of family `inet`: none is given twice, so the table has the same rules for
/// as long as it has the same numbers. `None` when there is no such table.
///
/// # Errors
/// When the kernel gives no answer.
pub fn handles(table: &str) -> io::Result<Option<Vec<u64>>> {
    found::handles(&mut Socket::open(SockProtocol::NetlinkNetFilter)?, table)
}

/// The named counters of a table; none when there is no such table.
///
/// # Errors
/// When the kernel gives no answer.
pub fn counters(table: &str) -> io::Result<BTreeMap<String, Count>> {
    found::counters(&mut Socket::open(SockProtocol::NetlinkNetFilter)?, table)
}

impl Table {
    /// An empty table.
    pub fn new(name: &str) -> Table {
        Table { name: name.to_owned(), counters: Vec::new(), flowtable: None, sets: Vec::new(), chains: Vec::new() }
    }

    /// Adds a named counter.
    #[must_use]
    pub fn counter(mut self, name: &str) -> Table {
        self.counters.push(name.to_owned());
        self
    }

    /// Adds a flowtable, which is made without a device ([`flowtable::change`]) and stays when the rules are replaced.
    #[must_use]
    pub fn flowtable(mut self, name: &str) -> Table {
        self.flowtable = Some(name.to_owned());
        self
    }

    /// Adds a set or map.
    #[must_use]
    pub fn set(mut self, set: Set) -> Table {
        self.sets.push(set);
        self
    }

    /// Adds a chain.
    #[must_use]
    pub fn chain(mut self, chain: Chain) -> Table {
        self.chains.push(chain);
        self
    }

    /// Makes the kernel's table of this name this one, or changes nothing at all: one transaction.
    ///
    /// # Errors
    /// Names the chain and rule, the set or the counter that the kernel refused; what stood before is then still in
    /// force.
    pub fn replace(&self) -> Result<(), Error> {
        let whole = |error: io::Error| Error {
            what: format!("table inet {}", self.name),
            errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
            words: error.to_string(),
        };
        let mut socket = Socket::open(SockProtocol::NetlinkNetFilter).map_err(whole)?;
        let found = found::look(&mut socket, &self.name).map_err(whole)?;
        let mut builder = socket.builder();
        let names = self.write(&mut builder, &found.unwrap_or_default());
        let (first, count) = (builder.first(), builder.count());
        socket.room_for(builder.done().len()).map_err(whole)?;
        socket.send(&mut builder).map_err(whole)?;
        // The one acknowledgement is asked for by the message before BATCH_END.
        let refused = socket.transaction(first.wrapping_add(count).wrapping_sub(2)).map_err(whole)?;
        refused.into_iter().next().map_or(Ok(()), |refused| {
            let at = refused.sequence.wrapping_sub(first) as usize;
            let what = names.get(at).cloned().unwrap_or_else(|| format!("table inet {}", self.name));
            Err(Error { what, errno: refused.errno, words: refused.words })
        })
    }

    // Writes the transaction and returns what each message is about, for errors. Rules go first, as they hold on to
    // everything else; then what is not wanted any more or has another shape; then what is wanted.
    fn write(&self, builder: &mut Builder, found: &Found) -> Vec<String> {
        let table = format!("table inet {}", self.name);
        let mut names = vec!["begin of the transaction".to_owned(), table.clone(), format!("{table}, all rules")];
        batch(builder, BATCH_BEGIN);
        message(builder, NEW_TABLE, CREATE).text(TABLE_NAME, &self.name);
        message(builder, DEL_RULE, 0).text(RULE_TABLE, &self.name);
        self.clear(builder, found, &mut |what| names.push(format!("{table}, {what}")));
        for name in &self.counters {
            message(builder, NEW_OBJECT, CREATE).text(1, &self.name).text(2, name).be32(3, COUNTER);
            builder.nest(4, |data| {
                data.bytes(1, &[0; 8]).bytes(2, &[0; 8]);
            });
            names.push(format!("{table}, counter {name}"));
        }
        if let Some(name) = self.flowtable.as_ref().filter(|name| !found.flowtables.contains_key(*name)) {
            flowtable::create(builder, &self.name, name);
            names.push(format!("{table}, flowtable {name}"));
        }
        for (at, set) in self.sets.iter().enumerate() {
            let old = found.sets.get(&set.name) == Some(&set.shape());
            if !old {
                set.create(builder, &self.name, at as u32 + 1);
                names.push(format!("{table}, set {}", set.name));
            }
            let filled = set.fill(builder, &self.name, old);
            names.extend((0..filled).map(|_| format!("{table}, elements of {}", set.name)));
        }
        for chain in &self.chains {
            message(builder, NEW_CHAIN, CREATE).text(CHAIN_TABLE, &self.name).text(CHAIN_NAME, &chain.name);
            if let Some((kind, hook, priority, policy)) = chain.base {
                builder.nest(CHAIN_HOOK, |nested| {
                    nested.be32(HOOK_NUMBER, hook as u32).be32(HOOK_PRIORITY, priority as u32);
                });
                builder.be32(CHAIN_POLICY, policy as u32);
                builder.text(CHAIN_TYPE, if kind == Kind::Nat { "nat" } else { "filter" });
            }
            names.push(format!("{table}, chain {}", chain.name));
        }
        for chain in &self.chains {
            for (at, rule) in chain.rules.iter().enumerate() {
                message(builder, NEW_RULE, APPEND).text(RULE_TABLE, &self.name).text(RULE_CHAIN, &chain.name);
                builder.nest(RULE_EXPRESSIONS, |nested| rule.write(nested));
                names.push(format!("{table}, chain {}, rule {}", chain.name, at + 1));
            }
        }
        // Says nothing new; its acknowledgement says that all before it was taken.
        message(builder, NEW_TABLE, CREATE | ACK).text(TABLE_NAME, &self.name);
        names.push(table);
        batch(builder, BATCH_END);
        names
    }

    fn clear(&self, builder: &mut Builder, found: &Found, name: &mut impl FnMut(String)) {
        let chain_stays = |known: &str, base: &Option<(u32, u32)>| {
            let wanted = self.chains.iter().find(|chain| chain.name == known);
            wanted.is_some_and(|chain| chain.base.map(|(_, hook, at, _)| (hook as u32, at as u32)) == *base)
        };
        for (known, _) in found.chains.iter().filter(|(known, base)| !chain_stays(known, base)) {
            message(builder, DEL_CHAIN, 0).text(CHAIN_TABLE, &self.name).text(CHAIN_NAME, known);
            name(format!("chain {known}, to be removed"));
        }
        let set_stays = |known: &str, shape| self.sets.iter().any(|set| set.name == known && set.shape() == shape);
        // Sets without a name of their own went with their rules.
        for (known, _) in
            found.sets.iter().filter(|(known, shape)| !known.starts_with("__") && !set_stays(known, **shape))
        {
            message(builder, set::DEL_SET, 0).text(1, &self.name).text(2, known);
            name(format!("set {known}, to be removed"));
        }
        for known in found.flowtables.keys().filter(|known| self.flowtable.as_ref() != Some(*known)) {
            message(builder, flowtable::DEL_FLOWTABLE, 0).text(1, &self.name).text(2, known);
            name(format!("flowtable {known}, to be removed"));
        }
        for known in found.counters.iter().filter(|known| !self.counters.contains(known)) {
            message(builder, DEL_OBJECT, 0).text(1, &self.name).text(2, known).be32(3, COUNTER);
            name(format!("counter {known}, to be removed"));
        }
    }
}

// nfgenmsg: family, version, resource id.
fn message(builder: &mut Builder, kind: u16, flags: u16) -> &mut Builder {
    builder.message(kind, flags).raw(&[INET, 0, 0, 0])
}

fn batch(builder: &mut Builder, kind: u16) {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    builder.message(kind, 0).raw(&[0, 0, high, low]);
}

#[cfg(test)]
mod tests;
