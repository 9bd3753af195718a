//! What touches the kernel's network or a raw frame; no policy.
//!
//! | module | holds |
//! |---|---|
//! | [`time`], [`event`] | the clock and the event loop of every service |
//! | [`clock`] | what sets the wall clock and the battery clock |
//! | [`netlink`] | rtnetlink: [`link`], [`address`], [`route`]; changes to them and news of them |
//! | [`nft`] | nftables: one table, changed in one transaction |
//! | [`genetlink`], [`ethtool`] | families by name; what drivers are asked |
//! | [`conntrack`] | the connections that the kernel remembers |
//! | [`wireguard`] | WireGuard interfaces and their peers |
//! | [`qdisc`] | what queues in front of an interface |
//! | [`capture`] | frames as they pass, for who looks on |
//! | [`pass`] | descriptors from one process to another |
//! | [`ping`] | echo requests without a right |
//! | [`packet`], [`frame`], [`udp`], [`connect`], [`icmpv6`] | sockets that std does not know |
//! | [`ppp`] | the kernel's PPP and its PPPoE sessions |
//! | [`batch`] | many datagrams with one system call |
//! | [`sysctl`] | settings under `/proc/sys` |
//! | [`memory`] | what was used and is given back |
//! | [`wire`] | formats that smoltcp does not have |
//! | [`confine`] | what a process gives away for good |
//! | [`sys`] | the only `unsafe` |
pub mod address;
pub mod batch;
pub mod capture;
pub mod clock;
pub mod confine;
pub mod connect;
pub mod conntrack;
pub mod ethtool;
pub mod event;
pub mod frame;
pub mod genetlink;
#[cfg(feature = "hostile")]
pub mod hostile;
pub mod icmpv6;
pub mod link;
pub mod memory;
pub mod neighbour;
pub mod netlink;
pub mod nft;
pub mod packet;
pub mod pass;
pub mod ping;
pub mod ppp;
pub mod qdisc;
pub mod route;
pub mod sys;
pub mod sysctl;
#[cfg(test)]
mod testing;
pub mod time;
pub mod udp;
pub mod wire;
pub mod wireguard;
