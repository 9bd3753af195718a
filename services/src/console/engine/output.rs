//! What waits to be written: bounded, because a serial line may stand still for ever.
use std::collections::VecDeque;

/// Most bytes that wait; what comes beyond is dropped and counted.
pub const LIMIT: usize = 64 << 10;
/// Room that is kept for the mark of what was dropped.
const MARK: usize = 64;

/// A queue of bytes towards the terminal.
#[derive(Debug, Default)]
pub struct Output {
    queue: VecDeque<u8>,
    dropped: usize,
    prompt: Option<&'static str>,
}

impl Output {
    /// Appends a text; a text that does not fit is dropped whole, and so is all that follows until there is room.
    pub fn push(&mut self, text: &str) {
        if self.dropped > 0 || self.queue.len() + text.len() > LIMIT - MARK {
            self.dropped = self.dropped.saturating_add(text.len());
        } else {
            self.queue.extend(text.as_bytes());
        }
    }

    /// Appends a prompt; one that does not fit is not lost, but comes after the mark.
    pub fn prompt(&mut self, text: &'static str) {
        let before = self.dropped;
        self.push(text);
        self.prompt = (self.dropped > before).then_some(text);
    }

    /// The bytes to write next; empty when none waits.
    pub fn front(&self) -> &[u8] {
        self.queue.as_slices().0
    }

    /// Takes away what was written. Once half is free, says how much was dropped meanwhile.
    pub fn written(&mut self, bytes: usize) {
        self.queue.drain(..bytes.min(self.queue.len()));
        if self.dropped > 0 && self.queue.len() < LIMIT / 2 {
            let mark = format!("\n[{} bytes dropped: the line is too slow]\n", self.dropped);
            self.dropped = 0;
            self.queue.extend(mark.as_bytes());
            self.queue.extend(self.prompt.take().unwrap_or_default().as_bytes());
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a source that can wait should wait.
    pub fn is_full(&self) -> bool {
        self.queue.len() > LIMIT / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(output: &mut Output) -> String {
        let mut text = String::new();
        while !output.is_empty() {
            let front = output.front().to_vec();
            text.push_str(&String::from_utf8_lossy(&front));
            output.written(front.len());
        }
        text
    }

    #[test]
    fn keeps_the_order_and_says_what_it_dropped() {
        let mut output = Output::default();
        for number in 0..10_000 {
            output.push(&format!("line {number:05}\n"));
            assert!(output.queue.len() <= LIMIT);
        }
        assert!(output.is_full());
        let text = all(&mut output);
        let kept = text.lines().filter(|line| line.starts_with("line ")).count();
        let mark = format!("[{} bytes dropped: the line is too slow]", (10_000 - kept) * 11);
        assert!(text.starts_with("line 00000\nline 00001\n") && text.contains(&mark), "{mark}");
        output.push("after");
        assert_eq!(all(&mut output), "after");
        output.push(&"x".repeat(LIMIT - 100));
        output.push(&"y".repeat(LIMIT));
        output.prompt("weir> ");
        assert!(all(&mut output).ends_with("too slow]\nweir> "));
    }
}
