//! HTTP/1.1 (RFC 9112) as a list comes by it: a request, and an answer of any length that is handed on as it comes.
use crate::perm::blocklists::Url;
use std::time::Duration;

/// Header lines, and bytes of a head.
const HEADERS: usize = 96;
const HEAD: usize = 32 << 10;
/// Bytes of the line before a chunk, and of the lines behind the last one.
const CHUNK_LINE: usize = 1 << 10;
const TRAILERS: usize = 8 << 10;
/// Bytes of a list.
pub const LARGEST: u64 = 64 << 20;
/// Bytes of `ETag` and `Last-Modified` that are kept.
const LONGEST_WORD: usize = 256;

/// The bytes of a request.
pub fn request(url: &Url, etag: &str, modified: &str) -> Vec<u8> {
    let host = match url.place.port {
        443 => url.place.host.to_string(),
        port => format!("{}:{port}", url.place.host),
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: weir/{version}\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n",
        url.path
    );
    for (name, value) in [("If-None-Match", etag), ("If-Modified-Since", modified)] {
        if !value.is_empty() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// What an answer comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The whole list has come; `ETag` and `Last-Modified`.
    Whole(String, String),
    /// It is as it was.
    Same,
    /// It is elsewhere.
    Elsewhere(String),
    /// It is not to be had, in words; how long its server wants to be left alone.
    Refused(String, Option<Duration>),
}

#[derive(Debug)]
enum Part {
    Head,
    /// So many bytes are left.
    Length(u64),
    /// So many of a chunk are left; 0 = its size comes next.
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// Lines behind the last chunk.
    Trailers(usize),
    /// Until the connection's end.
    Rest,
}

/// An answer in the making.
#[derive(Debug)]
pub struct Reading {
    part: Part,
    etag: String,
    modified: String,
    taken: u64,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { part: Part::Head, etag: String::new(), modified: String::new(), taken: 0 }
    }
}

impl Reading {
    /// Takes what has come from `bytes`, and hands on what is the list's; `ended` = no more will come. `None` = it is not
    /// over yet.
    ///
    /// # Errors
    /// When it is no answer, breaks off, is too large, or `give` says so.
    pub fn read(
        &mut self,
        bytes: &mut Vec<u8>,
        ended: bool,
        mut give: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<Option<Answer>, String> {
        let mut at = 0;
        let answer = loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match self.step(rest, ended, &mut give)? {
                Step::Took(0) => break None,
                Step::Took(count) => at += count,
                Step::Over(answer) => break Some(answer),
            }
        };
        bytes.drain(..at);
        if answer.is_none() && ended {
            return Err("it has hung up in the middle of its answer".to_owned());
        }
        Ok(answer)
    }

    fn whole(&mut self) -> Step {
        Step::Over(Answer::Whole(std::mem::take(&mut self.etag), std::mem::take(&mut self.modified)))
    }

