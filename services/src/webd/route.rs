//! What a request asks for, and what one must be in order to be given it. No I/O.
use crate::web::Request;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many seconds a trial lasts where nobody has said.
const CONFIRM: u64 = 60;

/// Where an update is sent.
pub const UPDATE: &str = "/api/update";

/// Where a backup is sent.
pub const RESTORE: &str = "/api/restore";
/// What is sent and taken as it comes.
pub const SENT: &[&str] = &[UPDATE, RESTORE];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The page for people.
    Page,
    /// gokrazy's overview for programs.
    Overview,
    /// Somebody says the password.
    LogIn(String),
    /// Somebody goes.
    LogOut,
    /// Everybody's metrics.
    Metrics,
    /// Who the router is over TLS, for who wants to trust it.
    Certificate,
    /// backupd's backup.
    Backup,
    /// What captured's ring holds, of one address or of all.
    Capture(String),
    /// Whether the internet works.
    Health,
    /// Who one is, and the word for changes.
    Session,
    /// One of the documents.
    View(View),
    /// What the line has carried.
    History,
    /// News, as they come.
    Events,
    /// A log, as it goes on.
    Log(Log),
    /// A file that a person may write.
    File(String),
    /// A fresh look at the internet.
    Diagnosis,
    /// The machine's disks, and what is on each.
    Disks,
    /// Something is to change.
    Change(Change),
    /// A signed update, as it comes.
    Update,
    /// A backup.
    Restore,
    /// The first password.
    FirstPassword(String),
    /// Another one.
    NextPassword {
        /// What it was.
        old: String,
        /// What it shall be.
        new: String,
    },
}

/// The documents that are made of what the services say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Internet, addresses, services, the machine.
    Status,
    /// Who is at home.
    Devices,
    /// Names.
    Dns,
}

/// A log that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whose.
    pub name: String,
    /// `stdout`, `stderr` or `both`.
    pub stream: String,
    /// As server-sent events; else as lines.
    pub events: bool,
    /// As JSON in each event; else as gokrazy has them.
    pub json: bool,
}

/// A change, in the words of who makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose socket.
    pub socket: &'static str,
    /// The line.
    pub line: String,
}

/// What one must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody at home.
    Nothing,
    /// Who knows the password, or sets the router up.
    Owner,
    /// The same, with the word of our own page.
    Word,
    /// Who says the password with it: a session is not enough.
    Password,
}

impl Route {
    /// What one must be.
    pub fn needs(&self) -> Needs {
        match self {
            Route::Page | Route::LogIn(_) | Route::Metrics | Route::Health | Route::Session | Route::Certificate => {
                Needs::Nothing
            }
            Route::Change(_)
            | Route::Update
            | Route::Restore
            | Route::FirstPassword(_)
            | Route::NextPassword { .. }
            | Route::LogOut => Needs::Word,
            Route::Backup => Needs::Password,
            _ => Needs::Owner,
        }
    }

    /// What a request asks for.
    ///
    /// # Errors
    /// Status and words, when it is nothing that there is.
    pub fn of(request: &Request) -> Result<Route, (u16, String)> {
        let word = |key: &str| request.value(key).unwrap_or_default();
        let json = || {
            request.header("accept").contains("application/json")
                || request.header("content-type").contains("application/json")
        };
        let get = match request.path.as_str() {
            "/" if json() && request.method == "GET" => Route::Overview,
            "/" => Route::Page,
            "/metrics" => Route::Metrics,
            "/certificate.pem" => Route::Certificate,
            "/backup.tar.gz" => Route::Backup,
            "/capture.pcapng" => Route::Capture(word("filter")),
            "/log" => {
                let path = word("path");
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                let events = request.header("accept").contains("text/event-stream");
                log(name, &word("stream"), events, false)?
            }
            "/api/log" => log(word("name"), "both", true, true)?,
            "/api/health" => Route::Health,
            "/api/session" => Route::Session,
            "/api/status" => Route::View(View::Status),
            "/api/devices" => Route::View(View::Devices),
            "/api/dns" => Route::View(View::Dns),
            "/api/history" => Route::History,
            "/api/events" => Route::Events,
            "/api/diagnosis" => Route::Diagnosis,
            "/api/disks" => Route::Disks,
            "/api/file" => file(word("name"))?,
            _ => return posted(request),
        };
        if request.method == "GET" { Ok(get) } else { Err((405, "this is only to be read".into())) }
    }
}

