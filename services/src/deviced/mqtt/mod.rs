//! The publisher of leases (MQTT 3.1.1): one connection, tried again and again; what comes while there is none is
//! dropped, as router7 does. Nothing else waits for it.
pub(super) mod codec;

use super::tail::Lease;
use crate::perm::devices::Devices;
use codec::Said;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// router7's name for itself.
const CLIENT: &str = "dhcp4d";
/// Bytes that wait for the broker, at most.
const MOST: usize = 64 << 10;
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// First and longest pause between two tries.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its address, or the name of a device at home.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
}

/// What `mqtt-broker.txt` says; `None` when it is empty.
///
/// # Errors
/// In words, with the value.
pub fn address(text: &str) -> Result<Option<Broker>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("{text:?} is not a broker such as tcp://10.0.0.54:1883");
    let rest = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("mqtt://")).ok_or_else(wrong)?;
    let rest = rest.trim_end_matches('/');
    if let Ok(address) = rest.parse::<SocketAddr>() {
        return Ok(Some(Broker { host: address.ip().to_string(), port: address.port() }));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if rest.parse::<IpAddr>().is_err() => (host, port.parse().map_err(|_| wrong())?),
        _ => (rest, 1_883),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix(".lan").unwrap_or(host);
    if host.parse::<IpAddr>().is_err() && super::engine::label(name).is_none() {
        return Err(format!("{text:?}: a broker is known by its address or by its name at home"));
    }
    Ok(Some(Broker { host: name.to_ascii_lowercase(), port }))
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    welcome: bool,
    /// When the broker must have said something.
    answer_by: Option<Instant>,
    ping_at: Instant,
    writing: bool,
}

/// The connection to the broker.
#[derive(Default)]
pub struct Publisher {
    broker: Option<Broker>,
    addresses: HashMap<String, IpAddr>,
    connection: Option<Connection>,
    retry: Option<(Instant, Duration)>,
    complained: bool,
}

impl Publisher {
    /// This is the broker from now on.
    pub fn to(&mut self, broker: Option<Broker>) {
        if self.broker != broker {
            self.connection = None;
            self.retry = broker.is_some().then(|| (Instant::now(), RETRY.0));
            self.complained = false;
            self.broker = broker;
        }
    }

    /// Where devices at home are, by their names: the broker may be one of them.
    pub fn names(&mut self, table: &Devices) {
        self.addresses.clear();
        let Some(broker) = &self.broker else { return };
        let device = table.devices.iter().find(|device| device.name == broker.host);
        if let Some(address) = device.and_then(|device| device.ipv4.first()) {
            self.addresses.insert(broker.host.clone(), IpAddr::V4(*address));
        }
    }

    /// Tells of a lease, if there is somebody to tell it to.
    pub fn publish(&mut self, lease: &Lease) {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.welcome) else { return };
        let (topic, payload) = message(lease);
        let packet = codec::publish(&topic, payload.as_bytes());
        if connection.output.len() + packet.len() <= MOST {
            connection.output.extend_from_slice(&packet);
        }
    }

    /// When [`Publisher::tick`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.connection {
            Some(connection) => connection.answer_by.into_iter().chain([connection.ping_at]).min(),
            None => self.retry.map(|(at, _)| at),
        }
    }

    /// Connects, writes, pings and gives up, whatever it is time for.
    pub fn tick(&mut self, now: Instant, turn: &Loop, token: Token) {
        if self.connection.is_none() && self.retry.is_some_and(|(at, _)| at <= now) {
            match self.open(now, turn, token) {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => self.give_up(now, &error.to_string()),
            }
        }
        let Some(connection) = &mut self.connection else { return };
        if connection.answer_by.is_some_and(|at| at <= now) {
            return self.give_up(now, "it does not answer");
        }
        if connection.ping_at <= now {
            connection.output.extend_from_slice(&codec::ping());
            connection.ping_at = now + KEEP_ALIVE / 2;
            connection.answer_by.get_or_insert(now + PATIENCE);
        }
        if let Err(error) = connection.flush(turn, token) {
            self.give_up(now, &error.to_string());
        }
    }

    fn open(&self, now: Instant, turn: &Loop, token: Token) -> io::Result<Connection> {
        let broker = self.broker.as_ref().ok_or_else(|| io::Error::other("no broker"))?;
        let address = broker.host.parse().ok().or_else(|| self.addresses.get(&broker.host).copied());
        let address = address.ok_or_else(|| io::Error::other(format!("no device is called {:?}", broker.host)))?;
        let stream = netstack::connect::tcp(SocketAddr::new(address, broker.port))?;
        turn.add(&stream, token, Interest::BOTH)?;
        Ok(Connection {
            stream,
            input: Vec::new(),
            output: codec::connect(CLIENT, KEEP_ALIVE.as_secs() as u16),
            welcome: false,
            answer_by: Some(now + PATIENCE),
            ping_at: now + KEEP_ALIVE / 2,
            writing: true,
        })
    }

    /// The connection is ready.
    pub fn ready(&mut self, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        match connection.receive() {
            Ok(false) => {}
            Ok(true) => {
                connection.answer_by = None;
                if !std::mem::replace(&mut connection.welcome, true) {
                    self.retry = None;
                    self.complained = false;
                    if let Some(Broker { host, port }) = &self.broker {
                        log::info!("publishing leases to {host}:{port}");
                    }
                }
            }
            Err(words) => self.give_up(now, &words),
        }
    }

    fn give_up(&mut self, now: Instant, why: &str) {
        self.connection = None;
        if let Some(Broker { host, port }) = self.broker.as_ref().filter(|_| !self.complained) {
            log::warn!("the broker {host}:{port}: {why}; tried again");
            self.complained = true;
        }
        let wait = self.retry.map_or(RETRY.0, |(_, wait)| wait);
        self.retry = Some((now + wait, (wait * 2).min(RETRY.1)));
    }
}

