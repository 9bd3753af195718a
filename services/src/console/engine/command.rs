//! The words that the prompt takes.

use super::lan;
use ipnet::Ipv4Net;

/// A command, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The list of commands.
    Help,
    /// How the router is.
    Status,
    /// The last lines of a service or the kernel; with `follow` also those to come.
    Log {
        /// The service, or `kernel`.
        name: String,
        /// Until a key is pressed.
        follow: bool,
    },
    /// What a service, or the kernel, has said last in the boot before this one.
    LastBoot(String),
    /// Addresses of every interface.
    Addresses,
    /// The routing table.
    Routes,
    /// Addresses given to the LAN's devices.
    Leases,
    /// What the firewall lets in, and what it has refused.
    Firewall,
    /// Stops a service and starts it again.
    Restart(String),
    /// Sends a service a signal.
    Signal {
        /// The service.
        name: String,
        /// One of [`SIGNALS`].
        signal: &'static str,
    },
    /// Takes files from the terminal and puts them in force: for so many seconds, or for good.
    Apply(Option<u64>),
    /// Keeps the files that are on trial.
    Keep,
    /// Takes them back.
    Revert,
    /// Says something of a device at home.
    Device {
        /// `rename`, `fix` or `forget`.
        what: &'static str,
        /// Its hardware address.
        mac: String,
        /// The name; empty takes it away.
        name: String,
    },
    /// Why the internet does not work, or that it does.
    Diag,
    /// Has diagd ask somebody, and shows a line for each answer.
    Tool {
        /// `ping`, `trace` or `dns`.
        what: &'static str,
        /// A name or an address.
        target: String,
    },
    /// Sets the router's password, which is asked for.
    Password,
    /// Makes another token for backups.
    Token,
    /// What time it is, and by whom.
    Clock,
    /// What each process costs, until a key.
    Top,
    /// Gives lan0 another address, on trial.
    Lan(Ipv4Net),
    /// What captured holds, and how to see it; or whether it is to hold something where nobody has a key.
    Capture(Option<bool>),
    /// Shows the disks; or asks whether weir shall be put on one.
    Disks(Option<String>),
    /// Puts weir on a disk, as what is on it is known.
    Install {
        /// Its name under `/dev`.
        disk: String,
        /// What is lost.
        over: String,
    },
    /// Erases all that was ever said to the router, and starts it again.
    FactoryReset,
    /// The other slot, once.
    Trial,
    /// Starts the machine again.
    Reboot,
    /// Switches the machine off.
    PowerOff,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// PID 1.
    Init,
    /// The keeper of a person's files.
    Configd,
    /// The keeper of the table of devices.
    Deviced,
    /// Who knows whether the internet works.
    Diagd,
    /// The keeper of the password.
    Webd,
    /// Who knows the time.
    Ntpd,
    /// Who keeps what was said.
    Logd,
    /// Who keeps the last packets.
    Captured,
}

impl Peer {
    /// Its name in messages, and where it listens.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Peer::Init => ("PID 1", "/run/init.sock"),
            Peer::Configd => ("configd", "/run/configd.sock"),
            Peer::Deviced => ("deviced", "/run/deviced.sock"),
            Peer::Diagd => ("diagd", "/run/diagd.sock"),
            Peer::Webd => ("webd", "/run/webd.sock"),
            Peer::Ntpd => ("ntpd", "/run/ntpd.sock"),
            Peer::Logd => ("logd", "/run/logd.sock"),
            Peer::Captured => ("captured", "/run/captured.sock"),
        }
    }
}

/// Signals that PID 1 sends on: read the files again, release (dhcp4), stop, die.
const SIGNALS: [&str; 4] = ["USR1", "USR2", "TERM", "KILL"];

