//! What a hit costs that can be counted: nothing is allocated for it.
use super::{World, a, ask};
use domain::base::iana::{Rcode, Rtype};

#[test]
fn a_hit_allocates_nothing() {
    let mut world = World::with_two();
    let question = ask("WWW.example.com", Rtype::A);
    assert!(world.query(&question).is_none());
    world.reply(Rcode::NOERROR, |records| a(records, 300, 7));
    let local = ask("nas.lan", Rtype::A);
    world.configure(&["10.0.0.1", "10.0.0.2"], &[("nas", 9, None)]);
    let mut out = Vec::with_capacity(512);
    for (what, question) in [("of the cache", question), ("of our own names", local)] {
        let message = question.message(7);
        let (engine, now) = (&mut world.engine, world.now);
        // Whoever asks for the first time is put down in the table of clients.
        assert!(engine.query(now, question.client, &message, &mut out), "{what}");
        let mut answered = 0;
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                answered += u32::from(engine.query(now, question.client, &message, &mut out));
            }
        });
        assert_eq!((answered, counted.count_total), (100, 0), "{what}");
    }
    // The counter counts.
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(7)))).count_total, 1);
}
