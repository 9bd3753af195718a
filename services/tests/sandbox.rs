//! From inside each service's rights: what belongs to nobody else is refused, by the kernel, with the call's name.
//!
//! The program runs itself for each attempt, as the service's user with its groups and capabilities (and once more as root,
//! to whom modes mean nothing); the child gives up the rights of all but the service's row, by the same code as the
//! service, and tries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::Root;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::sys::stat::Mode;
use rights::{SERVICES, Service};
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};

/// How a child says what it was told.
const DONE: i32 = 10;
const REFUSED: i32 = 11;
const FAILED: i32 = 12;
/// How it ends that has made a call of no row.
const STOPPED: i32 = 159;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let Some(at) = words.iter().position(|word| word == "--inside") else { return outside() };
    let [name, root, what, rest @ ..] = &words[at + 1..] else { panic!("{words:?}") };
    services::confine(name, Path::new(root)).unwrap();
    match attempt(what, rest) {
        Ok(()) => std::process::exit(DONE),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => std::process::exit(REFUSED),
        Err(error) => {
            eprintln!("{what}: {error}");
            std::process::exit(FAILED)
        }
    }
}

fn attempt(what: &str, rest: &[String]) -> std::io::Result<()> {
    let number = |at: usize| rest[at].parse::<i32>().unwrap();
    match what {
        "read" => fs::read(&rest[0]).map(drop),
        "write" => fs::write(&rest[0], "new"),
        "replace" => {
            let new = format!("{}.new", rest[0]);
            fs::write(&new, "new")?;
            fs::rename(new, &rest[0])
        }
        "make" => open(rest[0].as_str(), OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::S_IRWXU)
            .map(drop)
            .map_err(Into::into),
        "listen" => TcpListener::bind(rest[0].parse::<SocketAddr>().unwrap()).map(drop),
        "connect" => TcpStream::connect(rest[0].parse::<SocketAddr>().unwrap()).map(drop),
        "frames" => socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None).map(drop).map_err(Into::into),
        "raw" => socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Icmp)
            .map(drop)
            .map_err(Into::into),
        "rules" => {
            let kind = SockProtocol::NetlinkNetFilter;
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), kind).map(drop).map_err(Into::into)
        }
        "crypto" => {
            socket(AddressFamily::Alg, SockType::SeqPacket, SockFlag::empty(), None).map(drop).map_err(Into::into)
        }
        "exec" => Err(Command::new("/bin/true").exec()),
        "start" => Command::new("/bin/true").status().map(drop),
        "thread" => std::thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join())),
        "trace" => nix::sys::ptrace::attach(nix::unistd::Pid::from_raw(number(0))).map_err(Into::into),
        "signal" => nix::sys::signal::kill(nix::unistd::Pid::from_raw(number(0)), None).map_err(Into::into),
        "mount" => nix::mount::mount(Some("none"), "/tmp", Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
            .map_err(Into::into),
        "namespace" => nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).map_err(Into::into),
        "panic" => panic!("as an engine would"),
        other => panic!("{other}"),
    }
}

/// Who tries.
#[derive(Clone, Copy, PartialEq, Debug)]
enum User {
    Own,
    Root,
}

struct Bench {
    root: Root,
    tried: usize,
}

impl Bench {
    fn run(&mut self, service: &Service, user: User, what: &str, rest: &[&str]) -> Output {
        self.tried += 1;
        let own = std::env::current_exe().unwrap();
        let mut command = match user {
            User::Root => Command::new(&own),
            User::Own => {
                let mut command = Command::new("setpriv");
                let groups: Vec<String> = rights::groups(service).iter().map(u32::to_string).collect();
                let groups = match groups.len() {
                    0 => "--clear-groups".to_owned(),
                    _ => format!("--groups={}", groups.join(",")),
                };
                command.arg(format!("--reuid={}", service.uid)).arg(format!("--regid={}", service.uid)).arg(groups);
                let kept: Vec<String> = service.capabilities.iter().map(|one| format!("+cap_{}", *one as u8)).collect();
                let kept = ["-all".to_owned()].into_iter().chain(kept).collect::<Vec<_>>().join(",");
                command.arg(format!("--inh-caps={kept}")).arg(format!("--ambient-caps={kept}"));
                command.arg(format!("--bounding-set={kept}")).arg("--").arg(&own);
                command
            }
        };
        command.args(["--inside", service.name, self.root.0.to_str().unwrap(), what]).args(rest);
        command.env_remove("RUST_BACKTRACE").output().unwrap()
    }

