//! Negotiation: what the other side may want, refuse or not know.
use super::*;

/// A bench in a session whose concentrator says nothing by itself; the id and options of our first request.
fn silent() -> (Bench, u8, Vec<u8>) {
    let mut bench = Bench::new(settings());
    bench.open = false;
    bench.connect();
    let (id, data) = last(&bench, LCP, code::REQUEST);
    (bench, id, data)
}

/// Id and data of the last packet of a protocol and code.
fn last(bench: &Bench, protocol: u16, code: u8) -> (u8, Vec<u8>) {
    try_last(bench, protocol, code).unwrap_or_else(|| panic!("no {protocol:04x} {code}: {:#?}", bench.done))
}

fn try_last(bench: &Bench, protocol: u16, code: u8) -> Option<(u8, Vec<u8>)> {
    bench.done.iter().rev().find_map(|action| match action {
        Action::Send(found, packet) if *found == protocol => {
            let packet = Control::parse(packet).unwrap();
            (packet.code == code).then(|| (packet.id, packet.data.to_vec()))
        }
        _ => None,
    })
}

fn say(bench: &mut Bench, protocol: u16, code: u8, id: u8, data: &[u8]) {
    bench.event(Event::Control(protocol, &ppp::emit(code, id, data)));
}

#[test]
fn a_lost_request_is_said_again_when_the_peer_is_first_heard() {
    let (mut bench, _, data) = silent();
    bench.taken();
    say(&mut bench, LCP, code::REQUEST, 1, &options(&[(5, &[9; 4])]));
    assert_eq!(last(&bench, LCP, code::REQUEST).1, data, "at once, not after a second");
    assert_eq!(last(&bench, LCP, code::ACK).1, options(&[(5, &[9; 4])]));
    bench.taken();
    say(&mut bench, LCP, code::REQUEST, 1, &options(&[(5, &[9; 4])]));
    assert_eq!(bench.done.len(), 1, "only the first time");
}

#[test]
fn an_answer_to_another_request_or_with_other_options_counts_for_nothing() {
    let (mut bench, id, data) = silent();
    say(&mut bench, LCP, code::REQUEST, 1, b"");
    bench.taken();
    say(&mut bench, LCP, code::ACK, id.wrapping_add(1), &data);
    say(&mut bench, LCP, code::ACK, id, &options(&[(1, &[0, 1])]));
    assert_eq!(bench.taken(), []);
    say(&mut bench, LCP, code::ACK, id, &data);
    assert!(try_last(&bench, IPCP, code::REQUEST).is_some(), "{:#?}", bench.done);
}

#[test]
fn what_is_not_known_is_rejected_and_an_unknown_proof_is_talked_over() {
    let (mut bench, _, _) = silent();
    // Asynchronous control characters, field compression, a callback.
    let unknown = options(&[(2, &[0; 4]), (7, &[]), (13, &[6])]);
    say(&mut bench, LCP, code::REQUEST, 1, &[options(&[(1, &[5, 0xd4])]), unknown.clone()].concat());
    assert_eq!(last(&bench, LCP, code::REJECT), (1, unknown));
    for (id, want) in [(2, vec![0xc2, 0x23, 5]), (3, vec![0xc0, 0x23]), (4, vec![0xc2, 0x23, 5])] {
        // CHAP by Microsoft's digest.
        say(&mut bench, LCP, code::REQUEST, id, &options(&[(3, &[0xc2, 0x23, 0x81])]));
        assert_eq!(last(&bench, LCP, code::NAK), (id, options(&[(3, &want)])));
    }
    for id in 5..12 {
        say(&mut bench, LCP, code::REQUEST, id, &options(&[(3, &[0xc2, 0x23, 0x81])]));
    }
    assert_eq!(last(&bench, LCP, code::REJECT), (11, options(&[(3, &[0xc2, 0x23, 0x81])])), "one gives in");
}

#[test]
fn a_smaller_packet_is_agreed_to_and_a_tiny_one_is_not() {
    let (mut bench, id, _) = silent();
    say(&mut bench, LCP, code::REQUEST, 1, &options(&[(1, &[0, 100])]));
    assert_eq!(last(&bench, LCP, code::NAK), (1, options(&[(1, &[5, 0xd4])])));
    say(&mut bench, LCP, code::NAK, id, &options(&[(1, &[5, 0x78])]));
    let (_, data) = last(&bench, LCP, code::REQUEST);
    assert!(data.starts_with(&[1, 4, 5, 0x78]), "{data:?}");
    let (id, _) = last(&bench, LCP, code::REQUEST);
    say(&mut bench, LCP, code::REJECT, id, &options(&[(1, &[5, 0x78]), (5, &data[6..10])]));
    assert_eq!(last(&bench, LCP, code::REQUEST).1, b"", "nothing is left to ask for");
}

#[test]
fn a_line_that_is_a_loop_is_found_out() {
    let (mut bench, _, _) = silent();
    let mut seen = 0;
    // Whatever we say comes back.
    for _ in 0..200 {
        let echoes: Vec<_> =
            bench.taken().into_iter().skip_while(|action| !matches!(action, Action::Send(..))).collect();
        for action in echoes {
            match action {
                Action::Send(protocol, packet) => bench.event(Event::Control(protocol, &packet)),
                Action::Complain(words) => {
                    assert!(words.starts_with("LCP: "), "{words}");
                    seen += 1;
                }
                _ => {}
            }
        }
        bench.pass(Duration::from_millis(100));
        if seen > 0 {
            break;
        }
    }
    assert_eq!(seen, 1);
    assert!(!bench.engine.is_up());
}

