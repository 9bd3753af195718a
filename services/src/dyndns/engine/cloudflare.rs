//! Cloudflare's interface, version 4: the zone's number, then the record's, then the record; what is right already is
//! left as it is.
use super::super::config::Record;
use super::http::{self, Answer, escaped};
use super::provider::{Ask, Next, Verdict, shown, status};
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;

/// Time to live that means "as Cloudflare likes it".
const AUTOMATIC: u32 = 1;
const BASE: &str = "/client/v4/zones";

#[derive(Debug, Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    result: serde_json::Value,
}

#[derive(Debug, Deserialize)]
struct Found {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    content: String,
}

#[derive(Debug)]
enum Step {
    Zone,
    Record { zone: String },
    Written,
}

/// The conversation.
#[derive(Debug)]
pub struct Cloudflare {
    step: Step,
    authorization: String,
    address: IpAddr,
}

impl Cloudflare {
    /// Asks for the zone.
    pub fn begin(record: &Record, token: &str, address: IpAddr) -> (Cloudflare, Ask) {
        let conversation = Cloudflare { step: Step::Zone, authorization: format!("Bearer {token}"), address };
        let path = format!("{BASE}?name={}", escaped(&record.zone));
        let ask = conversation.ask(record, "GET", &path, None);
        (conversation, ask)
    }

    fn ask(&self, record: &Record, method: &str, path: &str, json: Option<&[u8]>) -> Ask {
        Ask::Https(http::request(record, method, path, Some(&self.authorization), json))
    }

    /// The answer to the last question.
    pub fn answered(&mut self, record: &Record, answer: &Answer) -> Next {
        self.go_on(record, answer).unwrap_or_else(Next::Done)
    }

    fn go_on(&mut self, record: &Record, answer: &Answer) -> Result<Next, Verdict> {
        if let Some(verdict) = status(answer) {
            return Err(verdict);
        }
        let rubbish = |_| Verdict::Later(format!("{} is not understood", shown(&answer.body)), None);
        let Envelope { success, result } = serde_json::from_slice(&answer.body).map_err(rubbish)?;
        if !success {
            return Err(Verdict::Refused(shown(&answer.body)));
        }
        if matches!(self.step, Step::Written) {
            return Ok(Next::Done(Verdict::Published));
        }
        let found: Vec<Found> = serde_json::from_value(result).map_err(rubbish)?;
        // It becomes part of a path.
        let plain = |found: &&Found| !found.id.is_empty() && found.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let same = |name: &str, wanted: &str| name.trim_end_matches('.').eq_ignore_ascii_case(wanted);
        let kind = record.kind();
        match &self.step {
            Step::Zone => {
                let zone = found.iter().filter(plain).find(|found| same(&found.name, &record.zone));
                let words = || Verdict::Refused(format!("it knows no zone {} by this token", record.zone));
                let zone = zone.ok_or_else(words)?.id.clone();
                let path = format!("{BASE}/{zone}/dns_records?type={kind}&name={}", escaped(&record.name));
                let ask = self.ask(record, "GET", &path, None);
                self.step = Step::Record { zone };
                Ok(Next::Ask(ask))
            }
            Step::Record { zone } => {
                let ours = |found: &&Found| found.r#type == kind && same(&found.name, &record.name);
                let known = found.iter().filter(plain).find(ours);
                if known.is_some_and(|known| known.content.parse() == Ok(self.address)) {
                    return Ok(Next::Done(Verdict::Published));
                }
                let ttl = if record.ttl == 0 { AUTOMATIC } else { record.ttl };
                let body = json!({"type": kind, "name": record.name, "content": self.address.to_string(), "ttl": ttl});
                let body = body.to_string();
                let ask = match known {
                    Some(known) => {
                        let path = format!("{BASE}/{zone}/dns_records/{}", known.id);
                        self.ask(record, "PATCH", &path, Some(body.as_bytes()))
                    }
                    None => self.ask(record, "POST", &format!("{BASE}/{zone}/dns_records"), Some(body.as_bytes())),
                };
                self.step = Step::Written;
                Ok(Next::Ask(ask))
            }
            Step::Written => Ok(Next::Done(Verdict::Published)),
        }
    }
}