    fn expect(&mut self, service: &Service, user: User, what: &str, rest: &[&str], wanted: i32) {
        let output = self.run(service, user, what, rest);
        let said = String::from_utf8_lossy(&output.stderr);
        let whose = format!("{} as {user:?}: {what} {rest:?}", service.name);
        assert_eq!(output.status.code(), Some(wanted), "{whose}: {:?}\n{said}", output.status);
        assert_eq!(wanted == STOPPED, said.contains("is not in its table of rights"), "{whose}: {said}");
    }

    /// It ends, and says by which call.
    fn stopped(&mut self, service: &Service, user: User, what: &str, rest: &[&str], calls: &[&str]) {
        let output = self.run(service, user, what, rest);
        let said = String::from_utf8_lossy(&output.stderr);
        let whose = format!("{} as {user:?}: {what} {rest:?}: {:?}\n{said}", service.name, output.status);
        assert_eq!(output.status.code(), Some(STOPPED), "{whose}");
        let line = |call: &&str| said.contains(&format!("{}: error: the system call {call} (", service.name));
        assert!(calls.iter().any(line), "{whose}");
    }

    fn path(&self, absolute: &str) -> String {
        self.root.path(absolute).to_str().unwrap().to_owned()
    }
}

/// `/perm` and `/run` as PID 1 makes them: each service's folder its own, with something in it.
fn furnished() -> Root {
    let root = Root::new();
    fs::set_permissions(&root.0, Permissions::from_mode(0o755)).unwrap();
    for service in SERVICES {
        let own = format!("/perm/{}", service.name);
        root.write(&format!("{own}/own"), "secret");
        for folder in service.run {
            root.write(&format!("{folder}/own"), "state");
            chown(root.path(folder), Some(service.uid), Some(service.uid)).unwrap();
        }
        fs::set_permissions(root.path(&own), Permissions::from_mode(0o750)).unwrap();
        for path in [own.clone(), format!("{own}/own")] {
            chown(root.path(&path), Some(service.uid), Some(service.uid)).unwrap();
        }
    }
    root.write("/perm/interfaces.json", "{}");
    root.write("/perm/tls/key.pem", "secret");
    let key = root.path("/perm/tls/key.pem");
    chown(&key, Some(rights::service("configd").unwrap().uid), Some(rights::TLS)).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    root.write("/usr/share/somebodys", "file");
    root
}

fn outside() {
    let mut bench = Bench { root: furnished(), tried: 0 };
    let ours = std::process::id().to_string();
    for service in SERVICES {
        files(&mut bench, service);
        ports(&mut bench, service);
        for user in [User::Own, User::Root] {
            calls(&mut bench, service, user, &ours);
        }
    }
    panics(&mut bench);
    println!("{} attempts from inside {} services", bench.tried, SERVICES.len());
}

