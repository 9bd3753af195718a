//! Whether a request comes from somebody who has the appliance password or the token: asked of webd, which alone knows.
//!
//! The caller's request waits meanwhile ([`crate::web::Reply::Later`]); webd's silence is a refusal.
use super::House;
use super::questions::Questions;
use crate::web::{Answer, Request, Response};
use base64ct::{Base64, Encoding};
use netstack::event::{Loop, Token};
use netstack::time::Instant;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::IpAddr;

/// The one user, which is gokrazy's.
const USER: &str = "gokrazy";

/// What somebody says in order to be let in.
pub struct Claim(Value);

impl Claim {
    /// Of a request's `Authorization` (RFC 7617, RFC 6750); none when there is none that could be right.
    pub fn of(request: &Request) -> Option<Claim> {
        let (scheme, rest) = request.authorization.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Claim(json!({"token": rest.trim()})));
        }
        let bytes = Base64::decode_vec(rest.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        (user == USER).then(|| Claim(json!({"password": password})))
    }

    /// The password in it.
    pub fn password(&self) -> Option<&str> {
        self.0.get("password")?.as_str()
    }

    /// The token in it.
    pub fn token(&self) -> Option<&str> {
        self.0.get("token")?.as_str()
    }
}

/// What is said to who has said nothing, or nothing right.
pub fn refused(why: &str) -> Answer {
    let words = format!("{why}\nuser {USER} and the router's password, or the token as a bearer's\n");
    Answer::from(Response::text(401, words)).header("WWW-Authenticate", "Basic realm=\"weir\", charset=\"UTF-8\"")
}

/// The requests that wait before the door.
#[derive(Debug, Default)]
pub struct Door(Questions);

impl Door {
    /// Whether a token is one of the questions'.
    pub fn owns(token: Token) -> bool {
        Questions::owns(token)
    }

    /// When [`Door::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    /// Asks whether a claim is right; `asker` is the connection whose request waits.
    ///
    /// # Errors
    /// The refusal, when nobody can be asked.
    pub fn knock(
        &mut self,
        house: &House,
        turn: &Loop,
        now: Instant,
        (asker, peer): (Token, IpAddr),
        Claim(mut line): Claim,
    ) -> Result<(), Answer> {
        line["op"] = "check".into();
        line["peer"] = peer.to_canonical().to_string().into();
        let asked = self.0.ask(turn, now, &house.path("/run/webd.sock"), &format!("{line}\n"), asker);
        asked.map_err(|error| match error.kind() {
            ErrorKind::ResourceBusy => Response::text(503, "too many ask to be let in: try again\n").into(),
            _ => silent(),
        })
    }

    /// A question's token is ready: whose it was, and the refusal if it is one.
    pub fn ready(&mut self, token: Token) -> Option<(Token, Result<(), Answer>)> {
        let (asker, said) = self.0.ready(token)?;
        Some((asker, said.map_or_else(|| Err(silent()), |(line, _)| answer(&line))))
    }

    /// Who has waited in vain.
    pub fn tick(&mut self, now: Instant) -> Vec<(Token, Answer)> {
        self.0.tick(now).into_iter().map(|asker| (asker, silent())).collect()
    }
}

fn silent() -> Answer {
    Response::text(503, "webd, which knows the password, does not answer\n").into()
}

fn answer(line: &[u8]) -> Result<(), Answer> {
    let said: Value = serde_json::from_slice(line).unwrap_or_default();
    match said["error"].as_str() {
        None if said["ok"] == true => Ok(()),
        why => Err(refused(why.unwrap_or("webd's answer is not understood"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_and_nothing_else() {
        let claim = |text: &str| Claim::of(&Request { authorization: text.into(), ..Request::empty() });
        assert_eq!(claim("Basic Z29rcmF6eTpjb3JyZWN0OmhvcnNl").unwrap().password(), Some("correct:horse"));
        assert_eq!(claim("bearer 0123").unwrap().0, json!({"token": "0123"}));
        for text in ["", "Basic", "Basic !", "Basic YWRtaW46eA==", "Basic Z29rcmF6eQ==", "Digest x", "Basic /w=="] {
            assert!(claim(text).is_none(), "{text}");
        }
    }

    #[test]
    fn only_a_clear_yes_lets_in() {
        assert!(answer(b"{\"ok\":true}\n").is_ok());
        for line in [&b"{\"error\":\"it is wrong\"}\n"[..], b"{\"ok\":false}\n", b"true\n", b"", b"\xff"] {
            assert!(answer(line).is_err());
        }
    }
}
