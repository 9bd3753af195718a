//! TFTP for reading (RFC 1350), with options (RFC 2347): blksize (RFC 2348), timeout and tsize (RFC 2349), windowsize
//! (RFC 7440). A transfer is a pure machine: packets in, packets out, and a time to send again.
use std::sync::Arc;
use std::time::Duration;

/// What a file is cut into without a wish.
const PLAIN: usize = 512;
/// The largest block: what an Ethernet frame carries whole.
const LARGEST: usize = 1_468;
/// Blocks that may be on their way at once.
const WINDOW: u16 = 64;
/// How often something is sent again before the other end counts as gone.
const TRIES: u32 = 8;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

/// A request for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name, without leading slashes.
    pub name: String,
    options: Vec<(String, u64)>,
}

/// A packet that says that something is wrong.
pub fn error(code: u16, words: &str) -> Vec<u8> {
    [&ERROR.to_be_bytes()[..], &code.to_be_bytes(), words.as_bytes(), b"\0"].concat()
}

impl Request {
    /// Reads what came to port 69.
    ///
    /// # Errors
    /// The packet that answers what is wrong; empty when nothing does.
    pub fn parse(packet: &[u8]) -> Result<Request, Vec<u8>> {
        let Some((code, rest)) = packet.split_first_chunk() else { return Err(Vec::new()) };
        match u16::from_be_bytes(*code) {
            READ => {}
            WRITE => return Err(error(2, "nothing is written here")),
            _ => return Err(Vec::new()),
        }
        let Some(texts) = rest.strip_suffix(b"\0").and_then(|texts| std::str::from_utf8(texts).ok()) else {
            return Err(error(4, "a request that nobody can read"));
        };
        let mut texts = texts.split('\0');
        let (Some(name), Some(mode)) = (texts.next(), texts.next()) else {
            return Err(error(4, "a request without a mode"));
        };
        if !mode.eq_ignore_ascii_case("octet") {
            return Err(error(4, "only octet"));
        }
        let mut options = Vec::new();
        while let (Some(option), Some(value)) = (texts.next(), texts.next()) {
            // What is no number is no option that we know, and so left out of the answer.
            if let Ok(value) = value.parse() {
                options.push((option.to_ascii_lowercase(), value));
            }
        }
        Ok(Request { name: name.trim_start_matches('/').to_owned(), options })
    }
}

/// A file on its way.
#[derive(Debug)]
pub struct Transfer {
    file: Arc<[u8]>,
    block: usize,
    window: u16,
    timeout: Duration,
    /// The options that hold, to be acknowledged before the first block; none: there were none.
    agreed: Option<Vec<u8>>,
    /// The first block that is not acknowledged, from 1 on.
    next: u64,
    tries: u32,
}

/// What a packet did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send these, then wait for an answer.
    Send(Vec<Vec<u8>>),
    /// Nothing new.
    Wait,
    /// The whole file is there.
    Done,
    /// The other end gave up, or is gone.
    Failed(String),
}

impl Transfer {
    /// Of this file, as the request wants it.
    pub fn new(file: Arc<[u8]>, request: &Request) -> Transfer {
        let mut transfer = Transfer {
            file,
            block: PLAIN,
            window: 1,
            timeout: Duration::from_secs(1),
            agreed: None,
            next: 1,
            tries: 0,
        };
        let mut agreed = Vec::new();
        for (option, value) in &request.options {
            let value = match (option.as_str(), *value) {
                ("blksize", size @ 8..) => {
                    transfer.block = usize::try_from(size).unwrap_or(LARGEST).min(LARGEST);
                    transfer.block as u64
                }
                ("windowsize", size @ 1..) => {
                    transfer.window = u16::try_from(size).unwrap_or(WINDOW).min(WINDOW);
                    u64::from(transfer.window)
                }
                ("timeout", seconds @ 1..=255) => {
                    transfer.timeout = Duration::from_secs(seconds);
                    seconds
                }
                ("tsize", _) => transfer.file.len() as u64,
                _ => continue,
            };
            agreed.extend_from_slice(format!("{option}\0{value}\0").as_bytes());
        }
        transfer.agreed = (!agreed.is_empty()).then(|| [&OPTIONS.to_be_bytes()[..], &agreed].concat());
        transfer
    }

