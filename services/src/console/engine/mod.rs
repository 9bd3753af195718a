//! The console's state machine: bytes of the terminal and lines of PID 1 in; text and wishes out. No I/O, no clock.
mod answer;
pub mod command;
mod editor;
mod install;
mod lan;
mod output;
mod paste;
mod secret;
mod tables;
pub mod top;

use crate::perm::WallTime;
use crate::perm::leases::Lease;
use answer::Answer;
use command::{Command, HELP, Peer};
use editor::{Editor, Typed};
pub use output::Output;
use paste::{HOW, Paste, Pasted};
use secret::Secret;
use std::path::Path;
use std::time::Duration;
use top::{Sample, Top};

const PROMPT: &str = "weir> ";
/// What is asked before everything is erased.
const ERASED: &str = "\
this erases all that is yours: interfaces, forwardings, rules and every other file that you have written, the password,
tokens and keys, leases, names of devices, logs. The router starts anew, as it came: lan0 is 192.168.42.1 again. A backup
(`curl -u gokrazy -O http://ROUTER:8077/backup.tar.gz`) is the only way back.
type yes to erase it: ";
/// Bytes typed while a command runs that are kept for afterwards.
const AHEAD: usize = 256;

/// What the session wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Read the kernel's interfaces, addresses and routes, then call [`Session::network`].
    LookAtNetwork,
    /// Read the leases that dhcp4d gave, then call [`Session::leases`].
    LookAtLeases,
    /// Look at the firewall, then call [`Session::firewall`].
    LookAtFirewall,
    /// Look at these processes, then call [`Session::processes`].
    LookAtProcesses(Vec<u32>),
    /// Read interfaces.json, then call [`Session::interfaces`].
    LookAtInterfaces,
    /// Call [`Session::wake`] after so long.
    Wake(Duration),
    /// Connect, send this line, and hand each line that comes to [`Session::answer`].
    Ask(Peer, String),
    /// Close the connection.
    HangUp,
}

/// An interface, as the tables show it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Face {
    /// Its name.
    pub name: String,
    /// Its hardware address in text.
    pub mac: String,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether a cable is plugged in.
    pub carrier: bool,
    /// Its addresses with prefix lengths.
    pub addresses: Vec<String>,
}

impl Face {
    fn is_wan(&self) -> bool {
        self.name.starts_with("uplink")
    }

    fn is_lan(&self) -> bool {
        self.name.starts_with("lan")
    }
}

/// What the kernel's network looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Its interfaces.
    pub faces: Vec<Face>,
    /// The gateway of the IPv4 default route.
    pub gateway: Option<String>,
    /// Its routes, a line each.
    pub routes: Vec<String>,
}

/// What the firewall does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firewall {
    /// Connections that are remembered, and how many can be.
    pub connections: (u64, u64),
    /// Those of them on the fast path.
    pub offloaded: u64,
    /// What is let in from outside, a line each.
    pub open: Vec<String>,
    /// Packets that were refused, by cause.
    pub refused: Vec<(String, u64)>,
    /// Connections that a person's rules decided.
    pub rules: Vec<(String, u64)>,
}

#[derive(Debug, PartialEq, Eq, Default)]
enum State {
    /// Nobody has pressed Enter yet: nothing is printed.
    #[default]
    Asleep,
    /// A line is being typed.
    Prompt,
    /// Files are being typed.
    Pasting(Box<Paste>),
    /// A password is being typed.
    Secret(Secret),
    /// Whether it is really meant is being asked.
    Sure(Command),
    /// PID 1 was asked, or the kernel is being looked at.
    Busy(Command),
}

/// One person at one terminal.
#[derive(Debug, Default)]
pub struct Session {
    /// What waits to be written.
    pub output: Output,
    editor: Editor,
    state: State,
    network: Network,
    ahead: Vec<u8>,
    top: Top,
    /// Whether what is written can be written over.
    pub is_terminal: bool,
}