#[test]
fn one_network_protocol_is_enough() {
    for (rejected, ipv4, ipv6) in [(IPCP, false, true), (IPV6CP, true, false)] {
        let mut bench = Bench::new(settings());
        bench.peer.rejects = vec![rejected];
        bench.connect();
        let network = bench.network().unwrap();
        assert_eq!((network.ipv4.is_some(), network.ipv6.is_some()), (ipv4, ipv6));
        assert_eq!(bench.complaints().len(), 1);
    }
    let mut bench = Bench::new(settings());
    bench.peer.rejects = vec![IPCP, IPV6CP];
    bench.connect();
    assert!(!bench.engine.is_up() && bench.done.contains(&Action::End));
}

#[test]
fn an_ipv6_that_never_answers_does_not_keep_ipv4_waiting() {
    let mut bench = Bench::new(settings());
    bench.peer.swallows = Some(IPV6CP);
    bench.connect();
    let network = bench.network().unwrap();
    assert!(network.ipv4.is_some() && network.ipv6.is_none());
    bench.pass(Duration::from_secs(120));
    assert!(bench.engine.is_up());
    assert_eq!(bench.complaints(), ["IPV6CP: the concentrator does not answer; the session goes on without it"]);
}

#[test]
fn without_name_servers_or_with_no_address() {
    let mut bench = Bench::new(settings());
    bench.peer.dns = false;
    bench.connect();
    assert!(bench.network().unwrap().ipv4.unwrap().1.is_empty());
    for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1]] {
        let mut bench = Bench::new(settings());
        bench.peer.address = address;
        bench.connect();
        bench.pass(Duration::from_secs(40));
        let network = bench.network().unwrap();
        assert!(network.ipv4.is_none() && network.ipv6.is_some(), "{network:?}");
        assert!(bench.complaints().iter().any(|words| words.starts_with("IPCP: ")), "{:?}", bench.complaints());
    }
}

#[test]
fn a_peer_that_begins_anew_is_followed() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.taken();
    bench.peer = Peer::new(&[0xc0, 0x23]);
    bench.peer.address = [192, 0, 2, 99];
    bench.peer.asked[0] = true;
    say(&mut bench, LCP, code::REQUEST, 50, &options(&[(1, &[5, 0xd4]), (3, &[0xc0, 0x23])]));
    let address = bench.network().unwrap().ipv4.unwrap().0;
    assert_eq!(address, std::net::Ipv4Addr::new(192, 0, 2, 99), "{:#?}", bench.done);
    assert!(bench.engine.is_up() && !bench.done.contains(&Action::End));
}

#[test]
fn an_address_that_changes_within_the_session_is_followed() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.taken();
    bench.peer.address = [192, 0, 2, 77];
    say(&mut bench, IPCP, code::REQUEST, 60, &options(&[(3, &[192, 0, 2, 1])]));
    assert_eq!(bench.network().unwrap().ipv4.unwrap().0, std::net::Ipv4Addr::new(192, 0, 2, 77));
}

#[test]
fn echoes_unknown_codes_and_unknown_protocols_are_answered() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.taken();
    say(&mut bench, LCP, code::ECHO, 9, &[9, 9, 9, 9, 1, 2]);
    let (id, data) = last(&bench, LCP, code::ECHO_REPLY);
    assert!(id == 9 && data.len() == 6 && data[4..] == [1, 2] && data[..4] != [9; 4], "{data:?}");
    say(&mut bench, LCP, 99, 3, b"?");
    assert_eq!(last(&bench, LCP, code::CODE_REJECT).1, [99, 3, 0, 5, b'?']);
    say(&mut bench, IPV6CP, 99, 3, b"?");
    assert_eq!(last(&bench, IPV6CP, code::CODE_REJECT).1, [99, 3, 0, 5, b'?']);
    // Compression control.
    say(&mut bench, 0x80fd, 1, 1, b"");
    assert_eq!(last(&bench, LCP, code::PROTOCOL_REJECT).1, [0x80, 0xfd, 1, 1, 0, 4]);
    say(&mut bench, LCP, code::DISCARD, 1, &[0; 4]);
    assert!(bench.engine.is_up());
}

#[test]
fn a_challenge_may_come_again_at_any_time() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.taken();
    say(&mut bench, CHAP, 1, 44, b"\x02ab");
    let (id, data) = last(&bench, CHAP, 2);
    assert_eq!((id, &data[1..17]), (44, &md5::digest(&[&[44], b"secret", b"ab"])[..]));
    say(&mut bench, CHAP, 4, 44, b"");
    assert!(!bench.engine.is_up(), "and be failed");
}

#[test]
fn a_concentrator_that_leaves_says_why() {
    let mut bench = Bench::new(settings());
    bench.connect();
    bench.taken();
    bench.open = false;
    say(&mut bench, LCP, code::TERMINATE, 5, b"Peer\x07not responding");
    assert_eq!(last(&bench, LCP, code::TERMINATE_ACK).0, 5);
    assert_eq!(bench.complaints(), ["LCP: the concentrator ends it: Peer not responding; tried again in a while"]);
}

#[test]
fn nobody_says_whether_we_are_let_in() {
    for (proof, words) in [(&[0xc0, 0x23][..], "PAP"), (&[0xc2, 0x23, 5], "CHAP")] {
        let (mut bench, id, data) = silent();
        (bench.open, bench.peer.mute) = (true, true);
        say(&mut bench, LCP, code::REQUEST, 1, &options(&[(3, proof)]));
        say(&mut bench, LCP, code::ACK, id, &data);
        bench.pass(Duration::from_secs(31));
        let want = format!("{words}: the concentrator never says whether it lets us in");
        assert!(bench.complaints()[0].starts_with(&want), "{:?}", bench.complaints());
    }
}
