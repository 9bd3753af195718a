//! Wire formats that smoltcp does not have, or not as the RFCs and router7 want them.
pub mod arp;
pub mod dhcpv4;
pub mod dhcpv6;
pub mod ipv4udp;
pub mod ndisc;
pub mod ntp;
pub mod ppp;
pub mod pppoe;