/// What `help` prints.
pub const HELP: &str = "\
help             this list
status           services, addresses and uptime
diag             does the internet work, and if not, why
ping HOST        echoes of a host, by its name or address
trace HOST       the routers on the way to it
dns NAME         a name's addresses, as each name server has them
log NAME [-f]    last lines of a service; -f: and those to come, until a key
log NAME --last-boot  what it said last in the boot before this one
addresses        addresses of every interface
routes           the routing table
leases           addresses given to the devices of the LAN
firewall         what is let in, what was refused
clock            the time, and whom it is from
top              what each process costs, until a key
capture          the last packets that were kept, and how to see them
capture on       keep them, also where nobody has a key
capture off      keep them only where somebody has one
dmesg            the kernel's messages
restart NAME     stop a service and start it again
signal NAME SIG  send a service USR1, USR2, TERM or KILL
apply [SECONDS]  take files; with SECONDS they are on trial until `keep`
keep             keep the files that are on trial
revert           take them back
rename MAC NAME  give a device a name; without NAME take it away
fix MAC NAME     the same, and never forget the device
forget MAC       forget a device and all that was said of it
lan ADDRESS/LEN  another address for lan0, on trial until `keep`
password         set the router's password
token            make a token for backups; the one before ends
install          the disks of this machine, and what is on them
install DISK     put weir on it, with all of /perm; asks before anything is lost
trial            start the other slot; it stays if it is good
factory-reset    erase all that is yours and start anew
reboot           start the router again
poweroff         switch the router off
";

impl Command {
    /// Understands a line; `None` for an empty one.
    ///
    /// # Errors
    /// A sentence for whoever typed it.
    pub fn parse(line: &str) -> Result<Option<Command>, String> {
        let mut words = line.split_ascii_whitespace();
        let Some(verb) = words.next() else { return Ok(None) };
        let words: Vec<&str> = words.collect();
        let (command, taken) = match (verb, words.as_slice()) {
            ("help" | "?", _) => (Command::Help, 0),
            ("status", _) => (Command::Status, 0),
            ("addresses", _) => (Command::Addresses, 0),
            ("routes", _) => (Command::Routes, 0),
            ("leases", _) => (Command::Leases, 0),
            ("firewall", _) => (Command::Firewall, 0),
            ("diag", _) => (Command::Diag, 0),
            ("ping", [host, ..]) => (tool("ping", host), 1),
            ("trace", [host, ..]) => (tool("trace", host), 1),
            ("dns", [name, ..]) => (tool("dns", name), 1),
            ("ping" | "trace" | "dns", []) => return Err(format!("{verb} wants a name")),
            ("clock", _) => (Command::Clock, 0),
            ("dmesg", _) => (Command::Log { name: "kernel".into(), follow: false }, 0),
            ("apply", [seconds, ..]) => {
                let wrong = |_| format!("apply: {seconds:?} is no number of seconds, 5 to 3600");
                (Command::Apply(Some(seconds.parse().map_err(wrong)?)), 1)
            }
            ("apply", _) => (Command::Apply(None), 0),
            ("keep", _) => (Command::Keep, 0),
            ("revert", _) => (Command::Revert, 0),
            ("rename", [mac, name, ..]) => (device("rename", mac, name), 2),
            ("rename", [mac]) => (device("rename", mac, ""), 1),
            ("fix", [mac, name, ..]) => (device("fix", mac, name), 2),
            ("fix", [mac]) => (device("fix", mac, ""), 1),
            ("forget", [mac, ..]) => (device("forget", mac, ""), 1),
            ("rename" | "fix" | "forget", []) => return Err(format!("{verb} wants a hardware address")),
            ("password", _) => (Command::Password, 0),
            ("token", _) => (Command::Token, 0),
            ("top", _) => (Command::Top, 0),
            ("capture", ["on", ..]) => (Command::Capture(Some(true)), 1),
            ("capture", ["off", ..]) => (Command::Capture(Some(false)), 1),
            ("capture", _) => (Command::Capture(None), 0),
            ("lan", [net, ..]) => (Command::Lan(lan::parse(net)?), 1),
            ("lan", []) => return Err("lan wants an address with a length, such as 192.168.42.1/24".into()),
            ("install", [disk, ..]) => (Command::Disks(Some(disk.trim_start_matches("/dev/").to_owned())), 1),
            ("install", []) => (Command::Disks(None), 0),
            ("trial", _) => (Command::Trial, 0),
            ("factory-reset", _) => (Command::FactoryReset, 0),
            ("reboot", _) => (Command::Reboot, 0),
            ("poweroff", _) => (Command::PowerOff, 0),
            ("log", ["-f", name, ..] | [name, "-f", ..]) => (Command::Log { name: known(name)?, follow: true }, 2),
            ("log", ["--last-boot", name, ..] | [name, "--last-boot", ..]) => (Command::LastBoot(known(name)?), 2),
            ("log", [name, ..]) => (Command::Log { name: known(name)?, follow: false }, 1),
            ("restart" | "signal", ["install", ..]) => return Err("an installation is begun by: install DISK".into()),
            ("restart", ["kernel", ..]) => return Err("the kernel is restarted by: reboot".into()),
            ("restart", [name, ..]) => (Command::Restart(known(name)?), 1),
            ("signal", ["kernel", ..]) => return Err("the kernel takes no signal".into()),
            ("signal", [name, signal, ..]) => (Command::Signal { name: known(name)?, signal: by_name(signal)? }, 2),
            ("signal", [_]) => return Err(format!("signal wants one of {}", SIGNALS.join(", "))),
            ("log" | "restart" | "signal", []) => return Err(format!("{verb} wants a name: {}", names())),
            _ => return Err(format!("{verb:?} is no command, help lists them")),
        };
        match words.get(taken) {
            None => Ok(Some(command)),
            Some(word) => Err(format!("{verb} does not take {word:?}")),
        }
    }

