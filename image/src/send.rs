//! `weir update`: a signed update to a running router, which tries it.
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};

/// Where updated listens.
const PORT: u16 = 8078;
/// How long the router may be silent; it reads everything back from its disk at the end.
const PATIENCE: Duration = Duration::from_secs(120);
const CHUNK: usize = 64 << 10;

/// What a router is told of who asks.
#[derive(Debug, Clone)]
pub enum Claim {
    /// The router's password.
    Password(String),
    /// A token of the router's.
    Token(String),
}

/// Sends the update and shows how it goes; `again`: even if the router has tried it and found it no good. The router starts it when this ends well.
///
/// # Errors
/// When the router cannot be reached or does not take it: it runs on as it is then.
pub fn send(host: &str, file: &Path, claim: &Claim, again: bool) -> Result<()> {
    let mut update = File::open(file).cannot_file("read", file)?;
    let address = if host.contains(':') && !host.starts_with('[') && host.matches(':').count() > 1 {
        format!("[{host}]:{PORT}")
    } else if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:{PORT}")
    };
    let hint = "is that the router, and is this computer on its LAN?";
    let mut stream =
        TcpStream::connect(&address).cannot(|| format!("reach {address}")).map_err(|error| error.next(hint))?;
    let set = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    set.cannot(|| "wait for an answer".into())?;
    let mut line = match claim {
        Claim::Password(password) => json!({"password": password}),
        Claim::Token(token) => json!({"token": token}),
    };
    if again {
        line["again"] = true.into();
    }
    let mut answers = BufReader::new(stream.try_clone().cannot(|| "listen to the router".into())?);
    stream.write_all(format!("{line}\n").as_bytes()).cannot(|| format!("ask {address}"))?;
    answer(&mut answers, host)?;

    eprintln!("weir update: {host} takes it");
    let hearer = {
        let host = host.to_owned();
        std::thread::spawn(move || hear(&mut answers, &host))
    };
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = update.read(&mut chunk).cannot_file("read", file)?;
        // A router that refuses closes its side: its words say why.
        if length == 0 || stream.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let slot = hearer.join().unwrap_or_else(|_| Err(Error::new("the listener crashed")))?;
    eprintln!("weir update: {host} has it in slot {slot} and starts it; if it is no good, it goes back by itself");
    Ok(())
}

/// One answer that is no progress.
fn answer(answers: &mut impl BufRead, host: &str) -> Result<Value> {
    let mut line = String::new();
    let read = answers.read_line(&mut line).cannot(|| format!("hear {host}"))?;
    let value: Value = serde_json::from_str(&line).unwrap_or_default();
    if let Some(why) = value["error"].as_str() {
        return Err(Error::new(format!("{host} does not take it: {why}")).next("nothing has changed there"));
    }
    if read == 0 || !value.is_object() {
        return Err(Error::new(format!("{host} has hung up")).next("see its log: log updated"));
    }
    Ok(value)
}

fn hear(answers: &mut impl BufRead, host: &str) -> Result<String> {
    let mut shown = 0;
    loop {
        let value = answer(answers, host)?;
        if let (Some(written), Some(of)) = (value["written"].as_u64(), value["of"].as_u64()) {
            let percent = written * 100 / of.max(1);
            if percent >= shown + 10 {
                shown = percent / 10 * 10;
                eprintln!("weir update: {shown:>3} %");
            }
            continue;
        }
        if let Some(slot) = value["slot"].as_str() {
            return Ok(slot.to_owned());
        }
    }
}