    fn step(
        &mut self,
        rest: &[u8],
        ended: bool,
        give: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<Step, String> {
        match self.part {
            Part::Head => self.head(rest),
            Part::Length(0) => Ok(self.whole()),
            Part::Length(left) => {
                let count = self.give(rest, left, give)?;
                self.part = Part::Length(left - count as u64);
                Ok(if left == count as u64 { self.whole() } else { Step::Took(count) })
            }
            Part::Rest if rest.is_empty() && ended => Ok(self.whole()),
            Part::Rest => self.give(rest, u64::MAX, give).map(Step::Took),
            Part::Chunk(0) => match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete((start, 0))) => {
                    self.part = Part::Trailers(0);
                    Ok(Step::Took(start))
                }
                Ok(httparse::Status::Complete((start, size))) => {
                    self.part = Part::Chunk(size);
                    Ok(Step::Took(start))
                }
                Ok(httparse::Status::Partial) if rest.len() <= CHUNK_LINE => Ok(Step::Took(0)),
                _ => Err("a chunk without a size".to_owned()),
            },
            Part::Chunk(left) => {
                let count = self.give(rest, left, give)?;
                self.part = if left == count as u64 { Part::ChunkEnd } else { Part::Chunk(left - count as u64) };
                Ok(Step::Took(count))
            }
            Part::ChunkEnd => match rest {
                [b'\r', b'\n', ..] => {
                    self.part = Part::Chunk(0);
                    Ok(Step::Took(2))
                }
                [] | [b'\r'] => Ok(Step::Took(0)),
                _ => Err("a chunk without an end".to_owned()),
            },
            Part::Trailers(before) => match rest.iter().position(|byte| *byte == b'\n') {
                Some(0) | Some(1) if rest.starts_with(b"\r\n") || rest.starts_with(b"\n") => Ok(self.whole()),
                Some(end) if before + end < TRAILERS => {
                    self.part = Part::Trailers(before + end + 1);
                    Ok(Step::Took(end + 1))
                }
                None if before + rest.len() < TRAILERS => Ok(Step::Took(0)),
                _ => Err("no end behind its last chunk".to_owned()),
            },
        }
    }

    fn give(
        &mut self,
        rest: &[u8],
        most: u64,
        give: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        let count = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.taken += count as u64;
        if self.taken > LARGEST {
            return Err(format!("it has more than {} MiB", LARGEST >> 20));
        }
        give(rest.get(..count).unwrap_or_default())?;
        Ok(count)
    }

    fn head(&mut self, rest: &[u8]) -> Result<Step, String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if rest.len() > HEAD => return Err("no end of its head".to_owned()),
            Ok(httparse::Status::Partial) => return Ok(Step::Took(0)),
            Err(error) => return Err(format!("this is no HTTP: {error}")),
        };
        let value = |name: &str| {
            let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        let kept = |name: &str| {
            let fits =
                |text: &&str| text.len() <= LONGEST_WORD && text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
            value(name).filter(fits).unwrap_or_default().to_owned()
        };
        let status = head.code.unwrap_or_default();
        match status {
            // A word before the answer.
            100..=199 => return Ok(Step::Took(length)),
            200 => {}
            304 => return Ok(Step::Over(Answer::Same)),
            301 | 302 | 303 | 307 | 308 => {
                let elsewhere = value("location").ok_or_else(|| format!("it answers {status} and not where"))?;
                return Ok(Step::Over(Answer::Elsewhere(elsewhere.to_owned())));
            }
            _ => {
                let after = value("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
                return Ok(Step::Over(Answer::Refused(format!("it answers {status}"), after)));
            }
        }
        if let Some(coding) = value("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(format!("it comes as {coding:?}, which was not asked for"));
        }
        self.part = if let Some(coding) = value("transfer-encoding") {
            if !coding.eq_ignore_ascii_case("chunked") {
                return Err(format!("it comes as {coding:?}, which was not asked for"));
            }
            Part::Chunk(0)
        } else if let Some(length) = value("content-length") {
            let length = length.parse::<u64>().map_err(|_| format!("its length {length:?} is none"))?;
            if length > LARGEST {
                return Err(format!("it has {length} bytes: {} MiB at most", LARGEST >> 20));
            }
            Part::Length(length)
        } else {
            Part::Rest
        };
        (self.etag, self.modified) = (kept("etag"), kept("last-modified"));
        Ok(Step::Took(length))
    }
}

enum Step {
    Took(usize),
    Over(Answer),
}

/// Where a redirection leads, from an address; no other scheme than https.
///
/// # Errors
/// Says what is wrong with it.
pub fn elsewhere(from: &Url, to: &str) -> Result<Url, String> {
    let lower = to.get(..8).unwrap_or_default().to_ascii_lowercase();
    if lower == "https://" {
        return Url::parse(to);
    }
    let host = match from.place.port {
        443 => from.place.host.to_string(),
        port => format!("{}:{port}", from.place.host),
    };
    if let Some(rest) = to.strip_prefix("//") {
        return Url::parse(&format!("https://{rest}"));
    }
    if to.starts_with('/') {
        return Url::parse(&format!("https://{host}{to}"));
    }
    Err(format!("it leads to {to:?}, which is not https"))
}
