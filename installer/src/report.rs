//! What we have to say: on the console, and to everybody on every link.
use netstack::link::Link;
use netstack::netlink::{Change, Netlink};
use netstack::packet::{BROADCAST, IPV4, Packet};
use netstack::wire::ipv4udp;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where `weir recover` listens.
const PORT: u16 = 7774;
/// The last word is said so often: a datagram may be lost, and nothing follows it.
const LAST: usize = 5;
const BETWEEN: std::time::Duration = std::time::Duration::from_millis(200);

/// The ways to say something.
#[derive(Debug)]
pub struct Report {
    console: Option<File>,
    netlink: Option<Netlink>,
    mac: Option<String>,
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Report {
    /// Switches every link on. `mac` is the NIC that the machine was started by; else the first one's is our name.
    pub fn open(mac: Option<&str>) -> Report {
        let console = File::options().write(true).open("/dev/console").ok();
        let mut report = Report { console, netlink: Netlink::route().ok(), mac: mac.map(str::to_owned) };
        let links = report.links();
        if report.mac.is_none() {
            report.mac = links.iter().find_map(|link| link.mac).map(text);
        }
        if let Some(netlink) = &mut report.netlink {
            for link in links.iter().filter(|link| !link.up) {
                // A link that cannot be switched on says nothing; the console does.
                let _ = netlink.change(Change::Up(link.index, true));
            }
        }
        report
    }

    fn links(&mut self) -> Vec<Link> {
        let links = self.netlink.as_mut().and_then(|netlink| netlink.links().ok()).unwrap_or_default();
        links.into_iter().filter(|link| !link.loopback && link.mac.is_some()).collect()
    }

    /// What is being done.
    pub fn busy(&mut self, words: &str) {
        self.say("busy", words);
    }

    /// It is installed.
    pub fn done(&mut self, words: &str) {
        self.say("done", words);
        for _ in 1..LAST {
            std::thread::sleep(BETWEEN);
            self.send("done", words);
        }
    }

    /// It is not.
    pub fn failed(&mut self, words: &str) {
        self.say("failed", words);
    }

    fn say(&mut self, state: &str, words: &str) {
        let shown = match state {
            "done" => "weir: installed: ",
            "failed" => "weir: NOT INSTALLED: ",
            _ => "weir: ",
        };
        if let Some(console) = &mut self.console {
            // Whoever is on the network hears it as well.
            let _ = console.write_all(format!("{shown}{words}\n").as_bytes());
        }
        self.send(state, words);
    }

    fn send(&mut self, state: &str, words: &str) {
        let Some(mac) = self.mac.clone() else { return };
        let line = json!({"mac": mac, "state": state, "words": words}).to_string();
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        let packet = ipv4udp::emit(from, SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT), line.as_bytes());
        for link in self.links().iter().filter(|link| link.running) {
            // Lost like any datagram: there will be another word.
            let _ = Packet::sender(link.index, IPV4).and_then(|socket| socket.send(&packet, BROADCAST));
        }
    }
}
