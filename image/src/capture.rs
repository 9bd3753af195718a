//! `weir capture`: ssh with the words that captured wants, its stream on standard output.
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Context, Result};

/// Runs ssh to a router until one of the two hangs up; `words` are captured's: `control`, `dns` or `all`, and an address.
///
/// # Errors
/// When there is no ssh.
pub fn capture(host: &str, words: &[String]) -> Result<ExitStatus> {
    let hint = "install OpenSSH's client";
    let mut child = command(host, words).spawn().cannot(|| "run ssh".to_owned()).map_err(|error| error.next(hint))?;
    // Held open: at the end of what is said to it, the other side ends as well.
    let stdin = child.stdin.take();
    let status = child.wait().cannot(|| "wait for ssh".to_owned());
    drop(stdin);
    status
}

fn command(host: &str, words: &[String]) -> Command {
    let mut command = Command::new("ssh");
    // No terminal there: the stream is no text. Nothing is said to it either.
    command.args(["-T", "-p", "5022", "--", host]).args(words).stdin(Stdio::piped());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_never_an_option() {
        let command = command("-oProxyCommand=x", &["dns".into(), "192.168.42.7".into()]);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words, ["-T", "-p", "5022", "--", "-oProxyCommand=x", "dns", "192.168.42.7"]);
    }
}
