//! What SSH clients may say, for `fuzz/`.
use super::keys::Authorized;
use super::session::{Session, State};
use super::wish::Wish;
use sunset::SignKey;

/// A client's bytes, in pieces as large as the first of them says, as far as it gets without a key.
pub fn ssh(bytes: &[u8]) {
    let _ = Wish::parse(&String::from_utf8_lossy(bytes));
    let Some((piece, mut rest)) = bytes.split_first() else { return };
    let key = SignKey::Ed25519(sunset::ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
    let (mut session, keys) = (Session::new(), Authorized::default());
    let mut turns = 0;
    loop {
        turns += 1;
        assert!(turns < 10_000, "it never ends");
        let before = rest.len();
        if session.is_hungry() {
            let part = &rest[..rest.len().min(usize::from(*piece) + 1)];
            match session.input(part) {
                Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Err(_) => return,
            }
        }
        if session.turn(&keys, &key).is_err() || session.state() == State::Over {
            return;
        }
        assert!(session.state() == State::Outside, "nobody comes in without a key");
        let count = session.output().len();
        session.sent(count);
        if rest.len() == before && count == 0 {
            return;
        }
    }
}
