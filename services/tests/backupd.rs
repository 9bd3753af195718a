//! backupd with real curl and tar, and with clients that take their time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Child, Namespace, PATIENCE, Root, Services};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

const URL: &str = "http://192.168.42.1:8077/backup.tar.gz";
const USER: &str = "gokrazy:correct horse";

struct Scene {
    router: Namespace,
    lan: Namespace,
    root: Root,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { router: Namespace::new(), lan: Namespace::new(), root: Root::new() };
        scene.router.veth("lan0", &scene.lan, "eth0");
        scene.lan.ip("addr add 192.168.42.7/24 dev eth0");
        scene.router.ip("addr add 192.168.42.1/24 dev lan0");
        scene.root.write("/perm/interfaces.json", r#"{"interfaces":[]}"#);
        scene.root.write("/perm/dhcp4d/leases.json", "[]");
        scene.root.write("/perm/dhcp4d/nobackup/oui.csv", "not in it");
        scene.root.write("/perm/wireguard.json", "secret");
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(scene.root.path("/perm/wireguard.json"), mode).unwrap();
        scene
    }

    fn start(&self, name: &str) -> Child {
        let mut child = self.router.service(name, &self.root, &[]);
        child.wait_for("ready");
        child
    }

    fn webd(&self) -> Child {
        let webd = self.start("webd");
        assert_eq!(self.ask(&json!({"op": "set", "password": "correct horse"}))["ok"], true);
        webd
    }

    fn ask(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.root.path("/run/webd.sock")).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn status(&self, words: &[&str]) -> String {
        let all = ["-sS", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_code}"];
        self.lan.output("curl", &[&all[..], words, &[URL]].concat())
    }

    /// A client that has asked for the backup and takes nothing of it.
    fn slow(&self) -> TcpStream {
        let mut stream = self.lan.run(|| TcpStream::connect("192.168.42.1:8077")).unwrap();
        let request =
            "GET /backup.tar.gz HTTP/1.1\r\nHost: weir\r\nAuthorization: Basic Z29rcmF6eTpjb3JyZWN0IGhvcnNl\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        stream
    }

    /// What no compressor makes small, so that it does not fit into the sockets.
    fn fill(&self, bytes: usize) {
        let mut random = vec![0; bytes];
        std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        self.root.write("/perm/dnsd/cache", random);
    }
}

