//! Requests and answers of HTTP/1.1 (RFC 9112), one a connection.
use super::super::config::Record;
use std::fmt::Write;
use std::time::Duration;

/// Header lines of an answer.
const HEADERS: usize = 64;
/// Bytes of an answer's content.
const LARGEST: usize = 192 << 10;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// How long we shall wait (`Retry-After` in seconds).
    pub retry_after: Option<Duration>,
    /// The content.
    pub body: Vec<u8>,
}

/// The bytes of a request. `path` and `authorization` were checked for what may not stand in a head.
pub fn request(record: &Record, method: &str, path: &str, authorization: Option<&str>, json: Option<&[u8]>) -> Vec<u8> {
    let place = &record.server;
    let host = match place.port {
        443 => place.host.to_string(),
        port => format!("{}:{port}", place.host),
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: weir/{version}\r\nAccept: */*\r\nConnection: close\r\n"
    );
    // Writing to memory cannot fail.
    if let Some(words) = authorization {
        let _ = write!(head, "Authorization: {words}\r\n");
    }
    if let Some(json) = json {
        let _ = write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(json.unwrap_or_default());
    bytes
}

/// A value of a query (RFC 3986, section 2.1).
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Understands what has come; `None` = it is not the whole answer yet. `ended` = no more will come.
///
/// # Errors
/// When it is no answer, or too large a one.
pub fn parse(bytes: &[u8], ended: bool) -> Result<Option<Answer>, String> {
    let mut rest = bytes;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if ended => return Err("it has hung up without an answer".to_owned()),
            Ok(httparse::Status::Partial) if rest.len() > LARGEST => return Err("no end of its head".to_owned()),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("this is no HTTP: {error}")),
        };
        let status = head.code.unwrap_or_default();
        let content = rest.get(length..).unwrap_or_default();
        if (100..200).contains(&status) {
            // A word before the answer.
            rest = content;
            continue;
        }
        let value = |name: &str| {
            let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        let body = if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            chunks(content)?
        } else if let Some(length) = value("content-length") {
            let length = length.parse::<usize>().ok().filter(|length| *length <= LARGEST);
            let length = length.ok_or_else(|| "its length is none that can be taken".to_owned())?;
            content.get(..length).map(<[u8]>::to_vec)
        } else {
            ended.then(|| content.to_vec())
        };
        let retry_after = value("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        return match body {
            Some(body) => Ok(Some(Answer { status, retry_after, body })),
            None if ended => Err("it has hung up in the middle of its answer".to_owned()),
            None if content.len() > LARGEST => Err(format!("its answer has more than {LARGEST} bytes")),
            None => Ok(None),
        };
    }
}

/// The content of chunks (RFC 9112, section 7.1), once the last one is there.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let (start, length) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("a chunk without a size".to_owned()),
        };
        if length == 0 {
            return Ok(Some(body));
        }
        let length = usize::try_from(length).ok().filter(|length| body.len() + length <= LARGEST);
        let end = length.ok_or_else(|| format!("its answer has more than {LARGEST} bytes"))?.saturating_add(start);
        let Some(chunk) = rest.get(start..end) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(after) = rest.get(end..).filter(|after| after.len() >= 2) else { return Ok(None) };
        rest = after.strip_prefix(b"\r\n").ok_or_else(|| "a chunk without an end".to_owned())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(text: &str, ended: bool) -> Result<Option<String>, String> {
        let answer = parse(text.as_bytes(), ended)?;
        Ok(answer.map(|answer| format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))))
    }

    #[test]
    fn every_way_to_say_how_long_an_answer_is() {
        let said = |text: &str| Ok(Some(text.to_owned()));
        for (text, ended, want) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", false, said("200 good")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoo", false, Ok(None)),
            ("HTTP/1.0 200 OK\r\n\r\ngood", false, Ok(None)),
            ("HTTP/1.0 200 OK\r\n\r\ngood", true, said("200 good")),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false, said("404 ")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n2;x=y\r\nod\r\n0\r\n\r\n",
                false,
                said("200 good"),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n2\r\nod", false, Ok(None)),
            ("HTTP/1.1 2", false, Ok(None)),
        ] {
            assert_eq!(body(text, ended), want, "{text:?}");
        }
        for (text, said) in [
            ("SSH-2.0-x\r\n\r\n", "this is no HTTP"),
            ("", "hung up without"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoo", "in the middle"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "its length"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", "more than"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngood\r\n", "without an end"),
        ] {
            assert!(body(text, true).is_err_and(|words| words.contains(said)), "{text:?}: {:?}", body(text, true));
        }
        let waits =
            parse(b"HTTP/1.1 429 Slow\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n", false).unwrap().unwrap();
        assert_eq!(waits.retry_after, Some(Duration::from_secs(90)));
        assert_eq!(escaped("a b&ä.example"), "a%20b%26%C3%A4.example");
    }

    proptest! {
        #[test]
        fn any_bytes_are_met(bytes in proptest::collection::vec(any::<u8>(), 0..200), ended: bool, at in 0_usize..80) {
            let _ = parse(&bytes, ended);
            let right = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n2\r\ngo\r\n0\r\n\r\n";
            let mut damaged = right.to_vec();
            if let (Some(place), Some(byte)) = (damaged.get_mut(at), bytes.first()) {
                *place = *byte;
            }
            let _ = parse(&damaged, ended);
        }
    }
}
