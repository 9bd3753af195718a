//! logd between somebody in PID 1's place and a real rsyslogd, by UDP and by TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Instant;

struct Scene {
    router: Namespace,
    host: Namespace,
    root: Root,
    listener: UnixListener,
}

impl Scene {
    fn new(target: &str) -> Scene {
        let (router, host, root) = (Namespace::new(), Namespace::new(), Root::new());
        router.veth("lan0", &host, "eth0");
        router.ip("addr add 192.168.42.1/24 dev lan0");
        host.ip("addr add 192.168.42.7/24 dev eth0");
        root.write("/perm/remote_syslog/target", target);
        std::fs::create_dir_all(root.path("/perm/logd")).unwrap();
        let listener = UnixListener::bind(root.path("/run/init.sock")).unwrap();
        Scene { router, host, root, listener }
    }

    /// Starts logd; the other end of its conversation with PID 1.
    fn start(&self) -> (Child, UnixStream) {
        let mut logd = self.router.service("logd", &self.root, &[]);
        logd.wait_for("ready");
        let (stream, _) = self.listener.accept().unwrap();
        let mut asked = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
        assert_eq!(asked, "{\"op\":\"journal\"}\n");
        (logd, stream)
    }

    /// A real receiver; what it gets stands in a file, a line each.
    fn rsyslogd(&self) -> Child {
        let file = |name: &str| self.root.path("/tmp").join(name);
        let conf = format!(
            "module(load=\"imudp\")\nmodule(load=\"imtcp\")\n\
             input(type=\"imudp\" port=\"5514\")\ninput(type=\"imtcp\" port=\"5601\")\n\
             template(name=\"all\" type=\"string\" string=\"%pri%|%timereported:::date-rfc3339%|%app-name%|%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{}\" template=\"all\" flushOnTXEnd=\"on\")\n",
            file("received").display()
        );
        std::fs::write(file("rsyslog.conf"), conf).unwrap();
        let (conf, pid) = (file("rsyslog.conf"), file("rsyslog.pid"));
        let _ = std::fs::remove_file(&pid);
        let words = ["-n", "-f", conf.to_str().unwrap(), "-i", pid.to_str().unwrap()];
        let child = self.host.spawn("rsyslogd", &words);
        let deadline = Instant::now() + PATIENCE;
        // 5514 and 5601 in hexadecimal, as the kernel lists its sockets.
        let bound = || {
            self.host.run(|| {
                let list = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
                list("udp").contains(":158A ") && list("tcp").contains(":15E1 ")
            })
        };
        while !bound() {
            assert!(Instant::now() < deadline, "rsyslogd does not listen");
            std::thread::yield_now();
        }
        child
    }

    fn received_until(&self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.root.read("/tmp/received");
            if text.contains(wanted) {
                return text;
            }
            assert!(Instant::now() < deadline, "{wanted:?} was never received:\n{text}");
            std::thread::yield_now();
        }
    }
}

fn say(init: &mut UnixStream, name: &str, text: &str) {
    let now = netstack::time::Instant::now().as_millis();
    let line = serde_json::json!({"name": name, "t_ms": now, "stream": "err", "line": text});
    init.write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[test]
fn by_udp_to_a_real_receiver() {
    let scene = Scene::new("192.168.42.7:5514\n");
    let _receiver = scene.rsyslogd();
    let (_logd, mut init) = scene.start();
    say(&mut init, "dnsd", "dnsd: warning: no upstream");
    say(&mut init, "kernel", "lan0: link up");
    let text = scene.received_until("lan0: link up");
    // PRI 28 = daemon.warning, 6 = kern.info.
    assert!(text.lines().any(|line| line.starts_with("28|") && line.ends_with("|dnsd|warning: no upstream")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("6|") && line.ends_with("|kernel|lan0: link up")), "{text}");
    for _ in 0..1_000 {
        say(&mut init, "dhcp4", "dhcp4: again and again");
    }
    say(&mut init, "dhcp4", "dhcp4: the end");
    let text = scene.received_until("|dhcp4|the end");
    assert!(text.contains("|dhcp4|last message repeated "), "{text}");
    assert!(text.matches("again and again").count() < 20, "{text}");
}

#[test]
fn by_tcp_over_the_receivers_absence_and_into_the_journal() {
    let scene = Scene::new("tcp://192.168.42.7:5601\n");
    let (mut logd, mut init) = scene.start();
    // Nobody is there yet.
    for number in 0..50 {
        say(&mut init, "netconfigd", &format!("netconfigd: waiting {number}"));
    }
    logd.wait_for("the receiver of the log cannot be reached");
    let receiver = scene.rsyslogd();
    let text = scene.received_until("|netconfigd|waiting 49");
    let numbers: Vec<u32> = text.lines().filter_map(|line| line.split("|waiting ").nth(1)?.parse().ok()).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<u32>>(), "all of them, in order, once");
    // It goes, and comes again.
    drop(receiver);
    say(&mut init, "netconfigd", "netconfigd: to nobody");
    say(&mut init, "netconfigd", "netconfigd: to nobody either");
    let _receiver = scene.rsyslogd();
    scene.received_until("|netconfigd|to nobody either");
    let kill = std::process::Command::new("kill").args(["-s", "TERM", &logd.id().to_string()]).status().unwrap();
    assert!(kill.success() && logd.wait().success());
    let journal = scene.root.read("/perm/logd/journal");
    assert!(journal.contains(" netconfigd netconfigd: waiting 0\n"), "{journal}");
    assert!(journal.contains(" netconfigd netconfigd: to nobody either\n"), "{journal}");
}
