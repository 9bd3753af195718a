//! Who has the password: asked on the socket by other services and the console, and on the page by people.
use super::Webd;
use super::engine::Verdict;
use super::secrets;
use crate::house::House;
use crate::house::requests::error;
use crate::perm::file;
use netstack::time::Instant;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Since when the router has been waiting for its first password in this boot, in milliseconds of boot time.
const SINCE: &str = "/run/webd/since";
const HOUR: Duration = Duration::from_secs(3_600);
/// The same after the button was held.
const VISIT: Duration = Duration::from_secs(600);

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    /// Is this right?
    Check {
        #[serde(default)]
        password: Option<String>,
        #[serde(default)]
        token: Option<String>,
        peer: IpAddr,
    },
    /// This is the password from now on.
    Set { password: String },
    /// Another token.
    Token,
    /// Somebody who stands before the box wants to begin anew.
    Visit,
}

/// Until when the first password may be set by the page: an hour from our first start in this boot. A restart does not
/// begin another.
pub fn hour(house: &House, now: Instant) -> Instant {
    let moment = |path: &Path| {
        let kept = file::read_up_to(path, 64).ok().flatten();
        kept.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok()).map(Instant::from_millis)
    };
    let path = house.path(SINCE);
    let since = moment(&path).unwrap_or_else(|| {
        if let Err(error) = file::replace(&path, now.as_millis().to_string().as_bytes()) {
            log::warn!("{}: {error}", path.display());
        }
        now
    });
    let visit = moment(&house.path(secrets::VISIT)).map(|visit| visit + VISIT);
    visit.map_or(since + HOUR, |visit| visit.max(since + HOUR))
}

impl Webd {
    /// A line on the socket.
    pub(super) fn asked(&mut self, now: Instant, asker: u32, line: &[u8]) -> String {
        let request = match serde_json::from_slice(line) {
            Ok(request) => request,
            // Its words could repeat a password.
            Err(_) => return error("the request is not understood"),
        };
        let done = match request {
            Request::Check { password: Some(password), token: None, peer } => self.password(now, peer, &password),
            Request::Check { password: None, token: Some(token), peer } => self.token(now, peer, &token),
            Request::Check { .. } => Err("either a password or a token".to_owned()),
            Request::Visit if may_visit(asker) => self.secrets.forget(&self.house).map(|()| {
                self.engine.forget();
                self.sessions.end_all();
                self.hour = self.hour.max(now + VISIT);
                log::warn!("the button was held: there is no password any more");
            }),
            Request::Visit => Err("only the button may".into()),
            _ if !may_set(asker) => Err("only the console may".into()),
            Request::Set { password } => self.set(&password),
            Request::Token => match self.secrets.make_token(&self.house) {
                Ok(token) => {
                    log::info!("there is another token");
                    return format!("{}\n", serde_json::json!({"ok": true, "said": token}));
                }
                Err(why) => Err(why),
            },
        };
        done.map_or_else(|why| error(&why), |()| "{\"ok\":true}\n".to_owned())
    }

    /// Whether this is the password; in words why it is not.
    pub(super) fn password(&mut self, now: Instant, peer: IpAddr, password: &str) -> Result<(), String> {
        if !self.secrets.has_password() {
            return Err("no password is set: set one at the console, by `password`".into());
        }
        let known = self.engine.asked(now, peer, password);
        let verdict = known.unwrap_or_else(|| {
            self.counts.hashed += 1;
            let right = self.secrets.is_password(password) == Some(true);
            self.engine.judged(now, peer, password, right)
        });
        self.judged(peer, verdict)
    }

    /// Whether this is the token; in words why it is not.
    pub(super) fn token(&mut self, now: Instant, peer: IpAddr, token: &str) -> Result<(), String> {
        if self.relay.as_mut().is_some_and(|relay| relay.is_ticket(token)) {
            self.counts.right += 1;
            return Ok(());
        }
        // A right token is looked at whatever its peer has done: nobody guesses one.
        if self.secrets.is_token(token) {
            self.counts.right += 1;
            return Ok(());
        }
        let verdict = self.engine.judged(now, peer, token, false);
        self.judged(peer, verdict)
    }

    fn judged(&mut self, peer: IpAddr, verdict: Verdict) -> Result<(), String> {
        match verdict {
            Verdict::Right => self.counts.right += 1,
            Verdict::Wrong => {
                self.counts.wrong += 1;
                log::warn!("{peer}: a wrong password or token");
                return Err("it is wrong".into());
            }
            Verdict::Wait(seconds) => {
                self.counts.slowed += 1;
                return Err(format!("too many wrong ones: wait {seconds} s"));
            }
        }
        Ok(())
    }

    /// Another password holds from now on, and who had logged in has to say it.
    pub(super) fn set(&mut self, password: &str) -> Result<(), String> {
        crate::password::fit(password)?;
        self.secrets.set(&self.house, password)?;
        self.engine.forget();
        self.sessions.end_all();
        log::info!("there is another password");
        Ok(())
    }

    /// Whether the page may set the first password now.
    pub(super) fn may_be_first(&self, now: Instant) -> bool {
        self.secrets.is_unset() && now < self.hour
    }
}

/// Who may set a password, and who watches the button.
fn may_visit(asker: u32) -> bool {
    let panel = rights::service("panel").map(|panel| panel.uid);
    Some(asker) == panel || may_set(asker)
}

/// The console, root, and who runs us.
fn may_set(asker: u32) -> bool {
    let console = rights::service("console").map(|console| console.uid);
    asker == 0 || Some(asker) == console || asker == nix::unistd::getuid().as_raw()
}
