//! What a client is answered.

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// `Content-Type`.
    pub kind: &'static str,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// Plain text.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }

    pub(super) fn bytes(&self, with_body: bool) -> Vec<u8> {
        self.bytes_with("", with_body)
    }

    fn bytes_with(&self, headers: &str, with_body: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            303 => "See Other",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            413 => "Content Too Large",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Error",
        };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
            self.status,
            self.kind,
            self.body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(if with_body { &self.body } else { &[] });
        bytes
    }
}

/// A response with headers of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    response: Response,
    headers: String,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer { response, headers: String::new() }
    }
}

impl Answer {
    /// Adds a header; line ends in it are left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        let value: String = value.chars().filter(|letter| !letter.is_control()).collect();
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// To another page of ours.
    pub fn redirect(path: &str) -> Answer {
        Answer::from(Response::text(302, "")).header("Location", path)
    }

    pub(super) fn bytes(&self, with_body: bool) -> Vec<u8> {
        self.response.bytes_with(&self.headers, with_body)
    }
}

/// A piece of a body whose length nobody knows yet (RFC 9112, section 7.1); nothing is no piece, as that would be the end.
pub(super) fn chunk(content: &[u8]) -> Vec<u8> {
    if content.is_empty() {
        return Vec::new();
    }
    let mut bytes = format!("{:x}\r\n", content.len()).into_bytes();
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
