//! The only `unsafe` of this crate: the few system calls that nix does not wrap. Each block says why it is sound.
#![allow(unsafe_code)]

mod batch;
mod clock;
pub(crate) mod confine;
mod descriptor;
mod inherited;
mod memory;
mod options;
mod packet;
mod ppp;

pub(crate) use batch::{MOST as MOST_DATAGRAMS, NOBODY, Received, receive_many, send_many};
pub(crate) use clock::{RtcTime, discipline, rtc_set};
pub(crate) use descriptor::own;
pub use inherited::inherited;
pub(crate) use memory::trim;
pub(crate) use options::{attach_filter, bind_to_device, icmpv6_filter, join_ipv6, set_integer};
pub use packet::Seen;
pub(crate) use packet::{bind_packet, packet_drops, receive_packet, receive_seen, send_packet};
pub(crate) use ppp::{
    ppp_attach, ppp_carries, ppp_channel_of, ppp_connect, ppp_disconnect, ppp_unit, pppoe_connect, pppoe_socket,
};
