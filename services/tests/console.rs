//! The console on a real terminal and on pipes, with a stand-in for PID 1 on `/run/init.sock`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use common::{Namespace, PATIENCE, Root, Services};
use nix::pty::openpty;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

const LIST: &str = r#"{"version":"0.1.0","uptime_ms":7384000,"ready_ms":412,"perm":"memory: no partition","slot":"a","services":[{"name":"dnsd","state":"running","ready":true,"pid":74,"uptime_ms":5000,"restarts":2,"last_exit":"exit 1","memory_kib":900}]}"#;

/// The console on a terminal whose other end is ours; killed when the test ends.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the screen from when it is told to.
fn reader(mut master: File) -> (mpsc::Sender<()>, Receiver<Vec<u8>>) {
    let (go, begin) = mpsc::channel();
    let (told, screen) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = begin.recv();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            if told.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    (go, screen)
}

fn open(root: &Root) -> (Terminal, mpsc::Sender<()>) {
    let pair = openpty(None, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_services"));
    // stdout goes into a pipe, as under PID 1: the terminal is descriptor 0 alone.
    command.args(["console", "--root"]).arg(&root.0).stdin(pair.slave).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert_eq!(line, "console: ready\n");
    let keyboard = File::from(pair.master);
    let (go, screen) = reader(keyboard.try_clone().unwrap());
    (Terminal { child, keyboard, screen, seen: String::new() }, go)
}

impl Terminal {
    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the screen shows `text`; everything shown since the last wait.
    fn shows(&mut self, text: &str) -> String {
        while !self.seen.contains(text) {
            let more = self.screen.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end).collect()
    }
}

/// Answers one question.
fn pid_1(root: &Root, answer: impl FnOnce(String, UnixStream) + Send + 'static) -> JoinHandle<()> {
    let path = root.path("/run/init.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        let mut question = String::new();
        BufReader::new(&stream).read_line(&mut question).unwrap();
        answer(question, stream);
    })
}

#[test]
fn a_prompt_help_and_status_on_a_terminal() {
    let root = Root::new();
    let (mut terminal, go) = open(&root);
    go.send(()).unwrap();
    terminal.types("\r");
    assert_eq!(terminal.shows("weir> "), "\r\nweir> ", "it spoke before Enter");
    terminal.types("hellp\x7f\x7fp\r");
    let help = terminal.shows("weir> ");
    assert!(help.contains("p\r\nhelp             this list\r\n"), "{help:?}");
    terminal.types("status\r");
    let alone = terminal.shows("weir> ");
    assert!(alone.contains("PID 1 does not answer on its control socket: No such file"), "{alone:?}");
    let init = pid_1(&root, |question, mut stream| {
        assert_eq!(question, "{\"op\":\"list\"}\n");
        writeln!(stream, "{LIST}").unwrap();
    });
    terminal.types("status\r");
    let status = terminal.shows("weir> ");
    init.join().unwrap();
    println!("{status}");
    assert!(status.contains("weir 0.1.0 (slot a), up 2 h 03 min, ready after 0.41 s\r\n"), "{status:?}");
    assert!(status.contains("/perm  memory: no partition\r\n") && status.contains("900 KiB"), "{status:?}");
}

#[test]
fn a_log_is_followed_until_a_key() {
    let root = Root::new();
    let (mut terminal, go) = open(&root);
    go.send(()).unwrap();
    let (closed, seen) = mpsc::channel();
    let init = pid_1(&root, move |question, mut stream| {
        assert!(question.contains("\"follow\":true") && question.contains("\"dnsd\""), "{question}");
        writeln!(stream, r#"{{"t_ms":1500,"stream":"err","line":"dnsd: hello"}}"#).unwrap();
        // The end of the connection.
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
        closed.send(()).unwrap();
    });
    terminal.types("\rlog dnsd -f\r");
    terminal.shows("[    1.500] dnsd: hello\r\n");
    terminal.types("\x03");
    terminal.shows("weir> ");
    seen.recv_timeout(PATIENCE).unwrap();
    init.join().unwrap();
}

#[test]
fn a_line_that_nobody_reads_blocks_nothing() {
    let root = Root::new();
    let (mut terminal, go) = open(&root);
    let init = pid_1(&root, |_, mut stream| {
        // Far more than every buffer on the way: all of it is taken, although nobody reads the screen.
        for number in 0..40_000 {
            writeln!(stream, r#"{{"t_ms":{number},"stream":"err","line":"a line that tells of nothing much"}}"#)
                .unwrap();
        }
    });
    terminal.types("\rlog dnsd -f\r");
    init.join().unwrap();
    go.send(()).unwrap();
    terminal.shows("bytes dropped: the line is too slow]");
    terminal.shows("weir> ");
    terminal.types("help\r");
    terminal.shows("poweroff");
}

#[test]
fn a_long_log_is_shown_whole_however_slow_the_line() {
    let root = Root::new();
    let (mut terminal, go) = open(&root);
    let init = pid_1(&root, |_, mut stream| {
        for number in 0..20_000 {
            writeln!(stream, r#"{{"t_ms":0,"stream":"err","line":"number {number}."}}"#).unwrap();
        }
        writeln!(stream, r#"{{"end":true}}"#).unwrap();
    });
    terminal.types("\rdmesg\r");
    go.send(()).unwrap();
    terminal.shows("number 0.");
    let rest = terminal.shows("weir> ");
    assert_eq!(rest.matches("number ").count(), 19_999);
    init.join().unwrap();
}

#[test]
fn pipes_are_a_terminal_too() {
    let (namespace, root) = (Namespace::new(), Root::new());
    namespace.ip("link add uplink0 type veth peer name lan0");
    namespace.ip("link set uplink0 up");
    namespace.ip("addr add 203.0.113.9/24 dev uplink0");
    root.write(
        "/perm/dhcp4d/leases.json",
        r#"[{"num":3,"addr":"192.168.42.5","hardware_addr":"52:54:00:aa:bb:01","hostname":"laptop","expiry":"0001-01-01T00:00:00Z"}]"#,
    );
    let typed = "\\naddresses\\nroutes\\nleases\\n";
    let command = format!("printf '{typed}' | {} console --root {}", env!("CARGO_BIN_EXE_services"), root.0.display());
    let shown = namespace.output("sh", &["-c", &command]);
    for text in [
        "    203.0.113.9/24\n",
        "203.0.113.0/24 dev uplink0 src 203.0.113.9\n",
        "laptop                    192.168.42.5     52:54:00:aa:bb:01  never\n",
    ] {
        assert!(shown.contains(text), "no {text:?} in\n{shown}");
    }
}

#[test]
fn without_a_terminal_it_waits_to_be_stopped() {
    let (namespace, root) = (Namespace::new(), Root::new());
    let mut console = namespace.service("console", &root, &[]);
    console.wait_for("ready");
    assert!(console.stop().success());
}
