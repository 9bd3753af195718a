//! What touches the kernel's network or a raw frame; no policy.
//!
//! | module | holds |
//! |---|---|
//! | [`time`], [`event`] | the clock and the event loop of every service |
//! | [`netlink`] | rtnetlink: [`link`], [`address`], [`route`]; changes to them and news of them |
//! | [`nft`] | nftables: one table, changed in one transaction |
//! | [`conntrack`] | the connections that the kernel remembers |
//! | [`packet`], [`udp`], [`icmpv6`] | sockets that std does not know |
//! | [`batch`] | many datagrams with one system call |
//! | [`sysctl`] | settings under `/proc/sys` |
//! | [`wire`] | formats that smoltcp does not have |
//! | [`sys`] | the only `unsafe` |
pub mod address;
pub mod batch;
pub mod conntrack;
pub mod event;
pub mod icmpv6;
pub mod link;
pub mod neighbour;
pub mod netlink;
pub mod nft;
pub mod packet;
pub mod route;
pub mod sys;
pub mod sysctl;
#[cfg(test)]
mod testing;
pub mod time;
pub mod udp;
pub mod wire;