fn files(bench: &mut Bench, service: &'static Service) {
    let may = |path: &str| match path {
        "/perm" => service.name != "panel",
        _ => unreachable!(),
    };
    let own = bench.path(&format!("/perm/{}/own", service.name));
    bench.expect(service, User::Own, "read", &[&own], DONE);
    if rights::calls::calls(service).any(|call| call.name == "rename") {
        bench.expect(service, User::Own, "replace", &[&own], DONE);
    } else {
        bench.stopped(service, User::Own, "replace", &[&own], &["rename"]);
    }
    let open = bench.path("/perm/interfaces.json");
    bench.expect(service, User::Own, "read", &[&open], if may("/perm") { DONE } else { REFUSED });
    for user in [User::Own, User::Root] {
        // Not even root writes where another service does.
        let wanted = if service.name == "configd" && user == User::Root { DONE } else { REFUSED };
        bench.expect(service, user, "make", &[&bench.path("/perm/made")], wanted);
        for other in SERVICES.iter().filter(|other| other.name != service.name) {
            let theirs = bench.path(&format!("/perm/{}/own", other.name));
            bench.expect(service, user, "write", &[&theirs], wanted);
            if let Some(folder) = other.run.first() {
                let theirs = bench.path(&format!("{folder}/own"));
                bench.expect(service, user, "write", &[&theirs], REFUSED);
            }
        }
        for path in ["/usr/share/somebodys", "/usr/share/other"] {
            bench.expect(service, user, "make", &[&bench.path(path)], REFUSED);
        }
        bench.expect(service, user, "read", &[&bench.path("/usr/share/somebodys")], REFUSED);
        // Programs, disks and memory, of the machine that this runs on.
        for path in ["/bin/true", "/dev/null", "/dev/zero", "/root"] {
            bench.expect(service, user, "read", &[path], REFUSED);
        }
        bench.expect(service, user, "write", &["/proc/sys/kernel/hostname"], REFUSED);
    }
    // Others' secrets: of those that are read, by who reads them.
    let reads_all = service.capabilities.contains(&rights::Capability::DacReadSearch);
    for other in SERVICES.iter().filter(|other| other.name != service.name) {
        let wanted = if reads_all || service.reads.contains(&other.name) { DONE } else { REFUSED };
        bench.expect(service, User::Own, "read", &[&bench.path(&format!("/perm/{}/own", other.name))], wanted);
    }
    let holds = reads_all || ["webd", "configd"].contains(&service.name);
    let key = bench.path("/perm/tls/key.pem");
    bench.expect(service, User::Own, "read", &[&key], if holds { DONE } else { REFUSED });
}

fn ports(bench: &mut Bench, service: &'static Service) {
    use rights::places::{Connects, connects, listens};
    let tcp = rights::calls::calls(service)
        .any(|call| call.name == "socket" && call.tests.len() == 2 && format!("{:?}", call.tests).contains("[2, 10]"));
    if !tcp {
        bench.stopped(service, User::Root, "listen", &["127.0.0.1:4444"], &["socket"]);
        return;
    }
    // Whoever listens does so on its own ports; the others do not even get that far.
    let wanted = if listens(service).is_empty() { None } else { Some(REFUSED) };
    match wanted {
        Some(wanted) => bench.expect(service, User::Root, "listen", &["127.0.0.1:4444"], wanted),
        None => {
            let output = bench.run(service, User::Root, "listen", &["127.0.0.1:4444"]);
            assert!([Some(REFUSED), Some(STOPPED)].contains(&output.status.code()), "{}", service.name);
        }
    }
    if connects(service) != Connects::Any {
        let output = bench.run(service, User::Root, "connect", &["127.0.0.1:9"]);
        let may = rights::calls::calls(service).any(|call| call.name == "connect");
        let wanted = if may { REFUSED } else { STOPPED };
        assert_eq!(output.status.code(), Some(wanted), "{}: {output:?}", service.name);
    }
}

fn calls(bench: &mut Bench, service: &'static Service, user: User, ours: &str) {
    bench.stopped(service, user, "exec", &[], &["execve"]);
    bench.stopped(service, user, "trace", &[ours], &["ptrace"]);
    bench.stopped(service, user, "signal", &[ours], &["kill"]);
    bench.stopped(service, user, "mount", &[], &["mount"]);
    bench.stopped(service, user, "namespace", &[], &["unshare"]);
    // The C library blocks all signals while it makes a process: then there is nobody to say the call's name.
    let output = bench.run(service, user, "start", &[]);
    let ended = output.status.signal() == Some(nix::libc::SIGSYS) || output.status.code() == Some(STOPPED);
    assert!(ended, "{} as {user:?}: {output:?}", service.name);
    bench.stopped(service, user, "crypto", &[], &["socket"]);
    bench.stopped(service, user, "raw", &[], &["socket"]);
    if service.name != "netconfigd" {
        bench.stopped(service, user, "rules", &[], &["socket"]);
    }
    if !["captured", "dhcp4", "dhcp4d", "pppoe"].contains(&service.name) {
        bench.stopped(service, user, "frames", &[], &["socket"]);
    }
    if service.name == "dhcp4d" {
        bench.expect(service, user, "thread", &[], DONE);
    }
}

/// Why a service has ended is said still.
fn panics(bench: &mut Bench) {
    for service in SERVICES {
        let output = bench.run(service, User::Own, "panic", &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("as an engine would") && !said.contains("table of rights"), "{}: {said}", service.name);
        assert!(output.status.code() == Some(101) || output.status.signal() == Some(6), "{:?}", output.status);
    }
}