    /// What to ask of PID 1, one line of JSON; `None` for a command that PID 1 has no part in.
    pub fn request(&self) -> Option<String> {
        let value = match self {
            Command::Status | Command::Top => serde_json::json!({"op": "list"}),
            Command::Capture(None) => serde_json::json!({"op": "ring"}),
            Command::Capture(Some(on)) => serde_json::json!({"op": "record", "on": on}),
            Command::FactoryReset => serde_json::json!({"op": "factory-reset"}),
            Command::Disks(_) => serde_json::json!({"op": "disks"}),
            Command::Install { disk, over } => {
                serde_json::json!({"op": "install", "disk": disk, "over": over, "follow": true})
            }
            Command::Log { name, follow } => serde_json::json!({"op": "logs", "name": name, "follow": follow}),
            Command::Restart(name) => serde_json::json!({"op": "restart", "name": name}),
            Command::Signal { name, signal } => serde_json::json!({"op": "signal", "name": name, "signal": signal}),
            Command::Trial => serde_json::json!({"op": "trial"}),
            Command::Reboot => serde_json::json!({"op": "reboot"}),
            Command::PowerOff => serde_json::json!({"op": "poweroff"}),
            Command::LastBoot(name) => serde_json::json!({"op": "last", "name": name}),
            Command::Clock => serde_json::json!({"op": "time"}),
            Command::Keep => serde_json::json!({"op": "keep"}),
            Command::Revert => serde_json::json!({"op": "revert"}),
            Command::Device { what: "forget", mac, .. } => {
                serde_json::json!({"op": "forget", "hardware_addr": mac})
            }
            Command::Device { what, mac, name } => {
                serde_json::json!({"op": what, "hardware_addr": mac, "name": name})
            }
            Command::Diag => serde_json::json!({"op": "diag"}),
            Command::Tool { what: "dns", target } => serde_json::json!({"op": "dns", "name": target}),
            Command::Tool { what, target } => serde_json::json!({"op": what, "target": target}),
            Command::Token => serde_json::json!({"op": "token"}),
            Command::Help | Command::Addresses | Command::Routes | Command::Leases => return None,
            Command::Firewall | Command::Password | Command::Apply(_) | Command::Lan(_) => return None,
        };
        Some(format!("{value}\n"))
    }

