//! What machines that start from the network say to `weir recover`.
use super::Target;
use super::recover::{dhcp, tftp};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Both of its servers.
pub const TARGETS: &[Target] = &[("tftp", tftp), ("recover_dhcp", dhcp)];

/// A request, a zero byte twice, and the packets that follow, each with its length before it.
fn tftp(bytes: &[u8]) {
    let at = bytes.windows(3).position(|three| three == [0, 0, 0]).unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at((at + 1).min(bytes.len()));
    let Ok(request) = tftp::Request::parse(first) else { return };
    let file: Arc<[u8]> = (0..3_000u32).map(|at| at as u8).collect();
    let mut transfer = tftp::Transfer::new(file.clone(), &request);
    let mut step = transfer.again();
    let mut rest = rest.get(2..).unwrap_or_default();
    loop {
        match step {
            tftp::Step::Send(packets) => {
                assert!(packets.len() <= 64 && packets.iter().all(|packet| packet.len() <= 1_500));
            }
            tftp::Step::Done | tftp::Step::Failed(_) => return,
            tftp::Step::Wait => {}
        }
        assert!(transfer.arrived() <= file.len());
        let Some((length, behind)) = rest.split_first() else { return };
        let (packet, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        step = if packet.is_empty() { transfer.again() } else { transfer.packet(packet) };
    }
}

/// Messages, one after the other, of 300 bytes each and the last of what is left.
fn dhcp(bytes: &[u8]) {
    let mut server = dhcp::Server::new(Ipv4Addr::new(192, 168, 42, 1), 24, dhcp::FIRST_HOST);
    for message in bytes.chunks(300).chain([bytes]) {
        if let dhcp::Said::Answer { bytes, address, .. } = server.answer(message, &[]) {
            assert!(bytes.len() >= 300 && address.octets()[..3] == [192, 168, 42]);
        }
    }
}
