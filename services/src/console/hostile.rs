//! What may come by the serial line, for `fuzz/`.
use super::engine::Session;

/// Keys, and answers to what they ask for.
pub fn console(bytes: &[u8]) {
    let (keys, answers) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    let mut session = Session::default();
    for byte in keys {
        let _ = session.input(&[*byte]);
        let count = session.output.front().len();
        session.output.written(count);
    }
    for line in answers.split(|byte| *byte == b'\n') {
        if session.takes_answers() {
            let _ = session.answer(line);
        }
    }
}
