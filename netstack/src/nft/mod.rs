//! nftables without the `nft` program: a table as a value, replaced whole in one transaction.
//!
//! Only the named table is touched; other programs' tables stay as they are. Each commit costs some milliseconds in
//! the kernel, so callers keep the value that they applied last and commit only when it differs.
mod expression;
mod rule;

pub use expression::Expression;
pub use rule::{Rule, state};

use crate::netlink::builder::Builder;
use crate::netlink::{Error, Socket};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

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
    chains: Vec<Chain>,
}

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DEL_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
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

impl Table {
    /// An empty table.
    pub fn new(name: &str) -> Table {
        Table { name: name.to_owned(), chains: Vec::new() }
    }

    /// Adds a chain.
    #[must_use]
    pub fn chain(mut self, chain: Chain) -> Table {
        self.chains.push(chain);
        self
    }

    /// Puts this table in the place of the one with its name, or nothing at all: one transaction.
    ///
    /// # Errors
    /// Names the chain and rule that the kernel refused; the former table is then still in force.
    pub fn replace(&self) -> Result<(), Error> {
        let whole = |error: std::io::Error| Error {
            what: format!("table inet {}", self.name),
            errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
            words: error.to_string(),
        };
        let mut socket = Socket::open(SockProtocol::NetlinkNetFilter).map_err(whole)?;
        let mut builder = socket.builder();
        let names = self.write(&mut builder);
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

    // Writes the transaction and returns what each message is about, for errors.
    fn write(&self, builder: &mut Builder) -> Vec<String> {
        let mut names = vec!["begin of the transaction".to_owned()];
        let table = format!("table inet {}", self.name);
        batch(builder, BATCH_BEGIN);
        // Adding makes sure that there is something to delete.
        for (kind, flags) in [(NEW_TABLE, CREATE), (DEL_TABLE, 0), (NEW_TABLE, CREATE)] {
            let last = self.chains.is_empty() && names.len() == 3;
            message(builder, kind, if last { flags | ACK } else { flags }).text(TABLE_NAME, &self.name);
            names.push(table.clone());
        }
        let rules: usize = self.chains.iter().map(|chain| chain.rules.len()).sum();
        let mut left = self.chains.len() + rules;
        let mut flags = |flags| {
            left -= 1;
            if left == 0 { flags | ACK } else { flags }
        };
        for chain in &self.chains {
            message(builder, NEW_CHAIN, flags(CREATE)).text(CHAIN_TABLE, &self.name).text(CHAIN_NAME, &chain.name);
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
                message(builder, NEW_RULE, flags(APPEND)).text(RULE_TABLE, &self.name).text(RULE_CHAIN, &chain.name);
                builder.nest(RULE_EXPRESSIONS, |nested| rule.write(nested));
                names.push(format!("{table}, chain {}, rule {}", chain.name, at + 1));
            }
        }
        batch(builder, BATCH_END);
        names
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
