//! Requests as they are read and refused.
use super::request::{HEADERS, LARGEST_SENT, asked, end_of_head};
use super::*;
use proptest::prelude::*;

#[test]
fn requests_are_read_and_refused() {
    let peer = IpAddr::from([192, 168, 42, 7]);
    let asked = |bytes: &[u8]| request::asked(bytes, (peer, false), Takes::default());
    let any = Takes { any_method: true, ..Takes::default() };
    let status =
        |text: &str| asked(text.as_bytes()).map(|result| result.map_or_else(|refused| refused.status, |_| 200));
    assert_eq!(status("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), Some(200));
    let (request, with_body) = asked(b"GET /a?b=%41+c&d HTTP/1.0\r\n\r\n").unwrap().unwrap();
    assert_eq!((request.path.as_str(), with_body, request.peer), ("/a", true, peer));
    let values = ["b", "d", "e"].map(|key| request.value(key));
    assert_eq!(values, [Some("A c".into()), Some(String::new()), None]);
    assert!(request::asked(b"PUT /a HTTP/1.1\r\n\r\n", (peer, false), any).unwrap().is_ok());
    assert!(!asked(b"HEAD /a HTTP/1.1\r\n\r\n").unwrap().unwrap().1);
    assert_eq!(status("GET /metr"), None);
    assert_eq!(status("PUT / HTTP/1.1\r\n\r\n"), Some(405));
    assert_eq!(status("POST / HTTP/1.1\r\n\r\n"), Some(400), "without a length");
    assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"), Some(431));
    let post = "POST / HTTP/1.1\r\nHost: router:8067\r\nContent-Length: 3\r\n\r\na=";
    assert_eq!(status(post), None, "not whole yet");
    let request = asked(format!("{post}b").as_bytes()).unwrap().unwrap().0;
    assert_eq!((request.body.as_slice(), request.host.as_str()), (&b"a=b"[..], "router:8067"));
    assert_eq!(
        (request.header("host"), request.field("a"), request.header("x")),
        ("router:8067", Some("b".into()), "")
    );
    for twice in ["Content-Length: 3\r\nContent-Length: 4", "Content-Length: 3\r\nTransfer-Encoding: chunked"] {
        assert_eq!(status(&format!("POST / HTTP/1.1\r\n{twice}\r\n\r\nabcd")), Some(400), "{twice}");
    }
    let large = Takes { body: 100, ..Takes::default() };
    let post = |length: usize| format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{}", "a".repeat(length));
    let sent = |length: usize| {
        request::asked(post(length).as_bytes(), (peer, false), large).unwrap().map(|(asked, _)| asked.body.len())
    };
    assert_eq!((sent(100), sent(101).map_err(|refused| refused.status)), (Ok(100), Err(413)));
    let streamed = Takes { sent: &["/file"], ..Takes::default() };
    let head = |length: u64| format!("POST /file HTTP/1.1\r\nContent-Length: {length}\r\n\r\nabc");
    let sent = |length| request::asked(head(length).as_bytes(), (peer, false), streamed).unwrap();
    assert_eq!(sent(LARGEST_SENT).unwrap().0.coming, LARGEST_SENT, "before it has come");
    assert_eq!(sent(LARGEST_SENT + 1).unwrap_err().status, 413);
    assert_eq!(end_of_head(head(3).as_bytes()), head(3).len() - 3);
    assert_eq!(status("GET\0/ HTTP/1.1\r\n\r\n"), Some(400));
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(LARGEST))), Some(431));
    assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS + 1))), Some(431));
    assert_eq!(Response::text(200, "abc").bytes(false).windows(3).filter(|three| three == b"abc").count(), 0);
}

#[test]
fn a_request_is_meant_for_us_or_not() {
    let is_for_us =
        |host: &str, origin: &str| Request { host: host.into(), origin: origin.into(), ..Request::empty() }.is_for_us();
    for host in ["192.168.42.1:8067", "[fd00::1]:8067", "router7:8067", "router7.lan", "weir"] {
        assert!(is_for_us(host, "") && is_for_us(host, &format!("http://{host}")), "{host}");
        assert!(!is_for_us(host, "http://evil.example") && !is_for_us(host, "null"), "{host}");
    }
    assert!(!is_for_us("evil.example:8067", "") && !is_for_us("", ""));
}

proptest! {
    #[test]
    fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(Ok((request, _))) = asked(&bytes, (IpAddr::from([0; 4]), false), Takes { any_method: true, body: 99, sent: &["/a"] }) {
            let _ = request.value("host");
        }
    }
}
