//! An internet, a LAN, an office, guests and the router, each a namespace.
use super::{Child, Namespace, PATIENCE, Root, Services};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Long enough for an answer; one that comes later is seen at the listener.
pub const REFUSED: Duration = Duration::from_millis(100);
/// Where a host listens.
pub const WEB: u16 = 8080;

/// Name, IPv4 and IPv6 address of each host, in the order of [`House::hosts`].
pub const HOSTS: [(&str, &str, &str); 5] = [
    ("wan", "203.0.113.1", "2001:db8:1::1"),
    ("lan", "192.168.42.7", "2001:db8:a::7"),
    ("office", "192.168.43.7", "2001:db8:43::7"),
    ("guest", "192.168.44.7", "2001:db8:44::7"),
    ("router", "203.0.113.9", "2001:db8:1::9"),
];

/// Who a listener is, and whom it has seen.
type Seen = Arc<Mutex<BTreeSet<(String, String)>>>;

/// Four hosts around a router.
pub struct House {
    pub wan: Namespace,
    pub lan: Namespace,
    pub office: Namespace,
    pub guest: Namespace,
    pub router: Namespace,
    pub root: Root,
    pub seen: Seen,
}

impl House {
    /// The router is configured, and not started yet.
    pub fn new(forwardings: &str) -> House {
        let (wan, lan, office, guest, router) =
            (Namespace::new(), Namespace::new(), Namespace::new(), Namespace::new(), Namespace::new());
        let house = House { wan, lan, office, guest, router, root: Root::new(), seen: Seen::default() };
        for host in house.hosts() {
            // Neighbour discovery's wait for duplicates would only cost time here.
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")).unwrap();
        }
        let mut entries = String::new();
        let lans = [("uplink0", &house.wan), ("lan0", &house.lan), ("office", &house.office), ("guest", &house.guest)];
        for (at, (name, host)) in lans.iter().enumerate() {
            house.router.veth(name, host, "eth0");
            let (_, ipv4, ipv6) = HOSTS[at];
            host.ip(&format!("addr add {ipv4}/24 dev eth0"));
            host.ip(&format!("addr add {ipv6}/64 dev eth0"));
            let (net4, net6) = (ipv4.rsplit_once('.').unwrap().0, ipv6.rsplit_once("::").unwrap().0);
            if at > 0 {
                host.ip(&format!("route add default via {net4}.1"));
                host.ip(&format!("route add default via {net6}::1"));
                let guest = *name == "guest";
                entries.push_str(&format!(
                    r#",{{"name":"{name}","addr":"{net4}.1/24","extra_addrs":["{net6}::1/64"],"guest":{guest}}}"#
                ));
            }
        }
        house.wan.ip("addr add 203.0.113.200/24 dev eth0");
        house.wan.ip("route add 192.168.0.0/16 via 203.0.113.9");
        house.wan.ip("route add 2001:db8::/32 via 2001:db8:1::9");
        let text = format!(
            r#"{{"interfaces":[{{"name":"uplink0","addr":"203.0.113.9/24","extra_addrs":["2001:db8:1::9/64"],
            "gateway":"203.0.113.1","gateway6":"2001:db8:1::1","delegated_prefixes":["2001:db8:a::/48"]}}{entries}]}}"#
        );
        house.root.write("/perm/interfaces.json", text);
        house.root.write("/perm/portforwardings.json", forwardings);
        house
    }

    /// In the order of [`HOSTS`].
    pub fn hosts(&self) -> [&Namespace; 5] {
        [&self.wan, &self.lan, &self.office, &self.guest, &self.router]
    }

    /// Starts netconfigd without waiting for anything.
    pub fn router_service(&self) -> Child {
        self.router.service("netconfigd", &self.root, &[])
    }

    /// Starts netconfigd and waits for its last word.
    pub fn start(&self) -> Child {
        let mut netconfigd = self.router_service();
        netconfigd.wait_for("ready");
        netconfigd.wait_for("route to ::/0");
        netconfigd
    }

    /// Listens on a port of a host; what it sees is noted under `name`, and told to the peer.
    pub fn serve(&self, host: &Namespace, name: &str, port: u16) {
        let listener = host.run(move || TcpListener::bind(("::", port))).unwrap();
        let (seen, name) = (Arc::clone(&self.seen), name.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let peer = stream.peer_addr().unwrap().ip().to_canonical().to_string();
                seen.lock().unwrap().insert((name.clone(), peer.clone()));
                let _ = stream.write_all(format!("{name} {peer}").as_bytes());
            }
        });
    }

    /// What a host hears that connects; fails when nobody answers.
    pub fn hears(&self, host: &Namespace, address: &str, port: u16) -> String {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        let heard = host.run(move || {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        });
        heard.unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Whether a host that connects gets an answer soon.
    pub fn reaches(&self, host: &Namespace, address: &str, port: u16) -> bool {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        host.run(move || TcpStream::connect_timeout(&address, REFUSED)).is_ok()
    }

    /// The connections that the router remembers.
    pub fn flows(&self) -> Vec<netstack::conntrack::Flow> {
        let all = self.router.run(|| {
            let mut all = Vec::new();
            netstack::conntrack::flows(|flow| all.push(flow)).map(|()| all)
        });
        all.unwrap()
    }

    /// What a counter of the ruleset has counted.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.router.output("nft", &["list", "counter", "inet", "weir", name]);
        text.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    }
}

/// Connects from an address, with as much patience as a refused one deserves.
pub fn bound_to(source: &str, address: SocketAddr) -> std::io::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt};
    use std::os::fd::AsRawFd;
    let source: std::net::Ipv4Addr = source.parse().unwrap();
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    let limit = nix::sys::time::TimeVal::new(0, REFUSED.as_micros() as i64);
    setsockopt(&fd, sockopt::SendTimeout, &limit)?;
    let [a, b, c, d] = source.octets();
    bind(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0))?;
    let SocketAddr::V4(address) = address else { unreachable!("an IPv4 test") };
    Ok(connect(fd.as_raw_fd(), &SockaddrIn::from(address))?)
}

/// Sends a datagram and hears from which address it came at the other end, which answers.
pub fn exchange(client: &UdpSocket, server: &UdpSocket) -> String {
    for socket in [client, server] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    client.send(b"turn").unwrap();
    let (_, peer) = server.recv_from(&mut [0; 9]).unwrap();
    server.send_to(b"back", peer).unwrap();
    client.recv(&mut [0; 9]).unwrap();
    peer.ip().to_string()
}

/// A client of an address and the server that is bound there.
pub fn pair(client: &Namespace, server: &Namespace, at: &'static str, bound: &'static str) -> (UdpSocket, UdpSocket) {
    let server = server.run(move || UdpSocket::bind(bound)).unwrap();
    let client = client.run(|| UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"))).unwrap();
    drop(client.connect(at));
    (client, server)
}
