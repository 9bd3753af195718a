//! The control socket's protocol: one JSON object per line, judged by who asks. Pure; `server` has the sockets.
pub mod feed;
pub mod server;

use crate::supervise::Wish;
use nix::sys::signal::Signal;
use rights::Control;
use serde_json::Value;

/// How the machine shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// And come back.
    Reboot,
    /// And stay off.
    PowerOff,
    /// And come back in the slot that is on trial: by the kernel that was loaded, else as [`End::Reboot`].
    Trial,
}

/// A request, understood. A number is a row of the table; in `Logs`, there are the kernel and an installation behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// What runs, and how it is.
    List,
    /// The lines of a log, and those to come when `follow`.
    Logs {
        /// Which.
        log: usize,
        /// Go on for ever.
        follow: bool,
    },
    /// Every log with its name, and what comes.
    Journal,
    /// Start, stop, restart.
    Wish(usize, Wish),
    /// Send a signal.
    Signal(usize, Signal),
    /// End the machine.
    End(End),
    /// Start the other slot, once.
    Trial,
    /// The slot on trial, which runs, is good.
    Commit,
    /// It is not: back to the other one.
    Back,
    /// What disks there are, and what is on them.
    Disks,
    /// Put weir on another disk.
    Install {
        /// Its name under `/dev`.
        disk: String,
        /// What the asker knows to be on it.
        over: String,
        /// Every line until the end; else that it has begun.
        follow: bool,
    },
    /// Erase `/perm` at the next start, which is at once.
    Erase,
}

impl Request {
    /// The right that it takes.
    pub fn needs(&self) -> Control {
        match self {
            Request::List | Request::Logs { .. } | Request::Journal => Control::Read,
            Request::Trial | Request::Commit | Request::Back => Control::Update,
            Request::Wish(..)
            | Request::Signal(..)
            | Request::End(_)
            | Request::Disks
            | Request::Install { .. }
            | Request::Erase => Control::Full,
        }
    }
}

/// What a user may ask: the table's word for a service, everything for root, nothing for strangers.
pub fn level(uid: u32) -> Control {
    match uid {
        0 => Control::Full,
        _ => rights::SERVICES.iter().find(|row| row.uid == uid).map_or(Control::None, |row| row.control),
    }
}

/// Reads a request of somebody with this level.
///
/// # Errors
/// What is wrong with it, for the `error` of the answer.
pub fn parse(line: &[u8], level: Control) -> Result<Request, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    let word = |key: &str| value.get(key).and_then(Value::as_str);
    let op = word("op").ok_or("no op")?;
    let service = || {
        let name = word("name").ok_or("no name")?;
        rights::SERVICES.iter().position(|row| row.name == name).ok_or_else(|| format!("no service is called {name:?}"))
    };
    let request = match op {
        "list" => Request::List,
        "logs" => {
            let log = match word("name") {
                Some("kernel") => rights::KERNEL,
                Some("install") => rights::INSTALL,
                _ => service()?,
            };
            Request::Logs { log, follow: value.get("follow").and_then(Value::as_bool).unwrap_or(false) }
        }
        "journal" => Request::Journal,
        "start" => Request::Wish(service()?, Wish::Start),
        "stop" => Request::Wish(service()?, Wish::Stop),
        "restart" => Request::Wish(service()?, Wish::Restart),
        "signal" => {
            let signal = match word("signal") {
                Some("USR1") => Signal::SIGUSR1,
                Some("USR2") => Signal::SIGUSR2,
                Some("TERM") => Signal::SIGTERM,
                Some("KILL") => Signal::SIGKILL,
                _ => return Err("signal is none of USR1, USR2, TERM, KILL".into()),
            };
            Request::Signal(service()?, signal)
        }
        "reboot" => Request::End(End::Reboot),
        "poweroff" => Request::End(End::PowerOff),
        "trial" => Request::Trial,
        "commit" => Request::Commit,
        "back" => Request::Back,
        "disks" => Request::Disks,
        "install" => Request::Install {
            disk: word("disk").ok_or("no disk")?.to_owned(),
            over: word("over").unwrap_or_default().to_owned(),
            follow: value.get("follow").and_then(Value::as_bool).unwrap_or(false),
        },
        "factory-reset" => Request::Erase,
        other => return Err(format!("unknown op {other:?}")),
    };
    if request.needs() > level { Err("not allowed".into()) } else { Ok(request) }
}

/// The answer to what was done.
pub const OK: &str = "{\"ok\":true}\n";

