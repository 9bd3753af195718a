//! Storms and views, in memory.
use super::client::View;
use super::ring::{Packet, Ring};
use super::session::farewell;
use super::wish::Wish;
use proptest::prelude::*;

fn packet(at: u64, length: usize) -> Packet {
    Packet { at, original: length, bytes: vec![at as u8; length].into() }
}

fn all() -> Wish {
    Wish::parse("control").unwrap()
}

/// Interface and stamp of every packet of a ring.
fn held(ring: &Ring) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut number = 0;
    while let Some((at, _, name, packet)) = ring.from(number) {
        found.push((name.to_owned(), packet.at));
        number = at + 1;
    }
    found
}

#[test]
fn a_storm_on_one_interface_pushes_out_its_own() {
    let mut ring = Ring::new(100_000);
    for at in 0..50 {
        ring.push("lan0", packet(at, 200));
    }
    for at in 50..100_050 {
        ring.push("uplink0", packet(at, 300));
    }
    let held = held(&ring);
    let quiet: Vec<u64> = held.iter().filter(|(name, _)| name == "lan0").map(|(_, at)| *at).collect();
    assert_eq!(quiet, (0..50).collect::<Vec<u64>>());
    assert_eq!(held.last(), Some(&("uplink0".to_owned(), 100_049)), "the storm's last are there");
    let (bytes, pushed_out) = ring.counts();
    assert!(bytes <= 100_000 && bytes > 99_000, "{bytes}");
    assert_eq!(pushed_out + held.len() as u64, 100_050);
}

#[test]
fn twenty_thousand_control_packets_fit() {
    let mut ring = Ring::new(super::RING);
    for at in 0..20_000 {
        ring.push(["uplink0", "lan0"][at as usize % 2], packet(at, 140));
    }
    assert_eq!(held(&ring).len(), 20_000);
}

#[test]
fn a_view_goes_on_where_it_was_and_says_what_it_missed() {
    let mut ring = Ring::new(2_000);
    let mut bytes = Vec::new();
    let mut view = View::begin(all(), &ring, &mut bytes);
    assert_eq!(bytes.len(), 28, "the head");
    assert!(!view.fill(&ring, &mut bytes, 9_999));
    ring.push("lan0", packet(1, 100));
    assert!(view.fill(&ring, &mut bytes, 9_999) && !view.fill(&ring, &mut bytes, 9_999));
    let before = bytes.len();
    for at in 2..100 {
        ring.push("lan0", packet(at, 100));
    }
    assert!(view.fill(&ring, &mut bytes, 99_999));
    // The first packet after the gap has the option: code 4, 8 bytes, 98 less the 12 that fit.
    let first = &bytes[before..];
    let length = u32::from_le_bytes(first[4..8].try_into().unwrap()) as usize;
    assert_eq!(&first[length - 20..length - 8], [4, 0, 8, 0, 86, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(held(&ring).len(), 12);
    // One who comes later has missed nothing.
    let mut late = Vec::new();
    let mut view = View::begin(all(), &ring, &mut late);
    view.fill(&ring, &mut late, 99_999);
    assert!(!late.windows(4).any(|four| four == [4, 0, 8, 0]));
}

#[test]
fn a_farewell_is_a_whole_packet() {
    for length in 0..40 {
        let bytes = farewell(&"x".repeat(length));
        let packet = bytes.strip_prefix(b"SSH-2.0-weir\r\n").unwrap();
        let said = u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize;
        assert_eq!(packet.len(), said + 4);
        assert!(packet.len().is_multiple_of(8) && packet[4] >= 4, "{length}");
    }
}

proptest! {
    #[test]
    fn a_ring_is_bounded_in_order_and_fair(pushes in proptest::collection::vec((0..4usize, 0..700usize), 0..400)) {
        let mut ring = Ring::new(10_000);
        let mut last = [0; 4];
        for (at, (face, length)) in pushes.iter().enumerate() {
            ring.push(["a", "b", "c", "d"][*face], packet(at as u64, *length));
            last[*face] = at as u64;
            prop_assert!(ring.counts().0 <= 10_000);
        }
        let held = held(&ring);
        prop_assert!(held.windows(2).all(|two| two[0].1 < two[1].1));
        // Nobody is left without its last packet: there is room for several of each.
        for (face, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            if pushes.iter().any(|(known, _)| *known == face) {
                prop_assert!(held.contains(&(name.to_owned(), last[face])));
            }
        }
    }
}
