//! What the tests of this crate share.
use nix::sched::{CloneFlags, unshare};

/// Runs in a thread of its own, whose network namespace nobody else sees.
pub fn in_namespace(body: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run the tests as root or under unshare");
        body();
    })
    .join()
    .unwrap();
}
