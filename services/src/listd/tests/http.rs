use super::super::engine::http::{Answer, LARGEST, Reading, elsewhere, request};
use crate::perm::blocklists::Url;
use proptest::prelude::*;
use std::time::Duration;

// In pieces of so many bytes.
fn read(text: &[u8], piece: usize, ends: bool) -> Result<(Option<Answer>, Vec<u8>), String> {
    let (mut reading, mut list, mut bytes) = (Reading::default(), Vec::new(), Vec::new());
    let pieces: Vec<&[u8]> = text.chunks(piece).collect();
    for (at, piece) in pieces.iter().enumerate() {
        bytes.extend_from_slice(piece);
        let ended = ends && at + 1 == pieces.len();
        let answer = reading.read(&mut bytes, ended, |part| {
            list.extend_from_slice(part);
            Ok(())
        })?;
        if answer.is_some() {
            return Ok((answer, list));
        }
    }
    Ok((None, list))
}

fn whole(etag: &str, modified: &str) -> Option<Answer> {
    Some(Answer::Whole(etag.into(), modified.into()))
}

#[test]
fn a_list_is_handed_on_as_it_comes_whatever_the_pieces() {
    let head = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    for (text, ends, want) in [
        (format!("{head}Content-Length: 6\r\n\r\na.b\nc.d"), false, "a.b\nc."),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\na.\r\n4;x=y\r\nb\nc.\r\n0\r\nX: y\r\n\r\n"),
            false,
            "a.b\nc.",
        ),
        (format!("HTTP/1.1 103 Early\r\nA: b\r\n\r\n{head}\r\na.b\nc."), true, "a.b\nc."),
        (format!("{head}Content-Length: 0\r\n\r\n"), false, ""),
    ] {
        for piece in [1, 2, 3, 7, 1_000] {
            let (answer, list) = read(text.as_bytes(), piece, ends).unwrap();
            assert_eq!(answer, whole("\"a\"", "Thu, 01 Jan 2026 00:00:00 GMT"), "{text:?} by {piece}");
            assert_eq!(list, want.as_bytes(), "{text:?} by {piece}");
        }
    }
}

#[test]
fn what_is_no_list_is_said_to_be() {
    let answer = |text: &str| read(text.as_bytes(), 100_000, true).map(|(answer, _)| answer);
    assert_eq!(answer("HTTP/1.1 304 Not Modified\r\n\r\n"), Ok(Some(Answer::Same)));
    let moved = answer("HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n");
    assert_eq!(moved, Ok(Some(Answer::Elsewhere("/b".into()))));
    let refused = |words: &str, after| Ok(Some(Answer::Refused(words.into(), after)));
    assert_eq!(answer("HTTP/1.1 404 No\r\n\r\n"), refused("it answers 404", None));
    let wait = Some(Duration::from_secs(90));
    assert_eq!(answer("HTTP/1.1 429 Slow\r\nRetry-After: 90\r\n\r\n"), refused("it answers 429", wait));
    for (text, words) in [
        ("SSH-2.0-x\r\n\r\n", "this is no HTTP"),
        ("HTTP/1.1 2", "hung up in the middle"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na.b", "hung up in the middle"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\na.b", "it has 1073741824 bytes: 64 MiB at most"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "is none"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "it comes as \"gzip\""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "it comes as \"gzip, chunked\""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a chunk without a size"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngood\r\n", "a chunk without an end"),
        ("HTTP/1.1 301 Moved\r\n\r\n", "not where"),
    ] {
        let said = answer(text);
        assert!(said.as_ref().is_err_and(|said| said.contains(words)), "{text:?}: {said:?}");
    }
    assert!(answer(&format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(40_000))).is_err());
}

#[test]
fn a_list_without_an_end_is_left() {
    let mut reading = Reading::default();
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut taken = 0;
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10_0000, b'a');
    chunk.extend_from_slice(b"\r\n");
    let refused = loop {
        bytes.extend_from_slice(&chunk);
        match reading.read(&mut bytes, false, |part| {
            taken += part.len() as u64;
            Ok(())
        }) {
            Ok(answer) => assert_eq!(answer, None),
            Err(words) => break words,
        }
    };
    assert_eq!((refused.as_str(), taken), ("it has more than 64 MiB", LARGEST));
}

#[test]
fn requests_and_redirections() {
    let url = Url::parse("https://lists.example:8443/a?b").unwrap();
    let text = String::from_utf8(request(&url, "\"x\"", "")).unwrap();
    assert!(text.starts_with("GET /a?b HTTP/1.1\r\nHost: lists.example:8443\r\n"), "{text}");
    assert!(text.contains("\r\nIf-None-Match: \"x\"\r\n") && !text.contains("If-Modified-Since"), "{text}");
    let to = |to: &str| elsewhere(&url, to).map(|url| url.text);
    assert_eq!(to("/c"), Ok("https://lists.example:8443/c".into()));
    assert_eq!(to("HTTPS://b.example/c"), Ok("HTTPS://b.example/c".into()));
    assert_eq!(to("//b.example/c"), Ok("https://b.example/c".into()));
    for wrong in ["http://lists.example/a", "ftp://x", "c", "", "https://\r\n", "/a\r\nX: y"] {
        assert!(to(wrong).is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_met(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1usize..50, at in 0usize..120) {
        let _ = read(&bytes, piece, true);
        let mut damaged = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: x\r\n\r\n2\r\ngo\r\n0\r\nA: b\r\n\r\n".to_vec();
        if let (Some(place), Some(byte)) = (damaged.get_mut(at), bytes.first()) {
            *place = *byte;
        }
        let _ = read(&damaged, piece, true);
    }
}