impl Session {
    /// Takes bytes from the terminal.
    pub fn input(&mut self, bytes: &[u8]) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for byte in bytes {
            self.key(*byte, &mut wishes);
        }
        wishes
    }

    fn key(&mut self, byte: u8, wishes: &mut Vec<Wish>) {
        match &self.state {
            // What is typed or blown in before the first Enter means nothing.
            State::Asleep if !matches!(byte, b'\r' | b'\n') => {}
            State::Asleep => {
                let _ = self.editor.key(byte, &mut String::new());
                self.output.push("\n");
                self.prompt();
            }
            State::Busy(Command::Log { follow: true, .. } | Command::Top) => self.give_up(wishes),
            State::Busy(Command::Install { .. }) if byte == 0x03 => {
                self.output.push("^C\nit goes on: log install -f");
                self.give_up(wishes);
            }
            State::Busy(_) if byte == 0x03 => {
                self.ahead.clear();
                self.output.push("^C");
                self.give_up(wishes);
            }
            State::Busy(_) if self.ahead.len() < AHEAD => self.ahead.push(byte),
            State::Busy(_) => {}
            State::Pasting(_) => self.paste(byte, wishes),
            State::Secret(_) => self.secret(byte, wishes),
            State::Prompt | State::Sure(_) => {
                let mut echo = String::new();
                let typed = self.editor.key(byte, &mut echo);
                self.output.push(&echo);
                match typed {
                    Typed::Nothing => {}
                    Typed::Cancel => self.prompt(),
                    Typed::Line(line) => match std::mem::take(&mut self.state) {
                        State::Sure(command) => self.sure(command, line.trim(), wishes),
                        _ => self.line(&line, wishes),
                    },
                }
            }
        }
    }

    fn paste(&mut self, byte: u8, wishes: &mut Vec<Wish>) {
        let State::Pasting(paste) = &mut self.state else { return };
        let mut echo = String::new();
        let (pasted, confirm) = (paste.key(byte, &mut echo), paste.confirm);
        self.output.push(&echo);
        match pasted {
            Pasted::Nothing => {}
            Pasted::Not(why) => {
                self.output.push(&format!("\n{why}\n"));
                self.prompt();
            }
            Pasted::Files(files) if files.is_empty() => self.prompt(),
            Pasted::Files(files) => {
                let request = serde_json::json!({"op": "try", "files": files, "confirm": confirm});
                wishes.push(Wish::Ask(Peer::Configd, format!("{request}\n")));
                self.state = State::Busy(Command::Apply(confirm));
            }
        }
    }

    fn secret(&mut self, byte: u8, wishes: &mut Vec<Wish>) {
        let State::Secret(secret) = &mut self.state else { return };
        match secret.key(byte) {
            secret::Typed::Nothing => {}
            secret::Typed::Again => self.output.push("\nagain: "),
            secret::Typed::Not(why) => {
                self.output.push(&format!("\n{why}\n"));
                self.prompt();
            }
            secret::Typed::Same(password) => {
                self.output.push("\n");
                let request = serde_json::json!({"op": "set", "password": password});
                wishes.push(Wish::Ask(Peer::Webd, format!("{request}\n")));
                self.state = State::Busy(Command::Password);
            }
        }
    }

    fn sure(&mut self, command: Command, word: &str, wishes: &mut Vec<Wish>) {
        if word == install::word(&command) {
            return self.begin(command, wishes);
        }
        self.output.push("nothing has changed\n");
        self.prompt();
    }

    fn line(&mut self, line: &str, wishes: &mut Vec<Wish>) {
        let command = match Command::parse(line) {
            Ok(Some(command)) => command,
            Ok(None) => return self.prompt(),
            Err(error) => {
                self.output.push(&format!("{error}\n"));
                return self.prompt();
            }
        };
        match command {
            Command::Help => {
                self.output.push(HELP);
                return self.prompt();
            }
            Command::Apply(confirm) => {
                self.output.push(HOW);
                self.state = State::Pasting(Box::new(Paste::new(confirm)));
                return;
            }
            Command::Password => {
                self.output.push("new password (it is not shown): ");
                self.state = State::Secret(Secret::default());
                return;
            }
            Command::FactoryReset => {
                self.output.push(ERASED);
                self.state = State::Sure(command);
                return;
            }
            Command::Top => self.top = Top::default(),
            Command::Lan(_) => wishes.push(Wish::LookAtInterfaces),
            Command::Addresses | Command::Routes | Command::Status => wishes.push(Wish::LookAtNetwork),
            Command::Leases => wishes.push(Wish::LookAtLeases),
            Command::Firewall => wishes.push(Wish::LookAtFirewall),
            _ => {}
        }
        self.begin(command, wishes);
    }

    fn begin(&mut self, command: Command, wishes: &mut Vec<Wish>) {
        wishes.extend(command.request().map(|request| Wish::Ask(command.peer(), request)));
        self.state = State::Busy(command);
    }

    /// Whether PID 1 owes an answer that should come at once.
    pub fn waits(&self) -> bool {
        // A disk may take its time between two lines.
        let unhurried =
            |command: &Command| matches!(command, Command::Log { follow: true, .. } | Command::Install { .. });
        matches!(&self.state, State::Busy(command) if !unhurried(command))
    }

    /// Whether more of PID 1's lines are welcome now. A log that is followed is read always: what the line is too slow
    /// for is dropped here, so that it does not pile up there.
    pub fn takes_answers(&self) -> bool {
        !self.waits() || !self.output.is_full()
    }

    /// What [`Wish::LookAtNetwork`] found.
    pub fn network(&mut self, found: Result<Network, String>) -> Vec<Wish> {
        let network = match found {
            Ok(network) => network,
            Err(error) => {
                self.output.push(&format!("the kernel does not tell its interfaces: {}\n", tables::clean(&error)));
                Network::default()
            }
        };
        match self.state {
            State::Busy(Command::Addresses) => self.done(&tables::addresses(&network)),
            State::Busy(Command::Routes) => self.done(&tables::routes(&network)),
            _ => {
                self.network = network;
                Vec::new()
            }
        }
    }

    /// What [`Wish::LookAtLeases`] found.
    pub fn leases(&mut self, found: Result<Vec<Lease>, String>, now: WallTime) -> Vec<Wish> {
        match found {
            Ok(leases) => self.done(&tables::leases(&leases, now)),
            Err(error) => self.done(&format!("{}\n", tables::clean(&error))),
        }
    }

    /// What [`Wish::LookAtFirewall`] found.
    pub fn firewall(&mut self, found: Result<Firewall, String>) -> Vec<Wish> {
        match found {
            Ok(firewall) => self.done(&tables::firewall(&firewall)),
            Err(error) => self.done(&format!("netconfigd does not show its counters: {}\n", tables::clean(&error))),
        }
    }

    /// What [`Wish::LookAtInterfaces`] found.
    pub fn interfaces(&mut self, path: &Path, found: Result<Option<Vec<u8>>, String>) -> Vec<Wish> {
        let State::Busy(Command::Lan(net)) = self.state else { return Vec::new() };
        match found.and_then(|bytes| lan::changed(path, bytes.as_deref(), net)) {
            Ok(text) => {
                let files = serde_json::json!({"interfaces.json": text});
                let request = serde_json::json!({"op": "try", "files": files, "confirm": lan::CONFIRM});
                vec![Wish::Ask(Peer::Configd, format!("{request}\n"))]
            }
            Err(why) => self.done(&format!("nothing has changed:\n{}\n", tables::clean(&why))),
        }
    }

    /// What [`Wish::LookAtProcesses`] found.
    pub fn processes(&mut self, found: Result<Sample, String>) -> Vec<Wish> {
        if self.state != State::Busy(Command::Top) {
            return Vec::new();
        }
        let table = match found {
            Ok(sample) => self.top.look(sample),
            Err(why) => return self.done(&format!("the kernel does not tell: {}\n", tables::clean(&why))),
        };
        match table {
            None => vec![Wish::Wake(top::FIRST)],
            // Where nothing can be written over, one table is enough.
            Some(table) if !self.is_terminal => self.done(&table),
            Some(table) => {
                // To the top, and away with the rest (ECMA-48: CUP, ED).
                self.output.push(&format!("\x1b[H\x1b[J{table}\nany key ends this"));
                vec![Wish::Wake(top::PAUSE)]
            }
        }
    }

    /// The time of [`Wish::Wake`] has come.
    pub fn wake(&mut self) -> Vec<Wish> {
        match &self.state {
            // A line that is too slow is not written on meanwhile.
            State::Busy(Command::Top) if self.output.is_full() => vec![Wish::Wake(top::PAUSE)],
            State::Busy(command @ Command::Top) => {
                command.request().map(|request| Wish::Ask(command.peer(), request)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// One line from PID 1.
    pub fn answer(&mut self, line: &[u8]) -> Vec<Wish> {
        let State::Busy(command) = &self.state else { return Vec::new() };
        let text = match (Answer::parse(line), command) {
            (Ok(Answer::Line { t_ms, line }), Command::Log { .. } | Command::LastBoot(_)) => {
                self.output.push(&tables::log_line(t_ms, &line));
                return Vec::new();
            }
            (Ok(Answer::List(list)), Command::Top) => {
                self.top.list = list;
                return vec![Wish::HangUp, Wish::LookAtProcesses(self.top.processes())];
            }
            (Ok(Answer::Disks(disks)), Command::Disks(wanted)) => match install::asked(&disks, wanted.as_deref()) {
                Ok((command, question)) => {
                    self.output.push(&question);
                    self.state = State::Sure(command);
                    return vec![Wish::HangUp];
                }
                Err(text) => text,
            },
            (Ok(Answer::Line { line, .. }), Command::Tool { .. } | Command::Capture(_) | Command::Install { .. }) => {
                self.output.push(&format!("{}\n", tables::clean(&line)));
                return Vec::new();
            }
            (Ok(Answer::Health(health)), Command::Diag) => tables::health(&health),
            (Ok(Answer::End), Command::Tool { .. } | Command::Capture(_) | Command::Install { .. }) => String::new(),
            (Ok(Answer::Ok), Command::FactoryReset) => "everything is erased at the next start, which is now\n".into(),
            (Ok(Answer::Ok), Command::Lan(net)) => format!(
                "lan0 has {net} for {} s: `keep` keeps it, `revert` takes it back; machines ask for another address by themselves\n",
                lan::CONFIRM
            ),
            (Ok(Answer::List(list)), Command::Status) => tables::status(&list, &self.network),
            (Ok(Answer::Clock(clock)), Command::Clock) => tables::clock(&clock),
            (Ok(Answer::End), Command::Log { .. } | Command::LastBoot(_)) => String::new(),
            (Ok(Answer::Ok), Command::Restart(name)) => format!("{name} is being restarted\n"),
            (Ok(Answer::Ok), Command::Signal { name, signal }) => format!("{name} has been sent {signal}\n"),
            (Ok(Answer::Ok), Command::Trial) => "starting the other slot\n".into(),
            (Ok(Answer::Ok), Command::Reboot) => "rebooting\n".into(),
            (Ok(Answer::Ok), Command::PowerOff) => "switching off\n".into(),
            (Ok(Answer::Ok), Command::Apply(None) | Command::Keep) => "kept\n".into(),
            (Ok(Answer::Ok), Command::Apply(Some(seconds))) => {
                format!("in force for {seconds} s: `keep` keeps it, `revert` takes it back\n")
            }
            (Ok(Answer::Ok), Command::Revert) => "taken back\n".into(),
            (Ok(Answer::Ok), Command::Device { .. } | Command::Password) => "done\n".into(),
            (Ok(Answer::Said(said)), Command::Token) => format!("{}\n", tables::clean(&said)),
            (Ok(Answer::Error(error)), Command::Diag | Command::Tool { .. } | Command::Capture(_)) => {
                format!("{}\n", tables::clean(&error))
            }
            (Ok(Answer::Error(error)), _) if !matches!(command.peer(), Peer::Init | Peer::Ntpd | Peer::Logd) => {
                let lines: String = error.lines().map(|line| format!("{}\n", tables::clean(line))).collect();
                format!("nothing has changed:\n{lines}")
            }
            (Ok(Answer::Error(error)), _) => {
                format!("{} refuses: {}\n", command.peer().words().0, tables::clean(&error))
            }
            (Ok(_), _) => format!("{}'s answer does not fit the question\n", command.peer().words().0),
            (Err(error), _) => format!("{}\n", tables::clean(&error)),
        };
        let mut wishes = vec![Wish::HangUp];
        wishes.extend(self.done(&text));
        wishes
    }

    /// PID 1 cannot be asked, or its answer broke off; `why` ends a sentence.
    pub fn unreachable(&mut self, why: &str) -> Vec<Wish> {
        if !matches!(self.state, State::Busy(_)) {
            return Vec::new();
        }
        // Half of `status` needs no PID 1.
        let mut text = match self.state {
            State::Busy(Command::Status) => tables::addresses(&self.network),
            _ => String::new(),
        };
        let peer = if let State::Busy(command) = &self.state { command.peer() } else { Peer::Init };
        text.push_str(&format!("{} does not answer on its control socket: {}\n", peer.words().0, tables::clean(why)));
        let mut wishes = vec![Wish::HangUp];
        wishes.extend(self.done(&text));
        wishes
    }

    fn give_up(&mut self, wishes: &mut Vec<Wish>) {
        wishes.push(Wish::HangUp);
        self.output.push("\n");
        self.prompt();
    }

    // The command's last words; then what was typed meanwhile is read.
    fn done(&mut self, text: &str) -> Vec<Wish> {
        self.output.push(text);
        self.prompt();
        let ahead = std::mem::take(&mut self.ahead);
        self.input(&ahead)
    }

    fn prompt(&mut self) {
        self.state = State::Prompt;
        self.output.prompt(PROMPT);
    }
}