/// The answer to what was not.
pub fn error(why: &str) -> String {
    format!("{}\n", serde_json::json!({ "error": why }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(line: &str) -> Result<Request, String> {
        parse(line.as_bytes(), Control::Full)
    }

    #[test]
    fn every_request_of_the_contract() {
        let kernel = rights::SERVICES.len();
        let row = |name| rights::SERVICES.iter().position(|row| row.name == name).unwrap();
        for (line, request) in [
            (r#"{"op":"list"}"#, Request::List),
            (r#"{"op":"logs","name":"dhcp4","follow":false}"#, Request::Logs { log: row("dhcp4"), follow: false }),
            (r#"{"op":"logs","name":"kernel","follow":true}"#, Request::Logs { log: kernel, follow: true }),
            (r#"{"op":"logs","name":"dnsd"}"#, Request::Logs { log: row("dnsd"), follow: false }),
            (r#"{"op":"logs","name":"install"}"#, Request::Logs { log: rights::INSTALL, follow: false }),
            (r#"{"op":"disks"}"#, Request::Disks),
            (
                r#"{"op":"install","disk":"sda","over":"weir","follow":true}"#,
                Request::Install { disk: "sda".into(), over: "weir".into(), follow: true },
            ),
            (r#"{"op":"journal"}"#, Request::Journal),
            (r#"{"op":"start","name":"dnsd"}"#, Request::Wish(row("dnsd"), Wish::Start)),
            (r#"{"op":"stop","name":"dnsd"}"#, Request::Wish(row("dnsd"), Wish::Stop)),
            (r#"{"op":"restart","name":"dnsd"}"#, Request::Wish(row("dnsd"), Wish::Restart)),
            (r#"{"op":"signal","name":"dhcp4","signal":"USR2"}"#, Request::Signal(row("dhcp4"), Signal::SIGUSR2)),
            (r#"{"op":"reboot"}"#, Request::End(End::Reboot)),
            (r#"{"op":"factory-reset"}"#, Request::Erase),
            (r#"{"op":"poweroff", "more":1}"#, Request::End(End::PowerOff)),
        ] {
            assert_eq!(full(line), Ok(request), "{line}");
        }
    }

    #[test]
    fn everything_else_is_an_error() {
        for line in [
            "",
            "list",
            "[]",
            "null",
            "{}",
            r#"{"op":7}"#,
            r#"{"op":"List"}"#,
            r#"{"op":"start"}"#,
            r#"{"op":"install"}"#,
            r#"{"op":"start","name":"kernel"}"#,
            r#"{"op":"logs","name":"../x"}"#,
            r#"{"op":"signal","name":"dhcp4","signal":"STOP"}"#,
            r#"{"op":"signal","name":"dhcp4","signal":9}"#,
        ] {
            assert!(full(line).is_err(), "{line}");
        }
        assert!(parse(b"\xff\xfe", Control::Full).is_err());
        assert!(full(&"[".repeat(4096)).is_err());
        assert_eq!(error("a \"b\""), "{\"error\":\"a \\\"b\\\"\"}\n");
    }

    #[test]
    fn the_table_decides_who_may_ask() {
        assert_eq!(level(0), Control::Full);
        assert_eq!(level(65_534), Control::None);
        for row in rights::SERVICES {
            assert_eq!(level(row.uid), row.control);
        }
        assert_eq!(parse(br#"{"op":"list"}"#, Control::Read), Ok(Request::List));
        assert_eq!(parse(br#"{"op":"trial"}"#, Control::Update), Ok(Request::Trial));
        assert_eq!(parse(br#"{"op":"commit"}"#, Control::Update), Ok(Request::Commit));
        assert_eq!(parse(br#"{"op":"back"}"#, Control::Full), Ok(Request::Back));
        for line in [&br#"{"op":"trial"}"#[..], br#"{"op":"commit"}"#, br#"{"op":"back"}"#] {
            assert!(parse(line, Control::Read).is_err());
        }
        assert!(parse(br#"{"op":"reboot"}"#, Control::Update).is_err());
        for line in [
            r#"{"op":"factory-reset"}"#,
            r#"{"op":"reboot"}"#,
            r#"{"op":"stop","name":"dnsd"}"#,
            r#"{"op":"disks"}"#,
            r#"{"op":"install","disk":"sda"}"#,
        ] {
            assert_eq!(parse(line.as_bytes(), Control::Read), Err("not allowed".into()));
        }
        assert!(parse(br#"{"op":"list"}"#, Control::None).is_err());
    }
}