#[test]
fn curl_and_tar_find_all_of_perm_and_only_with_the_password() {
    let scene = Scene::new();
    scene.fill(3_000_000);
    let webd = scene.webd();
    let _backupd = scene.start("backupd");
    let backup = scene.root.path("/tmp/backup.tar.gz");
    let backup = backup.to_str().unwrap();
    scene.lan.output("curl", &["-sSf", "--max-time", "60", "-u", USER, "-o", backup, URL]);
    let listed = scene.lan.output("tar", &["tzf", backup]);
    let want = "dhcp4d\ndhcp4d/leases.json\ndnsd\ndnsd/cache\ninterfaces.json\nwebd\nwebd/password\nwireguard.json\n";
    assert_eq!(listed, want);
    // Contents, modes, owners and times: tar compares, and is silent.
    let perm = scene.root.path("/perm");
    assert_eq!(scene.lan.output("tar", &["dzf", backup, "-C", perm.to_str().unwrap()]), "");

    let token = scene.ask(&json!({"op": "token"}))["said"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(scene.status(&["-H", &bearer]), "200");
    assert_eq!(scene.status(&[]), "401");
    assert_eq!(scene.status(&["-u", "root:correct horse"]), "401");
    assert_eq!(scene.status(&["-u", USER, "-H", "Host: evil.example"]), "403");
    assert_eq!(scene.status(&["-u", "gokrazy:wrong"]), "401");
    // Nobody who knows the password: nobody is let in.
    webd.signal("STOP");
    assert_eq!(scene.status(&["-H", &bearer]), "503");
    drop(webd);
    assert_eq!(scene.status(&["-H", &bearer]), "503");
}

#[test]
fn who_takes_it_slowly_holds_one_connection_and_no_memory() {
    let scene = Scene::new();
    scene.fill(48_000_000);
    let _webd = scene.webd();
    let backupd = scene.start("backupd");
    let slow: Vec<TcpStream> = (0..3).map(|_| scene.slow()).collect();
    let backup = scene.root.path("/tmp/backup.tar.gz");
    scene.lan.output("curl", &["-sSf", "--max-time", "100", "-u", USER, "-o", backup.to_str().unwrap(), URL]);
    let perm = scene.root.path("/perm");
    let words = ["dzf", backup.to_str().unwrap(), "-C", perm.to_str().unwrap()];
    assert_eq!(scene.lan.output("tar", &words), "");
    let status = std::fs::read_to_string(format!("/proc/{}/status", backupd.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{peak} KiB resident at most, with four backups of 48 MB");
    assert!(peak < 16 << 10, "{peak} KiB");
    // One more than there is room for is told so, and the room comes back.
    let last = scene.slow();
    assert_eq!(scene.status(&["-u", USER]), "503");
    drop((slow, last));
    while scene.status(&["-u", USER]) == "503" {}
}

#[test]
fn webd_passes_it_on_where_a_page_came_over_tls() {
    let scene = Scene::new();
    scene.fill(3_000_000);
    let _webd = scene.webd();
    let mut backupd = scene.start("backupd");
    let backup = scene.root.path("/tmp/backup.tar.gz");
    let backup = backup.to_str().unwrap();
    let perm = scene.root.path("/perm");
    for url in ["https://192.168.42.1/backup.tar.gz", "http://192.168.42.1/backup.tar.gz"] {
        let asked = |words: &[&str]| {
            let all = ["-sSk", "--max-time", "60", "-o", backup, "-w", "%{http_code} %{content_type}"];
            scene.lan.output("curl", &[&all[..], words, &[url]].concat())
        };
        assert_eq!(asked(&["-u", USER]), "200 application/gzip");
        assert_eq!(scene.lan.output("tar", &["dzf", backup, "-C", perm.to_str().unwrap()]), "", "{url}");
        assert_eq!(asked(&["-u", USER, "--limit-rate", "2M"]), "200 application/gzip");
        assert_eq!(scene.lan.output("tar", &["dzf", backup, "-C", perm.to_str().unwrap()]), "", "{url}, slowly");
        let token = scene.ask(&json!({"op": "token"}))["said"].as_str().unwrap().to_owned();
        assert!(asked(&["-H", &format!("Authorization: Bearer {token}")]).starts_with("200 "));
        assert!(asked(&[]).starts_with("401 "));
        let from_elsewhere = ["-u", USER, "-H", "Sec-Fetch-Site: cross-site"];
        assert!(asked(&from_elsewhere).starts_with("403 "));
        assert!(asked(&["-u", USER, "--head"]).starts_with("405 "));
    }
    // What breaks off there breaks off here.
    scene.fill(48_000_000);
    let mut slow = scene.lan.run(|| TcpStream::connect("192.168.42.1:80")).unwrap();
    let head = "GET /backup.tar.gz HTTP/1.1\r\nHost: weir\r\nAuthorization: Basic Z29rcmF6eTpjb3JyZWN0IGhvcnNl\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.read_exact(&mut vec![0; 1_000_000]).unwrap();
    std::fs::File::options().write(true).open(scene.root.path("/perm/dnsd/cache")).unwrap().set_len(9).unwrap();
    let mut all = Vec::new();
    let _ = slow.read_to_end(&mut all);
    assert!(!all.ends_with(b"0\r\n\r\n"));
    backupd.wait_for("the backup is broken off");
    drop(backupd);
    let asked = |words: &[&str]| {
        let all = ["-sS", "--max-time", "60", "-w", "%{http_code}"];
        scene.lan.output("curl", &[&all[..], words, &["http://192.168.42.1/backup.tar.gz"]].concat())
    };
    let said = asked(&["-u", USER]);
    assert!(said.starts_with("backupd does not answer") && said.ends_with("503"), "{said}");
    for wrong in [["-u", "gokrazy:wrong"], ["-u", "root:correct horse"]] {
        assert!(asked(&wrong).ends_with("401"), "{wrong:?}");
    }
}

#[test]
fn a_backup_that_breaks_off_is_seen_by_the_client() {
    let scene = Scene::new();
    scene.fill(48_000_000);
    let _webd = scene.webd();
    let mut backupd = scene.start("backupd");
    let mut slow = scene.slow();
    // Well into the file, and far from its end.
    slow.read_exact(&mut vec![0; 1_000_000]).unwrap();
    std::fs::File::options().write(true).open(scene.root.path("/perm/dnsd/cache")).unwrap().set_len(9).unwrap();
    let mut all = Vec::new();
    // It ends, one way or the other, without the empty piece that would say that it is whole.
    let _ = slow.read_to_end(&mut all);
    assert!(!all.ends_with(b"0\r\n\r\n"));
    backupd.wait_for("dnsd/cache: became shorter while it was read: the backup is broken off");
}
