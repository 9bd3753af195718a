//! `weir apply`, `weir keep`, `weir revert`: a person's files into a running router, on trial until they are kept.
//!
//! The way is the console of a machine that `weir run` has started, in the words that a person would type there.
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::check;
use crate::error::{Context, Error, Result};
use crate::keyboard::SOCKET;

/// The one host so far.
const HOST: &str = "qemu";
const PROMPT: &str = "weir> ";
/// How long the console may stay silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a file in one line: twice as many digits.
const LINE: usize = 100;

/// Which router.
#[derive(Debug, Clone)]
pub struct Target {
    /// What a person calls it.
    pub host: String,
    /// The folder of `weir run`.
    pub state: PathBuf,
}

/// Sends the files of a folder; they are kept at once, or on trial for so many seconds (5 to 3,600).
///
/// # Errors
/// When a file is wrong, the router cannot be reached, or it refuses them: nothing has changed then.
pub fn apply(target: &Target, folder: &Path, confirm: Option<u64>) -> Result<()> {
    check::check(folder)?;
    let files = check::files_of(folder)?;
    let mut console = Console::open(target)?;
    let command = confirm.map_or_else(|| "apply".to_owned(), |seconds| format!("apply {seconds}"));
    console.line(&command, "file: ")?;
    for (name, bytes) in &files {
        eprintln!("weir apply: {name}, {} bytes", bytes.len());
        console.line(name, name)?;
        for some in bytes.chunks(LINE) {
            let digits: String = some.iter().map(|byte| format!("{byte:02x}")).collect();
            console.line(&format!("={digits}"), &digits)?;
        }
        console.line(".", "file: ")?;
    }
    let said = console.line("", PROMPT)?;
    answer(&said)?;
    if let Some(seconds) = confirm {
        eprintln!("weir apply: `weir keep {HOST}` within {seconds} s, or all is as it was");
    }
    Ok(())
}

/// Says `keep` or `revert`.
///
/// # Errors
/// When the router cannot be reached or refuses.
pub fn decide(target: &Target, word: &str) -> Result<()> {
    answer(&Console::open(target)?.line(word, PROMPT)?)
}

/// The router's answer: a fault of it, or good news.
fn answer(said: &str) -> Result<()> {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with(PROMPT.trim()));
    let said: Vec<&str> = lines.collect();
    if ["in force for", "kept", "taken back"].iter().any(|good| said.iter().any(|line| line.starts_with(good))) {
        eprintln!("weir: {}", said.join("\n"));
        return Ok(());
    }
    Err(Error::new(format!("the router says: {}", said.join("\n"))))
}

/// The console of a running machine.
struct Console {
    stream: UnixStream,
    /// What it has said and nobody has waited for.
    said: String,
}

impl Console {
    fn open(target: &Target) -> Result<Console> {
        if target.host != HOST {
            let words =
                format!("{:?} cannot be reached: there is no password yet by which it would know you", target.host);
            return Err(Error::new(words).next(format!(
                "use the command `apply` at its console, or `weir apply {HOST} DIR` for a machine of weir run"
            )));
        }
        let path = target.state.join(SOCKET);
        let stream = UnixStream::connect(&path).cannot_file("reach a machine at", &path);
        let stream = stream.map_err(|error| error.next("start one: make run (or name its folder: --state DIR)"))?;
        stream.set_read_timeout(Some(PATIENCE)).cannot(|| "set a time limit".to_owned())?;
        let mut console = Console { stream, said: String::new() };
        // Whatever was typed before is forgotten; a word that no other line has shows where the answers begin.
        let mark = format!("#{}", std::process::id());
        console.press(&format!("\x03\r{mark}\r"))?;
        console.wait_for(&format!("\"{mark}\" is no command"))?;
        console.wait_for(PROMPT)?;
        Ok(console)
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        self.stream.write_all(keys.as_bytes()).cannot(|| "type at the console".to_owned())
    }

    /// Types a line and returns what is said up to `sign`.
    fn line(&mut self, line: &str, sign: &str) -> Result<String> {
        self.press(&format!("{line}\r"))?;
        self.wait_for(sign)
    }

    fn wait_for(&mut self, sign: &str) -> Result<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.said.find(sign) {
                let rest = self.said.split_off(at + sign.len());
                return Ok(std::mem::replace(&mut self.said, rest));
            }
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.said.push_str(&String::from_utf8_lossy(&buffer[..count]).replace('\r', "")),
                Ok(_) => return Err(Error::new("the machine is off")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    let words = format!("the console did not say {sign:?} within {} s", PATIENCE.as_secs());
                    return Err(Error::new(words).next("look at its terminal: is there a prompt?"));
                }
            }
        }
    }
}
