//! What strangers and the kernel may say, as functions of bytes, for `fuzz/` only: each is to come back, without a panic.
use crate::netlink::builder::{Message, attributes, messages};
use crate::wire::{arp, dhcpv4, dhcpv6, ipv4udp, ndisc, ntp, ppp, pppoe};
use crate::{address, conntrack, ethtool, genetlink, link, neighbour, netlink, qdisc, route, wireguard};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A name and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the codecs.
pub const TARGETS: &[Target] =
    &[("frame", frame), ("dhcpv4", dhcpv4), ("dhcpv6", dhcpv6), ("ndisc", ndisc), ("netlink", netlink)];

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x42);

/// What comes by a packet socket.
fn frame(bytes: &[u8]) {
    let _ = arp::sender(bytes);
    for unsummed in [false, true] {
        if let Some(datagram) = ipv4udp::parse(bytes, unsummed) {
            assert!(datagram.payload.len() <= bytes.len());
        }
    }
    if let Some(packet) = pppoe::Discovery::parse(bytes) {
        assert!(packet.tags().count() <= bytes.len());
    }
    if let Some(packet) = ppp::Control::parse(bytes) {
        let _ = packet.options();
    }
    if let Some(packet) = ntp::Packet::parse(bytes) {
        assert!(ntp::Packet::parse(&packet.emit()) == Some(packet), "what is written is read");
    }
}

fn dhcpv4(bytes: &[u8]) {
    let Some(message) = dhcpv4::Message::parse(bytes) else { return };
    let _ = (message.op(), message.xid(), message.secs(), message.flags(), message.ethernet(), message.kind());
    let all: [Ipv4Addr; 4] = [message.ciaddr(), message.yiaddr(), message.siaddr(), message.giaddr()];
    let length: usize = (1..255).filter_map(|code| message.option(code)).map(|value| value.len()).sum();
    assert!(all.len() == 4 && length <= bytes.len(), "{length} bytes of options in {}", bytes.len());
}

fn dhcpv6(bytes: &[u8]) {
    let Some(message) = dhcpv6::Message::parse(bytes) else { return };
    for (code, value) in message.options.iter() {
        let _ = (message.options.first(code), message.options.number(code), message.options.addresses(code));
        for lease in [dhcpv6::Lease::address(value), dhcpv6::Lease::prefix(value)].into_iter().flatten() {
            let _ = lease.options.status();
        }
        if let Some(association) = dhcpv6::Association::parse(value) {
            assert!(association.options.iter().count() <= value.len());
        }
    }
    let _ = message.options.status();
}

fn ndisc(bytes: &[u8]) {
    let _ = ndisc::Solicitation::parse(bytes, ROUTER, 255);
    if let Some(advertisement) = ndisc::Advertisement::parse(bytes, ROUTER, 255) {
        let written = advertisement.emit();
        let again = ndisc::Advertisement::parse(&written, ROUTER, 255);
        assert!(again.as_ref() == Some(&advertisement), "{advertisement:?} is written as {again:?}");
    }
}

/// The kernel's answers, whatever was asked.
fn netlink(bytes: &[u8]) {
    let whole = Message { kind: 0, flags: 0, sequence: 1, payload: bytes };
    for message in messages(bytes).chain([whole]) {
        assert!(attributes(message.payload).count() <= message.payload.len());
        let _ = netlink::acknowledgement(&message);
        for kind in [
            message.kind,
            libc::RTM_NEWLINK,
            libc::RTM_NEWADDR,
            libc::RTM_NEWROUTE,
            libc::RTM_NEWNEIGH,
            libc::RTM_NEWQDISC,
        ] {
            let message = Message { kind, ..message };
            let _ = (link::Link::parse(&message), address::Address::parse(&message), route::Route::parse(&message));
            let _ = (neighbour::Neighbour::parse(&message), qdisc::Qdisc::parse(&message));
        }
        let _ = (conntrack::Flow::parse(message.payload), ethtool::parse(message.payload));
        let _ = (genetlink::number(message.payload, "wireguard"), wireguard::parse(&message));
    }
}
