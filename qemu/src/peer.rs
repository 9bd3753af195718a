//! The other ends of tunnels: Debian's wireguard-go, each in a namespace somewhere on the internet.
use crate::bed::Bed;
use crate::child::Child;
use crate::namespace::Namespace;

/// A private key and the public one that follows from it, by `wg`.
pub struct Keys {
    /// In base64.
    pub private: String,
    /// In base64.
    pub public: String,
}

impl Keys {
    /// New ones.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Keys {
        let output = std::process::Command::new("sh").args(["-c", "wg genkey | tee /dev/stderr | wg pubkey"]).output();
        let output = output.expect("wg runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Keys { private: text(&output.stderr), public: text(&output.stdout) }
    }
}

/// A host on the internet with a tunnel.
pub struct Peer {
    /// Where it lives.
    pub host: Namespace,
    /// Its keys.
    pub keys: Keys,
    /// Its address on the internet.
    pub address: String,
    name: String,
    folder: String,
    _daemon: Child,
}

impl Peer {
    /// The `number`th, with an address of its own behind the provider and `inside` as its address in the tunnel.
    pub fn new(bed: &Bed, number: u8, inside: &str) -> Peer {
        let host = Namespace::new();
        let (port, address) = (format!("peer{number}"), format!("198.18.{number}.2"));
        bed.isp.veth(&port, &host, "eth0");
        bed.isp.ip(&format!("addr add 198.18.{number}.1/24 dev {port}"));
        host.ip(&format!("addr add {address}/24 dev eth0"));
        host.ip(&format!("route add default via 198.18.{number}.1"));
        for namespace in [&bed.isp, &host] {
            namespace.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
        }
        // wg finds the daemon by its name on the whole machine.
        let name = format!("t{}p{number}", std::process::id());
        let mut daemon =
            host.spawn("env", &["LOG_LEVEL=verbose", "wireguard-go", "--foreground", &name]).named("wireguard-go");
        daemon.wait_for("UAPI listener started");
        let keys = Keys::new();
        let folder = bed.folder.0.to_str().unwrap().to_owned();
        std::fs::write(format!("{folder}/{name}.key"), &keys.private).unwrap();
        let peer = Peer { host, keys, address, name, folder, _daemon: daemon };
        peer.wg("wg set NAME listen-port 51820 private-key KEY");
        peer.host.ip(&format!("addr add {inside} dev {}", peer.name));
        peer.host.ip(&format!("link set {} up", peer.name));
        peer
    }

    /// Lets it speak to the router: who that is, what may come from there, and where it is, if the peer knows.
    pub fn knows(&self, router: &Keys, allowed: &str, endpoint: Option<&str>) {
        let endpoint = endpoint.map_or_else(String::new, |at| format!("endpoint {at} persistent-keepalive 1"));
        self.wg(&format!("wg set NAME peer {} allowed-ips {allowed} {endpoint}", router.public));
        for net in allowed.split(',').filter(|net| !net.ends_with("/0")) {
            self.host.ip(&format!("route replace {net} dev {}", self.name));
        }
    }

    fn wg(&self, script: &str) -> String {
        let key = format!("{}/{}.key", self.folder, self.name);
        self.host.output("sh", &["-c", &script.replace("NAME", &self.name).replace("KEY", &key)])
    }
}
