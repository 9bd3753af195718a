//! Somebody else has the address that a server gave.
use super::*;

const THIEF: Mac = Mac([2, 0, 0, 0, 0, 0x66]);

#[test]
fn a_new_address_is_used_at_once_and_asked_about_once() {
    let mut scene = Scene::bound();
    assert_eq!((scene.obtained.len(), &scene.probed[..]), (1, &[(MAC, ADDRESS)][..]));
    scene.pass(Duration::from_secs(3_600));
    scene.answer(5, ADDRESS, SERVER, 7_200);
    assert_eq!((scene.obtained.len(), scene.probed.len()), (2, 1), "a renewal is no news");
    scene.event(Event::Link(None));
    scene.event(Event::Link(Some(MAC)));
    scene.answer(5, ADDRESS, SERVER, 7_200);
    assert_eq!(scene.probed.len(), 2, "the line may lead elsewhere");
}

#[test]
fn an_address_in_use_is_declined_and_another_is_looked_for_after_ten_seconds() {
    let mut scene = Scene::bound();
    scene.pass(Duration::from_millis(1_900));
    scene.event(Event::Claimed(THIEF, ADDRESS));
    let (server, source, message) = scene.last();
    assert_eq!((kind(message), server, source, message.ciaddr()), (v4::MessageType::Decline, None, NONE, NONE));
    assert_eq!((requested(message), server_id(message)), (Some(ADDRESS), Some(SERVER)));
    assert!(message.opts().get(OptionCode::ClientIdentifier).is_some());
    assert!(message.opts().get(OptionCode::ParameterRequestList).is_none(), "RFC 2131, table 5");
    assert_eq!((scene.forgotten, scene.restored.len()), (1, 0), "there was none before");
    let sent = scene.sent.len();
    assert_eq!(scene.next_timer(), Duration::from_secs(10));
    let (_, _, message) = scene.last();
    assert_eq!((scene.sent.len(), kind(message), requested(message)), (sent + 1, v4::MessageType::Discover, None));
    // The same is offered again: again it takes ten seconds, at least.
    scene.obtain(7_200);
    scene.event(Event::Claimed(THIEF, ADDRESS));
    scene.event(Event::Claimed(THIEF, ADDRESS));
    assert_eq!(scene.next_timer(), Duration::from_secs(10));
}

#[test]
fn the_configuration_before_it_comes_back() {
    let before = Ipv4Addr::new(85, 195, 207, 70);
    let mut scene = Scene::linked();
    scene.answer(2, before, SERVER, 7_200);
    scene.answer(5, before, SERVER, 7_200);
    scene.pass(Duration::from_secs(3_600));
    scene.answer(6, NONE, SERVER, 0);
    scene.obtain(7_200);
    scene.event(Event::Claimed(THIEF, ADDRESS));
    assert_eq!(scene.restored.iter().map(|lease| lease.address).collect::<Vec<_>>(), [before]);
    // And once more: what is in use is still that.
    scene.pass(Duration::from_secs(10));
    scene.obtain(7_200);
    scene.event(Event::Claimed(THIEF, ADDRESS));
    assert_eq!(scene.restored.len(), 2);
}

#[test]
fn only_a_claim_of_this_address_by_another_within_two_seconds_counts() {
    let mut scene = Scene::bound();
    scene.event(Event::Spoof(None));
    scene.event(Event::Claimed(MAC, ADDRESS));
    scene.event(Event::Claimed(THIEF, OTHER));
    scene.event(Event::Claimed(THIEF, NONE));
    scene.pass(Duration::from_secs(2));
    scene.event(Event::Claimed(THIEF, ADDRESS));
    assert_eq!((scene.engine.state(), scene.forgotten), (State::Bound, 0));
}
