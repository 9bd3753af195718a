//! A host on the LAN: a real DHCP client, dig and curl.
use crate::bed::Bed;
use crate::child::Child;
use std::os::unix::fs::PermissionsExt;

/// The router's address on the LAN.
pub const ROUTER: &str = "192.168.42.1";

// What udhcpc calls when it has a lease; it prints one line for the test and touches nothing outside the namespace.
const SCRIPT: &str = r#"#!/bin/sh
case $1 in
bound | renew)
    ip addr flush dev "$interface" scope global
    ip addr add "$ip/$mask" dev "$interface"
    ip route replace default via "$router"
    echo "lease $ip/$mask router $router dns $dns domain $domain for $lease"
    ;;
esac
"#;

impl Bed {
    /// Starts busybox's DHCP client with a host name; it asks until it has a lease and keeps it.
    pub fn start_dhcp_client(&self, hostname: &str) -> Child {
        let script = self.folder.0.join("lease.sh");
        if !script.exists() {
            std::fs::write(&script, SCRIPT).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let name = format!("hostname:{hostname}");
        let script = script.to_str().unwrap();
        self.lan.spawn("busybox", &["udhcpc", "-f", "-i", "eth0", "-s", script, "-x", &name, "-t", "20", "-T", "2"])
    }

    /// The line of the lease that the client gets.
    pub fn lease(&self, hostname: &str) -> (Child, String) {
        let mut client = self.start_dhcp_client(hostname);
        let line = client.wait_for("lease 1");
        (client, line)
    }

    /// `dig +short` at the router; its answer's first line.
    pub fn dig(&self, words: &[&str]) -> String {
        let server = format!("@{ROUTER}");
        let mut all = vec![server.as_str(), "+short", "+tries=5", "+time=3"];
        all.extend(words);
        self.lan.output("dig", &all).lines().next().unwrap_or_default().to_owned()
    }

    /// Asks until the first line of the answer is this: names of the LAN are known within a second of their lease.
    pub fn dig_until(&self, words: &[&str], wanted: &str) {
        let deadline = std::time::Instant::now() + crate::child::PATIENCE;
        loop {
            let answer = self.dig(words);
            if answer == wanted {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{words:?}: {answer:?} is not {wanted:?}");
        }
    }

    /// Downloads a page by address, as the LAN's host does.
    pub fn download(&self, url: &str) -> String {
        self.lan.output(
            "curl",
            &["--silent", "--show-error", "--fail", "--max-time", "60", "--retry", "3", "--retry-connrefused", url],
        )
    }
}
