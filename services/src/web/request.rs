//! What a client asks for, from its bytes.
use super::LARGEST;
use super::answer::Response;
use super::connection::Takes;
use std::net::IpAddr;

/// Bytes of a body that is taken as it comes.
pub(super) const LARGEST_SENT: u64 = 64 << 20;
/// Header lines of a request.
pub(super) const HEADERS: usize = 64;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` (also for `HEAD`) or `POST`.
    pub method: String,
    /// Without what follows a `?`.
    pub path: String,
    /// What follows the `?`, as it came.
    pub query: String,
    /// Who asks.
    pub peer: IpAddr,
    /// It came over TLS.
    pub secure: bool,
    /// The name by which the client knows us, with the port.
    pub host: String,
    /// Where a browser says that the request comes from; empty when it does not say.
    pub origin: String,
    /// What the client says of who it is, such as `Basic Z29r...`; empty when it does not say.
    pub authorization: String,
    /// Every header, by its name in lower case.
    pub headers: Vec<(String, String)>,
    /// What a form holds.
    pub body: Vec<u8>,
    /// Bytes of a body that is still to come, where it is taken as it comes.
    pub coming: u64,
}

impl Request {
    /// One that asks for nothing, to be filled by tests.
    #[cfg(test)]
    pub fn empty() -> Request {
        let (method, path, query, host, origin, authorization) = Default::default();
        let peer = IpAddr::from([127, 0, 0, 1]);
        let (secure, headers, body, coming) = Default::default();
        Request { method, path, query, peer, secure, host, origin, authorization, headers, body, coming }
    }

    /// Whether it was meant for this server: called by its address or by a name at home, which no site of the internet
    /// has, and from no other site's page.
    pub fn is_for_us(&self) -> bool {
        let name = match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let at_home = name.parse::<std::net::IpAddr>().is_ok() || !name.contains('.') || name.ends_with(".lan");
        let origin = self.origin.split_once("://").map_or(self.origin.as_str(), |(_, host)| host);
        !name.is_empty() && at_home && (origin.is_empty() || origin == self.host)
    }

    /// The first value of a key of the query, decoded; what decodes to no text is none.
    pub fn value(&self, key: &str) -> Option<String> {
        value_of(&self.query, key)
    }

    /// The same of a form.
    pub fn field(&self, key: &str) -> Option<String> {
        value_of(std::str::from_utf8(&self.body).ok()?, key)
    }

    /// A header by its name in lower case; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

fn value_of(pairs: &str, key: &str) -> Option<String> {
    let mut pairs = pairs.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(name, _)| decoded(name).as_deref() == Some(key)).and_then(|(_, value)| decoded(value))
}

// `%41` is A and `+` is a space (WHATWG URL, application/x-www-form-urlencoded).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let &[first, ref tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', &[high, low, ref after @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push((digit(high)? << 4 | digit(low)?) as u8);
                rest = after;
            }
            (b'%', _) => return None,
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Where a head ends that was understood.
pub(super) fn end_of_head(bytes: &[u8]) -> usize {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    match httparse::Request::new(&mut headers).parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        _ => bytes.len(),
    }
}

/// The request in these bytes and whether its answer has a body; `None` while it is not whole.
pub(super) fn asked(
    bytes: &[u8],
    (peer, secure): (IpAddr, bool),
    takes: Takes,
) -> Option<Result<(Request, bool), Response>> {
    let any_method = takes.any_method;
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() <= LARGEST => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(Response::text(431, "too large\n")));
        }
        Err(error) => return Some(Err(Response::text(400, format!("{error}\n")))),
    };
    let path = request.path.unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default().trim().to_owned()
    };
    let (host, origin, authorization) = (header("host"), header("origin"), header("authorization"));
    let lengths = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("content-length")).count();
    if lengths > 1 || !header("transfer-encoding").is_empty() {
        // Where it ends must not be a matter of opinion (RFC 9112, section 6.3).
        return Some(Err(Response::text(400, "a body has one Content-Length\n")));
    }
    let mut coming = 0;
    let (method, body, with_body) = match request.method {
        Some("POST") if takes.sent.contains(&path.as_str()) => match header("content-length").parse() {
            Ok(length) if length <= LARGEST_SENT => {
                coming = length;
                ("POST", &[][..], true)
            }
            Ok(_) => return Some(Err(Response::text(413, format!("a file has at most {LARGEST_SENT} bytes\n")))),
            Err(_) => return Some(Err(Response::text(400, "Content-Length is wanted\n"))),
        },
        Some("GET") => ("GET", &[][..], true),
        Some("HEAD") => ("GET", &[][..], false),
        Some("POST") => {
            let length = match header("content-length").parse::<usize>() {
                Ok(length) => length,
                Err(_) if any_method => 0,
                Err(_) => return Some(Err(Response::text(400, "Content-Length is wanted\n"))),
            };
            if takes.body > 0 && length > takes.body {
                return Some(Err(Response::text(413, format!("a body has at most {} bytes\n", takes.body))));
            }
            if takes.body == 0 && end.saturating_add(length) > LARGEST {
                return Some(Err(Response::text(431, "too large\n")));
            }
            ("POST", bytes.get(end..end + length)?, true)
        }
        Some(other) if any_method => (other, &[][..], true),
        _ => return Some(Err(Response::text(405, "only GET, HEAD and POST\n"))),
    };
    let (method, body) = (method.to_owned(), body.to_vec());
    let text = |header: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        (header.name.to_ascii_lowercase(), value)
    };
    let headers = request.headers.iter().map(text).collect();
    let request = Request { method, path, query, peer, secure, host, origin, authorization, headers, body, coming };
    Some(Ok((request, with_body)))
}
