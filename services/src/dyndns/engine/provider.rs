//! What is said to a provider and what its answers mean: a conversation of one question or of a few.
use super::super::config::{Provider, Record};
use super::cloudflare::Cloudflare;
use super::http::{self, Answer, escaped};
use super::update::Update;
use crate::perm::WallTime;
use base64ct::{Base64, Encoding};
use std::net::IpAddr;
use std::time::Duration;

/// What dyndns2 wants to be waited for when its servers have trouble (`911`, `dnserr`).
const TROUBLE: Duration = Duration::from_secs(1_800);
/// Letters of an answer that are repeated in the log.
const REPEATED: usize = 80;

/// What goes to the record's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Over TLS; one answer of HTTP comes.
    Https(Vec<u8>),
    /// A DNS message over TCP; one comes.
    Dns(Vec<u8>),
}

/// What has come of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The record has this address.
    Published,
    /// It was not to be had just now; perhaps after this long.
    Later(String, Option<Duration>),
    /// The provider does not want it so: not before long.
    Refused(String),
    /// The provider forbids to ask again before something else is said.
    Forbidden(String),
}

/// What follows an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A further question.
    Ask(Ask),
    /// The end.
    Done(Verdict),
}

/// A conversation with a provider.
#[derive(Debug)]
pub enum Conversation {
    /// Three questions.
    Cloudflare(Cloudflare),
    /// A signed message.
    Update(Box<Update>),
    /// One question over HTTPS, whose answer is a word.
    Word,
}

impl Conversation {
    /// Begins one.
    ///
    /// # Errors
    /// When there is nothing that can be said.
    pub fn begin(record: &Record, address: IpAddr, wall: WallTime, id: u16) -> Result<(Conversation, Ask), String> {
        let ip = address.to_string();
        let name = escaped(&record.name);
        let get = |path: &str, authorization: Option<&str>| {
            (Conversation::Word, Ask::Https(http::request(record, "GET", path, authorization, None)))
        };
        Ok(match &record.provider {
            Provider::Cloudflare { token } => {
                let (conversation, ask) = Cloudflare::begin(record, token, address);
                (Conversation::Cloudflare(conversation), ask)
            }
            Provider::Update { key_name, key } => {
                let (update, message) = Update::begin(record, (key_name, key), address, wall, id)?;
                (Conversation::Update(Box::new(update)), Ask::Dns(message))
            }
            Provider::Dyndns2 { path, username, password } => {
                let basic = Base64::encode_string(format!("{username}:{password}").as_bytes());
                get(&format!("{path}?hostname={name}&myip={}", escaped(&ip)), Some(&format!("Basic {basic}")))
            }
            Provider::Desec { token } => {
                // What is not named it takes from the connection, unless it is told to leave it alone.
                let (v4, v6) = if record.ipv6 { ("preserve", ip.as_str()) } else { (ip.as_str(), "preserve") };
                let (v4, v6) = (escaped(v4), escaped(v6));
                get(&format!("/?hostname={name}&myipv4={v4}&myipv6={v6}"), Some(&format!("Token {token}")))
            }
            Provider::Duckdns { token } => {
                let domain = escaped(record.name.strip_suffix(".duckdns.org").unwrap_or(&record.name));
                let key = if record.ipv6 { "ipv6" } else { "ip" };
                get(&format!("/update?domains={domain}&token={}&{key}={}", escaped(token), escaped(&ip)), None)
            }
        })
    }

    /// An answer has come: the bytes of a DNS message, or what HTTP has said.
    pub fn answered(&mut self, record: &Record, said: &Said, wall: WallTime) -> Next {
        match (self, said) {
            (Conversation::Cloudflare(conversation), Said::Http(answer)) => conversation.answered(record, answer),
            (Conversation::Update(update), Said::Dns(message)) => Next::Done(update.answered(message, wall)),
            (Conversation::Word, Said::Http(answer)) => Next::Done(word(&record.provider, answer)),
            _ => Next::Done(Verdict::Later("it has answered in another protocol".to_owned(), None)),
        }
    }
}

/// What a server has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// By HTTP.
    Http(Answer),
    /// By DNS.
    Dns(Vec<u8>),
}

/// The beginning of an answer, fit for a line of the log.
pub fn shown(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(REPEATED).collect();
    format!("{:?}", text.trim())
}

/// A status that is no success; `None` when it is one.
pub fn status(answer: &Answer) -> Option<Verdict> {
    let words = || format!("status {} and {}", answer.status, shown(&answer.body));
    match answer.status {
        200..300 => None,
        // It is our fault: another try will fare no better.
        400 | 401 | 403 | 404 | 405 | 422 => Some(Verdict::Refused(words())),
        _ => Some(Verdict::Later(words(), answer.retry_after)),
    }
}

/// The answer of a provider that answers with a word.
fn word(provider: &Provider, answer: &Answer) -> Verdict {
    let text = String::from_utf8_lossy(&answer.body);
    let first = text.split_whitespace().next().unwrap_or_default();
    if matches!(provider, Provider::Duckdns { .. }) {
        return match (status(answer), first) {
            (Some(verdict), _) => verdict,
            (None, "OK") => Verdict::Published,
            // Of a token or a name that it does not know, and sometimes of its own trouble.
            (None, _) => Verdict::Refused(shown(&answer.body)),
        };
    }
    match first {
        "badauth" | "badagent" | "abuse" | "nohost" | "notfqdn" | "numhost" | "!donator" | "!yours" => {
            Verdict::Forbidden(shown(&answer.body))
        }
        "dnserr" | "911" => Verdict::Later(shown(&answer.body), Some(TROUBLE)),
        _ if answer.status == 401 => Verdict::Forbidden(format!("status 401 and {}", shown(&answer.body))),
        _ => match (status(answer), first) {
            (Some(verdict), _) => verdict,
            // `nochg` has to be avoided, but says that all is well.
            (None, "good" | "nochg") => Verdict::Published,
            (None, _) => Verdict::Later(format!("{} is not understood", shown(&answer.body)), None),
        },
    }
}