    /// How long to wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Bytes that have arrived.
    pub fn arrived(&self) -> usize {
        usize::try_from(self.next - 1).unwrap_or(usize::MAX).saturating_mul(self.block).min(self.file.len())
    }

    /// The first packets; the same again when the answer is late.
    pub fn again(&mut self) -> Step {
        self.tries += 1;
        if self.tries > TRIES {
            return Step::Failed(format!("no answer after {} of {} bytes", self.arrived(), self.file.len()));
        }
        Step::Send(self.wanted())
    }

    fn last(&self) -> u64 {
        // A file whose last block is full ends with an empty one.
        (self.file.len() / self.block) as u64 + 1
    }

    fn wanted(&self) -> Vec<Vec<u8>> {
        if let Some(agreed) = &self.agreed {
            return vec![agreed.clone()];
        }
        let end = self.last().min(self.next + u64::from(self.window) - 1);
        (self.next..=end).map(|number| self.data(number)).collect()
    }

    fn data(&self, number: u64) -> Vec<u8> {
        let start = usize::try_from(number - 1).unwrap_or(usize::MAX).saturating_mul(self.block).min(self.file.len());
        let end = (start + self.block).min(self.file.len());
        // Numbers begin anew after 65,535.
        [&DATA.to_be_bytes()[..], &(number as u16).to_be_bytes(), self.file.get(start..end).unwrap_or_default()]
            .concat()
    }

    /// A packet from the other end.
    pub fn packet(&mut self, packet: &[u8]) -> Step {
        let Some((&[c0, c1, n0, n1], rest)) = packet.split_first_chunk() else { return Step::Wait };
        match u16::from_be_bytes([c0, c1]) {
            ACK => self.acknowledged(u16::from_be_bytes([n0, n1])),
            ERROR => {
                let words = String::from_utf8_lossy(rest);
                // Firmware asks for the size alone, and then says that it had enough (RFC 2349).
                Step::Failed(format!("the other end said: {}", words.trim_end_matches('\0')))
            }
            _ => Step::Wait,
        }
    }

