//! Frames made by hand, for counting what one costs: UDP and TCP over IPv4 and IPv6, and answers to who asks for neighbours.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hardware address.
pub type Mac = [u8; 6];

/// One end of a conversation.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// Its card, or the router's on the way to it.
    pub mac: Mac,
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
}

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ARP: [u8; 2] = [0x08, 0x06];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum()
}

/// The Internet checksum (RFC 1071).
fn checksum(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A frame with an IP packet.
fn packet(from: &End, to: &End, protocol: u8, mut body: Vec<u8>, sum_at: usize) -> Vec<u8> {
    let addresses = match (from.ip, to.ip) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
        other => panic!("two families: {other:?}"),
    };
    let whole = sum(&addresses) + u32::from(protocol) + body.len() as u32 + sum(&body);
    body[sum_at..sum_at + 2].copy_from_slice(&checksum(whole));
    let (kind, header) = if from.ip.is_ipv4() {
        let mut header = vec![0x45, 0];
        header.extend((20 + body.len() as u16).to_be_bytes());
        header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        header.extend(&addresses);
        let own = checksum(sum(&header));
        header[10..12].copy_from_slice(&own);
        (IPV4, header)
    } else {
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((body.len() as u16).to_be_bytes());
        header.extend([protocol, if protocol == ICMPV6 { 255 } else { 64 }]);
        header.extend(&addresses);
        (IPV6, header)
    };
    let mut frame = [&to.mac[..], &from.mac, &kind, &header, &body].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A UDP datagram with so many bytes.
pub fn udp(from: &End, to: &End, payload: usize) -> Vec<u8> {
    let mut body = [from.port.to_be_bytes(), to.port.to_be_bytes()].concat();
    body.extend((8 + payload as u16).to_be_bytes());
    body.extend([0, 0]);
    body.resize(8 + payload, 0x77);
    packet(from, to, UDP, body, 6)
}

/// A TCP segment: flags (SYN 2, ACK 16), numbers, and so many bytes.
pub fn tcp(from: &End, to: &End, flags: u8, sequence: u32, acknowledged: u32, payload: usize) -> Vec<u8> {
    let mut body = [from.port.to_be_bytes(), to.port.to_be_bytes()].concat();
    body.extend(sequence.to_be_bytes());
    body.extend(acknowledged.to_be_bytes());
    body.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    body.resize(20 + payload, 0x77);
    packet(from, to, TCP, body, 16)
}

/// Whether a frame is UDP or TCP, and not something that hosts say to each other besides.
pub fn is_load(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some(kind) if kind == IPV4 => frame.get(23).is_some_and(|protocol| [TCP, UDP].contains(protocol)),
        Some(kind) if kind == IPV6 => frame.get(20).is_some_and(|protocol| [TCP, UDP].contains(protocol)),
        _ => false,
    }
}

/// Bytes that a frame carries over IPv4 by TCP.
pub fn tcp_bytes(frame: &[u8]) -> u64 {
    let length = match (frame.get(16..18), frame.get(23), frame.get(46)) {
        (Some(length), Some(&TCP), Some(offset)) => {
            let header = 20 + u64::from(offset >> 4) * 4;
            u64::from(u16::from_be_bytes([length[0], length[1]])).saturating_sub(header)
        }
        _ => 0,
    };
    if frame.get(12..14) == Some(&IPV4[..]) { length } else { 0 }
}

/// The answer to a question for a neighbour: whatever address is asked for is at `mac`.
pub fn neighbour(frame: &[u8], mac: Mac) -> Option<Vec<u8>> {
    let asker: Mac = frame.get(6..12)?.try_into().ok()?;
    if frame.get(12..14)? == ARP && frame.get(20..22)? == [0, 1] {
        let (sender, target) = (frame.get(22..32)?, frame.get(38..42)?);
        let words = [&asker[..], &mac, &ARP, &[0, 1, 8, 0, 6, 4, 0, 2], &mac, target, sender];
        return Some(words.concat());
    }
    if frame.get(12..14)? == IPV6 && frame.get(20)? == &ICMPV6 && frame.get(54)? == &135 {
        let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?));
        let (source, target) = (address(22)?, address(62)?);
        if source.is_unspecified() {
            return None;
        }
        // Solicited, override; with the address of the card.
        let body = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &target.octets(), &[2, 1], &mac].concat();
        let (from, to) = (End { mac, ip: target.into(), port: 0 }, End { mac: asker, ip: source.into(), port: 0 });
        return Some(packet(&from, &to, ICMPV6, body, 2));
    }
    None
}

/// An IPv4 end.
pub fn ipv4(mac: Mac, ip: [u8; 4], port: u16) -> End {
    End { mac, ip: Ipv4Addr::from(ip).into(), port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_their_length_and_their_sums() {
        let (from, to) = (ipv4([2; 6], [192, 168, 42, 7], 1), ipv4([4; 6], [198, 51, 100, 1], 2));
        let frame = udp(&from, &to, 18);
        assert_eq!(frame.len(), 60);
        assert_eq!(checksum(sum(&frame[14..34])), [0, 0]);
        assert!(is_load(&frame) && is_load(&tcp(&from, &to, 2, 1, 0, 0)));
        let (from, to) =
            (End { ip: "2001:db8::1".parse().unwrap(), ..from }, End { ip: "2001:db8::2".parse().unwrap(), ..to });
        let frame = udp(&from, &to, 1);
        assert_eq!(checksum(sum(&frame[22..54]) + 17 + 9 + sum(&frame[54..63])), [0, 0]);
        assert!(neighbour(&frame, [9; 6]).is_none());
    }
}