    /// Who is asked.
    pub fn peer(&self) -> Peer {
        match self {
            Command::Apply(_) | Command::Lan(_) | Command::Keep | Command::Revert => Peer::Configd,
            Command::Device { .. } => Peer::Deviced,
            Command::Diag | Command::Tool { .. } => Peer::Diagd,
            Command::Password | Command::Token => Peer::Webd,
            Command::Clock => Peer::Ntpd,
            Command::LastBoot(_) => Peer::Logd,
            Command::Capture(_) => Peer::Captured,
            _ => Peer::Init,
        }
    }
}

fn device(what: &'static str, mac: &str, name: &str) -> Command {
    Command::Device { what, mac: mac.to_owned(), name: name.to_owned() }
}

fn tool(what: &'static str, target: &str) -> Command {
    Command::Tool { what, target: target.to_owned() }
}

fn names() -> String {
    rights::SERVICES.iter().map(|service| service.name).collect::<Vec<_>>().join(", ")
}

fn by_name(word: &str) -> Result<&'static str, String> {
    let found = SIGNALS.into_iter().find(|signal| signal.eq_ignore_ascii_case(word));
    found.ok_or_else(|| format!("{word:?} is none of {}", SIGNALS.join(", ")))
}

fn known(name: &str) -> Result<String, String> {
    if matches!(name, "kernel" | "install") || rights::service(name).is_some() {
        return Ok(name.into());
    }
    Err(format!("no service is called {name:?}, there are: {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_every_line_of_help() {
        for line in HELP.lines() {
            let words = line.split("  ").next().unwrap_or_default();
            let typed = [
                ("NAME", "dhcp4"),
                ("[-f]", "-f"),
                ("SIG", "KILL"),
                ("[SECONDS]", "60"),
                ("ADDRESS/LEN", "10.0.0.1/24"),
                ("DISK", "sda"),
            ];
            let typed = typed.iter().fold(words.to_owned(), |line, (word, value)| line.replace(word, value));
            assert!(Command::parse(&typed).is_ok_and(|command| command.is_some()), "{typed}");
            assert!(line.len() <= 80, "{line}");
        }
        assert_eq!(Command::parse("  "), Ok(None));
    }

    #[test]
    fn says_what_it_does_not_understand() {
        for (line, said) in [
            ("hlep", "\"hlep\" is no command"),
            ("log", "wants a name: netconfigd, configd"),
            ("log x", "\"x\""),
            ("status now", "\"now\""),
            ("log dhcp4 -f x", "\"x\""),
            ("restart kernel", "reboot"),
            ("apply soon", "\"soon\""),
            ("signal dhcp4", "USR1, USR2"),
            ("fix", "hardware address"),
            ("install sda now", "\"now\""),
            ("restart install", "install DISK"),
            ("ping", "ping wants a name"),
            ("diag now", "\"now\""),
            ("signal dhcp4 HUP", "\"HUP\""),
        ] {
            assert!(Command::parse(line).is_err_and(|error| error.contains(said)), "{line}");
        }
    }

    #[test]
    fn asks_as_the_socket_wants() {
        let request = Command::Log { name: "dhcp4".into(), follow: true }.request().unwrap();
        assert_eq!(request, "{\"follow\":true,\"name\":\"dhcp4\",\"op\":\"logs\"}\n");
        assert_eq!(Command::Help.request(), None);
        let request = |line: &str| Command::parse(line).unwrap().unwrap().request().unwrap();
        let fix = "{\"hardware_addr\":\"02:00:5e:10:00:07\",\"name\":\"nas\",\"op\":\"fix\"}\n";
        assert_eq!(request("fix 02:00:5e:10:00:07 nas"), fix);
        assert_eq!(request("diag"), "{\"op\":\"diag\"}\n");
        assert_eq!(request("trace 192.0.2.1"), "{\"op\":\"trace\",\"target\":\"192.0.2.1\"}\n");
        assert_eq!(request("dns a.example"), "{\"name\":\"a.example\",\"op\":\"dns\"}\n");
        assert_eq!(request("forget 7"), "{\"hardware_addr\":\"7\",\"op\":\"forget\"}\n");
    }
}
