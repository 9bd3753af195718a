//! What rp-pppoe's server runs as its pppd: hands each session to the kernel's PPPoE, as its own option for that would,
//! which Debian has left out. Without it every packet would go through a terminal and a second process, and our kernel
//! has no terminal driver for PPP.
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// `pppoe -n -I eth0 -e 1:52:54:00:77:00:01 -S ''` as pppd's words for the same.
fn in_kernel(words: &str) -> Vec<String> {
    let mut words = words.split_whitespace();
    let mut plugin = vec!["plugin".to_owned(), "pppoe.so".to_owned()];
    while let Some(word) = words.next() {
        match (word, words.clone().next()) {
            ("-I", Some(name)) => plugin.push(format!("nic-{name}")),
            ("-e", Some(session)) => plugin.extend(["rp_pppoe_sess".to_owned(), session.to_owned()]),
            _ => {}
        }
    }
    plugin
}

fn main() -> ExitCode {
    let mut words = Vec::new();
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        match word.as_str() {
            "pty" => words.extend(in_kernel(&given.next().unwrap_or_default())),
            // Of the terminal that there is not.
            "default-asyncmap" | "sync" => {}
            _ => words.push(word),
        }
    }
    let error = Command::new("/usr/sbin/pppd").args(words).exec();
    eprintln!("/usr/sbin/pppd: {error}");
    ExitCode::FAILURE
}
