//! UDP over IPv4 over Ethernet by smoltcp's formats, for the sockets that see whole packets.
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr,
    UdpPacket, UdpRepr,
};
use std::net::SocketAddrV4;

/// TTL of what we send, as router7.
const HOP_LIMIT: u8 = 255;
/// Length of an Ethernet header, in bytes.
const ETHERNET: usize = 14;
/// Length of an IPv4 header without options and of a UDP header, in bytes.
const HEADERS: usize = 28;

/// A datagram found in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Sender.
    pub source: SocketAddrV4,
    /// Receiver.
    pub destination: SocketAddrV4,
    /// What UDP carried.
    pub payload: &'a [u8],
}

/// Finds the datagram in an IPv4 packet; `None` for anything else, for a fragment and for a wrong checksum. With
/// `unsummed` the UDP checksum is not looked at: the sending kernel had left it to hardware that there is not.
pub fn parse(packet: &[u8], unsummed: bool) -> Option<Datagram<'_>> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    if ip.version() != 4
        || ip.next_header() != IpProtocol::Udp
        || ip.more_frags()
        || ip.frag_offset() != 0
        || !ip.verify_checksum()
    {
        return None;
    }
    let (from, to) = (ip.src_addr(), ip.dst_addr());
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    if !unsummed && !udp.verify_checksum(&IpAddress::Ipv4(from), &IpAddress::Ipv4(to)) {
        return None;
    }
    let length = usize::from(udp.len());
    Some(Datagram {
        source: SocketAddrV4::new(from, udp.src_port()),
        destination: SocketAddrV4::new(to, udp.dst_port()),
        payload: ip.payload().get(8..length)?,
    })
}

/// An IPv4 packet with a UDP datagram, checksums filled. A payload over 65,507 bytes is cut.
pub fn emit(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(65_507)];
    let mut bytes = vec![0; HEADERS + payload.len()];
    write(&mut bytes, source, destination, payload);
    bytes
}

/// The same behind an Ethernet header.
pub fn emit_ethernet(
    from: [u8; 6],
    to: [u8; 6],
    source: SocketAddrV4,
    destination: SocketAddrV4,
    payload: &[u8],
) -> Vec<u8> {
    let payload = &payload[..payload.len().min(65_507)];
    let mut bytes = vec![0; ETHERNET + HEADERS + payload.len()];
    let header = EthernetRepr {
        src_addr: EthernetAddress(from),
        dst_addr: EthernetAddress(to),
        ethertype: EthernetProtocol::Ipv4,
    };
    header.emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
    write(&mut bytes[ETHERNET..], source, destination, payload);
    bytes
}

fn write(bytes: &mut [u8], source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) {
    let udp = UdpRepr { src_port: source.port(), dst_port: destination.port() };
    let ip = Ipv4Repr {
        src_addr: *source.ip(),
        dst_addr: *destination.ip(),
        next_header: IpProtocol::Udp,
        payload_len: 8 + payload.len(),
        hop_limit: HOP_LIMIT,
    };
    let sums = ChecksumCapabilities::default();
    let mut packet = Ipv4Packet::new_unchecked(bytes);
    ip.emit(&mut packet, &sums);
    let (from, to) = (IpAddress::Ipv4(ip.src_addr), IpAddress::Ipv4(ip.dst_addr));
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &from,
        &to,
        payload.len(),
        |body| body.copy_from_slice(payload),
        &sums,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);

    #[test]
    fn what_is_written_is_read() {
        let packet = emit(FROM, TO, b"hello");
        assert_eq!(parse(&packet, false), Some(Datagram { source: FROM, destination: TO, payload: b"hello" }));
        let frame = emit_ethernet([2; 6], [255; 6], FROM, TO, b"hello");
        assert_eq!(&frame[12..14], &[8, 0]);
        assert_eq!(&frame[14..], &packet[..]);
    }

    #[test]
    fn a_wrong_checksum_counts_unless_there_is_none_yet() {
        let mut packet = emit(FROM, TO, b"hello");
        packet[26] ^= 1;
        assert_eq!(parse(&packet, false), None);
        assert!(parse(&packet, true).is_some());
        let mut fragment = emit(FROM, TO, b"hello");
        fragment[6] = 0x20;
        assert_eq!(parse(&fragment, true), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes, true);
            if let Some(first) = bytes.first_mut() {
                *first = 0x45;
            }
            let _ = parse(&bytes, true);
        }
    }
}
