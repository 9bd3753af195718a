//! What is written is read back; parts are joined; any bytes are met. The kernel itself is asked in the machine.
use super::*;
use crate::netlink::builder::messages;
use proptest::prelude::*;

fn sample() -> PeerChange {
    PeerChange {
        key: Key([7; 32]),
        known: false,
        preshared: Some(Secret([8; 32])),
        endpoint: Some("[2001:db8::9]:51820".parse().unwrap()),
        keepalive: Some(25),
        replace_allowed: true,
        allowed: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:7::/48".parse().unwrap()],
    }
}

fn written(change: &PeerChange) -> Vec<u8> {
    let mut builder = Builder::new(1);
    builder.message(33, 0).raw(&header(SET_DEVICE));
    write_peer(&mut builder, 5, change);
    builder.done().to_vec()
}

fn read(bytes: &[u8]) -> Device {
    parse(&messages(bytes).next().unwrap()).unwrap()
}

#[test]
fn a_peer_that_is_written_is_read() {
    let device = read(&written(&sample()));
    let peer = &device.peers[0];
    assert_eq!((device.index, peer.key, peer.keepalive), (5, Key([7; 32]), 25));
    assert_eq!(
        (Some(&peer.preshared), peer.endpoint, &peer.allowed),
        (sample().preshared.as_ref(), sample().endpoint, &sample().allowed)
    );
    let v4 = PeerChange { endpoint: Some("192.0.2.1:9".parse().unwrap()), ..PeerChange::new(Key([1; 32]), true) };
    assert_eq!(read(&written(&v4)).peers[0].endpoint, v4.endpoint);
    assert!(!v4.is_empty() && PeerChange::new(Key([1; 32]), true).is_empty());
    assert!(!PeerChange::new(Key([1; 32]), false).is_empty(), "it makes a peer");
}

#[test]
fn a_peer_may_go_on_in_the_next_part() {
    let mut device = read(&written(&sample()));
    let more = PeerChange { allowed: vec!["172.16.0.0/12".parse().unwrap()], ..sample() };
    join(&mut device, read(&written(&more)));
    join(&mut device, read(&written(&PeerChange::new(Key([9; 32]), false))));
    assert_eq!(device.peers.len(), 2);
    assert_eq!(device.peers[0].allowed.len(), 3);
}

proptest! {
    #[test]
    fn any_bytes_are_met(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let message = Message { kind: 1, flags: 0, sequence: 0, payload: &bytes };
        let _ = parse(&message);
        // A whole message with a byte changed reaches further in.
        let mut whole = written(&sample());
        if let (Some(at), Some(value)) = (bytes.pop(), bytes.pop()) {
            let at = usize::from(at) % whole.len();
            whole[at] = value;
        }
        for message in messages(&whole) {
            let _ = parse(&message);
        }
    }
}
