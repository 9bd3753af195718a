//! ARP (RFC 826) for the question whether somebody else has an address (RFC 5227), by smoltcp's format. Packets are
//! without their Ethernet header.
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};
use std::net::Ipv4Addr;

/// Bytes of an ARP packet for IPv4 over Ethernet.
const LENGTH: usize = 28;

/// A probe (RFC 5227, section 1.1): who has `target`? Its sender address is 0.0.0.0, so that no cache takes it.
pub fn probe(mac: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: Ipv4Addr::UNSPECIFIED,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let mut bytes = vec![0; LENGTH];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    bytes
}

/// Who says that it has which address, by request or reply; `None` when it is no ARP for IPv4 over Ethernet.
pub fn sender(packet: &[u8]) -> Option<([u8; 6], Ipv4Addr)> {
    let packet = ArpPacket::new_checked(packet).ok()?;
    let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } = ArpRepr::parse(&packet).ok()? else {
        return None;
    };
    Some((source_hardware_addr.0, source_protocol_addr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_probe_names_its_target_and_no_sender() {
        let bytes = probe([2, 0, 0, 0, 0, 7], Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(bytes[..8], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!((&bytes[14..18], &bytes[24..28]), (&[0; 4][..], &[192, 0, 2, 9][..]));
        assert_eq!(sender(&bytes), Some(([2, 0, 0, 0, 0, 7], Ipv4Addr::UNSPECIFIED)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = sender(&bytes);
        }
    }
}