impl Connection {
    fn flush(&mut self, turn: &Loop, token: Token) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                // Not connected yet: its end tells whether that has worked.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        let writing = !self.output.is_empty();
        if writing != self.writing {
            turn.modify(&self.stream, token, if writing { Interest::BOTH } else { Interest::READ })?;
            self.writing = writing;
        }
        Ok(())
    }

    // Whether the broker has said something.
    fn receive(&mut self) -> Result<bool, String> {
        let mut bytes = [0; 1_024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err("it has closed the connection".into()),
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error.to_string()),
            }
            if self.input.len() > 4_096 {
                break;
            }
        }
        let mut heard = false;
        while let Some((said, length)) = codec::parse(&self.input)? {
            self.input.drain(..length);
            match said {
                Said::Refused(code) => return Err(format!("it refuses us with code {code}")),
                Said::Alive if !self.welcome => return Err("it does not begin with an answer to our greeting".into()),
                Said::Welcome | Said::Alive => heard = true,
            }
        }
        Ok(heard)
    }
}

/// router7's topic and payload.
fn message(lease: &Lease) -> (String, String) {
    // A topic has no place for what is not seen, nor for what stands for others when one asks.
    let plain = |letter: &char| !letter.is_control() && !matches!(letter, '+' | '#' | '\u{fffd}');
    let name: String = lease.hostname.chars().filter(plain).collect();
    let name = if name.is_empty() { lease.mac.to_string() } else { name };
    let payload = json!({
        "addr": lease.addr.to_string(),
        "hardware_addr": lease.mac.to_string(),
        "expiration": lease.expiry.to_string(),
    });
    (format!("router7/dhcp4d/lease/{name}"), payload.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::{Mac, WallTime};

    #[test]
    fn brokers() {
        let of = |text: &str| address(text).map(|broker| broker.map(|broker| (broker.host, broker.port)));
        assert_eq!(of(" tcp://10.0.0.54:1883\n"), Ok(Some(("10.0.0.54".into(), 1_883))));
        assert_eq!(of("tcp://[fd00::1]:7"), Ok(Some(("fd00::1".into(), 7))));
        assert_eq!(of("mqtt://Nas.lan"), Ok(Some(("nas".into(), 1_883))));
        assert_eq!(of("\n"), Ok(None));
        for wrong in ["nonsense", "http://10.0.0.1", "tcp://broker.example.com:1883", "tcp://a:b", "tcp://:1"] {
            assert!(of(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn router7s_topic_and_payload() {
        let mut lease = Lease {
            addr: [10, 0, 0, 7].into(),
            mac: Mac([2, 0, 0, 0, 0, 7]),
            hostname: "xps\u{7}+".into(),
            name_override: String::new(),
            expiry: WallTime::from_unix(1_800_000_000),
            last_ack: WallTime::from_unix(1_799_998_800),
        };
        let (topic, payload) = message(&lease);
        assert_eq!(topic, "router7/dhcp4d/lease/xps");
        let value: serde_json::Value = serde_json::from_str(&payload).unwrap();
        assert_eq!(value["addr"], "10.0.0.7");
        assert_eq!(value["hardware_addr"], "02:00:00:00:00:07");
        assert_eq!(value["expiration"], "2027-01-15T08:00:00Z");
        lease.hostname.clear();
        assert_eq!(message(&lease).0, "router7/dhcp4d/lease/02:00:00:00:00:07");
    }
}