fn log(name: String, stream: &str, events: bool, json: bool) -> Result<Route, (u16, String)> {
    if !matches!(&*name, "kernel" | "install") && rights::service(&name).is_none() {
        return Err((404, format!("no service is called {name:?}")));
    }
    let stream = if stream.is_empty() { "both" } else { stream };
    if !matches!(stream, "both" | "stdout" | "stderr") {
        return Err((404, format!("stream: {stream:?} is none of stdout, stderr, both")));
    }
    Ok(Route::Log(Log { name, stream: stream.to_owned(), events, json }))
}

/// Of what a person writes, secrets are never shown.
fn file(name: String) -> Result<Route, (u16, String)> {
    let path = format!("/perm/{name}");
    if !rights::WRITTEN.contains(&path.as_str()) {
        return Err((404, format!("name: {name:?} is no file that a person writes")));
    }
    if rights::secret_of(&path).is_some() {
        return Err((403, format!("name: {name} holds a secret, which is not shown")));
    }
    Ok(Route::File(name))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    files: serde_json::Map<String, Value>,
    #[serde(default)]
    confirm: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    hardware_addr: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disk {
    disk: String,
    #[serde(default)]
    over: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    #[serde(default)]
    old: String,
    password: String,
}

fn posted(request: &Request) -> Result<Route, (u16, String)> {
    const CONFIGD: &str = "/run/configd.sock";
    const DEVICED: &str = "/run/deviced.sock";
    const INIT: &str = "/run/init.sock";
    let Some(op) = Op::of(&request.path) else {
        return Err((404, format!("there is nothing at {:?}", request.path.chars().take(80).collect::<String>())));
    };
    if request.method != "POST" {
        return Err((405, "this wants a POST".into()));
    }
    let change = |socket, line: Value| Ok(Route::Change(Change { socket, line: format!("{line}\n") }));
    match op {
        Op::LogIn => Ok(Route::LogIn(request.field("password").unwrap_or_default())),
        Op::LogOut => Ok(Route::LogOut),
        Op::Check => change(CONFIGD, json!({"op": "check", "files": body::<Files>(request)?.files})),
        Op::Try => {
            let Files { files, confirm } = body(request)?;
            // Never without an end: who is locked out gets the old files back.
            change(CONFIGD, json!({"op": "try", "files": files, "confirm": confirm.unwrap_or(CONFIRM)}))
        }
        Op::Plain(word) => change(CONFIGD, json!({"op": word})),
        Op::Device(word) => {
            let Device { hardware_addr, name } = body(request)?;
            let mut line = json!({"op": word, "hardware_addr": hardware_addr});
            if word != "forget" {
                line["name"] = name.into();
            }
            change(DEVICED, line)
        }
        Op::Service(word) => {
            let Service { name } = body(request)?;
            if word == "stop" && name == "webd" {
                return Err((409, "webd would not be there to start itself again: stop it at the console".into()));
            }
            change(INIT, json!({"op": word, "name": name}))
        }
        Op::Install => {
            let Disk { disk, over } = body(request)?;
            change(INIT, json!({"op": "install", "disk": disk, "over": over}))
        }
        Op::End(word) => change(INIT, json!({"op": word})),
        Op::Update => Ok(Route::Update),
        Op::Restore => Ok(Route::Restore),
        Op::FirstPassword => Ok(Route::FirstPassword(body::<Password>(request)?.password)),
        Op::NextPassword => {
            let Password { old, password } = body(request)?;
            Ok(Route::NextPassword { old, new: password })
        }
    }
}

enum Op {
    LogIn,
    LogOut,
    Check,
    Try,
    Plain(&'static str),
    Device(&'static str),
    Service(&'static str),
    End(&'static str),
    Install,
    Update,
    Restore,
    FirstPassword,
    NextPassword,
}

impl Op {
    fn of(path: &str) -> Option<Op> {
        Some(match path {
            "/login" => Op::LogIn,
            "/logout" => Op::LogOut,
            "/api/config/check" => Op::Check,
            "/api/config/try" => Op::Try,
            "/api/config/keep" => Op::Plain("keep"),
            "/api/config/revert" => Op::Plain("revert"),
            "/api/device/rename" => Op::Device("rename"),
            "/api/device/fix" => Op::Device("fix"),
            "/api/device/forget" => Op::Device("forget"),
            "/api/service/start" => Op::Service("start"),
            "/api/service/stop" => Op::Service("stop"),
            "/api/service/restart" => Op::Service("restart"),
            "/api/install" => Op::Install,
            "/api/reboot" => Op::End("reboot"),
            "/api/poweroff" => Op::End("poweroff"),
            UPDATE => Op::Update,
            RESTORE => Op::Restore,
            "/api/setup/password" => Op::FirstPassword,
            "/api/password" => Op::NextPassword,
            _ => return None,
        })
    }
}

fn body<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, (u16, String)> {
    serde_json::from_slice(&request.body).map_err(|error| (400, format!("the body: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, body: &str) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (method, path, query) = (method.into(), path.into(), query.into());
        Request { method, path, query, body: body.into(), ..Request::empty() }
    }

    fn of(method: &str, path: &str, body: &str) -> Result<Route, u16> {
        Route::of(&request(method, path, body)).map_err(|(status, _)| status)
    }

    #[test]
    fn what_changes_needs_the_word_of_our_page() {
        for (path, body) in [
            ("/api/config/check", r#"{"files":{"a":"b"}}"#),
            ("/api/config/try", r#"{"files":{"a":"b"}}"#),
            ("/api/config/keep", ""),
            ("/api/config/revert", ""),
            ("/api/device/rename", r#"{"hardware_addr":"a","name":"b"}"#),
            ("/api/device/forget", r#"{"hardware_addr":"a"}"#),
            ("/api/service/restart", r#"{"name":"dnsd"}"#),
            ("/api/install", r#"{"disk":"sda","over":"weir"}"#),
            ("/api/reboot", ""),
            ("/api/poweroff", ""),
            ("/api/setup/password", r#"{"password":"correct horse"}"#),
            ("/api/password", r#"{"old":"a","password":"correct horse"}"#),
            ("/api/update", ""),
            ("/api/restore", ""),
            ("/logout", ""),
        ] {
            assert_eq!(of("POST", path, body).map(|route| route.needs()), Ok(Needs::Word), "{path}");
            assert_eq!(of("GET", path, body), Err(405), "{path}");
        }
        for path in [
            "/api/status",
            "/api/devices",
            "/api/dns",
            "/api/history",
            "/api/events",
            "/api/diagnosis",
            "/api/disks",
            "/api/log?name=install",
            "/capture.pcapng",
            "/api/log?name=dnsd",
            "/log?path=/user/dnsd&stream=stdout",
            "/api/file?name=firewall.json",
        ] {
            assert_eq!(of("GET", path, "").map(|route| route.needs()), Ok(Needs::Owner), "{path}");
            assert_eq!(of("POST", path, ""), Err(405), "{path}");
        }
        for path in ["/", "/metrics", "/certificate.pem", "/api/health", "/api/session"] {
            assert_eq!(of("GET", path, "").map(|route| route.needs()), Ok(Needs::Nothing), "{path}");
        }
    }

    #[test]
    fn a_trial_always_ends_and_secrets_are_not_shown() {
        let Ok(Route::Change(change)) = of("POST", "/api/config/try", r#"{"files":{"a":"b"}}"#) else { panic!() };
        assert_eq!((change.socket, change.line.contains("\"confirm\":60")), ("/run/configd.sock", true));
        assert_eq!(of("GET", "/api/file?name=wireguard.json", ""), Err(403));
        for name in ["..%2F..%2Fetc/passwd", "../perm/webd/password", "webd/password", "", "dnsd"] {
            assert_eq!(of("GET", &format!("/api/file?name={name}"), ""), Err(404), "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for path in ["/..", "/../etc/passwd", "//", "/api", "/api/", "/%2e%2e/", "/index.html", "*"] {
            assert_eq!(of("GET", path, ""), Err(404), "{path}");
        }
        for body in ["", "{", "[]", r#"{"files":7}"#, r#"{"files":{},"more":1}"#] {
            assert_eq!(of("POST", "/api/config/try", body), Err(400), "{body}");
        }
        assert_eq!(of("GET", "/api/log?name=nobody", ""), Err(404));
        assert_eq!(of("GET", "/log?path=/user/dnsd&stream=x", ""), Err(404));
        assert_eq!(of("POST", "/api/service/stop", r#"{"name":"webd"}"#), Err(409));
    }
}