    fn acknowledged(&mut self, number: u16) -> Step {
        if self.agreed.is_some() {
            if number != 0 {
                return Step::Wait;
            }
            self.agreed = None;
        } else {
            // How many blocks from the first that is missing; 0 = it lacks just that one.
            let ahead = u64::from(number.wrapping_sub(self.next as u16).wrapping_add(1));
            let sent = self.last().min(self.next + u64::from(self.window) - 1) - self.next + 1;
            // An old one again: answering it would double everything that follows.
            if ahead > sent || (ahead == 0 && self.window == 1) {
                return Step::Wait;
            }
            self.next += ahead;
        }
        self.tries = 0;
        if self.next > self.last() { Step::Done } else { Step::Send(self.wanted()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, options: &[(&str, &str)]) -> Request {
        let mut packet = vec![0, 1];
        packet.extend_from_slice(format!("{name}\0octet\0").as_bytes());
        options.iter().for_each(|(option, value)| packet.extend_from_slice(format!("{option}\0{value}\0").as_bytes()));
        Request::parse(&packet).unwrap()
    }

    fn file(length: usize) -> Arc<[u8]> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    /// The other end, which loses every packet of a number in `lost` once; what it got.
    fn fetch(transfer: &mut Transfer, mut lost: Vec<u64>) -> Vec<u8> {
        let (mut got, mut expected, mut counter) = (Vec::new(), 1u16, 0);
        let mut step = transfer.again();
        for _ in 0..100_000 {
            let Step::Send(packets) = step else { panic!("{step:?}") };
            let mut answer = None;
            for packet in &packets {
                counter += 1;
                if lost.contains(&counter) {
                    lost.retain(|number| *number != counter);
                    continue;
                }
                let number = u16::from_be_bytes([packet[2], packet[3]]);
                if packet[..2] == OPTIONS.to_be_bytes() {
                    answer = Some(0);
                } else if number == expected {
                    got.extend_from_slice(&packet[4..]);
                    answer = Some(number);
                    expected = expected.wrapping_add(1);
                } else {
                    answer = Some(expected.wrapping_sub(1));
                }
            }
            let Some(number) = answer else {
                step = transfer.again();
                continue;
            };
            step = transfer.packet(&[&ACK.to_be_bytes()[..], &number.to_be_bytes()].concat());
            match step {
                Step::Done => return got,
                Step::Wait => step = transfer.again(),
                _ => {}
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn files_of_every_size_arrive_whole() {
        for length in [0, 1, 511, 512, 513, 70_000] {
            let plain = fetch(&mut Transfer::new(file(length), &request("a", &[])), vec![]);
            assert!(plain[..] == file(length)[..], "{length}");
            let options = [("blksize", "1468"), ("windowsize", "16"), ("tsize", "0")];
            let fast = fetch(&mut Transfer::new(file(length), &request("a", &options)), vec![]);
            assert!(fast[..] == file(length)[..], "{length}");
        }
    }

    #[test]
    fn numbers_begin_anew_in_a_large_file() {
        let options = [("blksize", "8"), ("windowsize", "64")];
        let got = fetch(&mut Transfer::new(file(8 * 140_000 + 3), &request("a", &options)), vec![]);
        assert!(got[..] == file(8 * 140_000 + 3)[..]);
    }

    #[test]
    fn what_is_lost_is_sent_again() {
        for lost in [vec![1], vec![2, 3], vec![5, 9, 17, 18, 40]] {
            for options in [&[][..], &[("windowsize", "8")]] {
                let got = fetch(&mut Transfer::new(file(20_000), &request("a", options)), lost.clone());
                assert!(got[..] == file(20_000)[..], "{lost:?} {options:?}");
            }
        }
    }

    #[test]
    fn who_does_not_answer_is_given_up_and_an_old_answer_doubles_nothing() {
        let mut transfer = Transfer::new(file(2_000), &request("a", &[]));
        assert!(matches!(transfer.again(), Step::Send(_)));
        assert!(matches!(transfer.packet(&[0, 4, 0, 1]), Step::Send(_)));
        assert_eq!(transfer.packet(&[0, 4, 0, 1]), Step::Wait);
        assert_eq!(transfer.packet(&[0, 4, 0, 9]), Step::Wait);
        for _ in 0..TRIES {
            assert!(matches!(transfer.again(), Step::Send(_)));
        }
        let Step::Failed(words) = transfer.again() else { panic!() };
        assert!(words.contains("512 of 2000"), "{words}");
    }

    #[test]
    fn requests_are_read_and_wrong_ones_answered() {
        assert_eq!(request("/vmlinuz", &[]).name, "vmlinuz");
        let agreed = Transfer::new(file(9), &request("a", &[("BLKSIZE", "9000"), ("tsize", "0"), ("x", "1")])).agreed;
        assert_eq!(agreed.unwrap(), b"\0\x06blksize\x001468\0tsize\x009\0");
        for silent in [&b""[..], b"\0", b"\0\x04\0\x01", b"\0\x09a\0octet\0"] {
            assert_eq!(Request::parse(silent), Err(Vec::new()));
        }
        for (packet, code) in [(&b"\0\x02a\0octet\0"[..], 2), (b"\0\x01a\0netascii\0", 4), (b"\0\x01a", 4)] {
            assert_eq!(Request::parse(packet).unwrap_err()[..4], [0, 5, 0, code]);
        }
    }
}
