//! Test bed of one service: network namespaces, children that never outlive the test, lines awaited instead of sleeps.
//!
//! Needs root (or a user namespace where the tests are root). A namespace has no name and no file: it lives as long as
//! its [`Namespace`] value or a process in it, so nothing can be left behind, not even by a SIGKILL of the test.
//!
//! ```no_run
//! let (router, lan, root) = (Namespace::new(), Namespace::new(), Root::new());
//! router.veth("lan0", &lan, "eth0");
//! router.ip("addr add 192.168.42.1/24 dev lan0");
//! let mut dhcp4d = router.service("dhcp4d", &root, &[]);
//! dhcp4d.wait_for("ready");
//! ```
// Each test file compiles this module for itself and uses a part of it; a helper fails by panicking, as a test does.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an awaited line may take before the test fails; generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace: a thread that lives in it and does there what it is handed.
pub struct Namespace {
    jobs: Sender<Job>,
    path: String,
    _file: std::fs::File,
}

impl Namespace {
    /// A new namespace with `lo` up.
    pub fn new() -> Namespace {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (told, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let entered = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
            let file =
                entered.map_err(std::io::Error::from).and_then(|()| std::fs::File::open("/proc/thread-self/ns/net"));
            let _ = told.send(file);
            for job in inbox {
                job();
            }
        });
        let file = answer.recv().unwrap().expect("a network namespace (the tests want root)");
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let namespace = Namespace { jobs, path, _file: file };
        namespace.ip("link set lo up");
        namespace
    }

    /// A path by which `ip` and `nsenter --net=` find the namespace, as long as this value lives.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Runs `work` inside; sockets it opens stay there wherever they are used.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (told, answer) = mpsc::channel();
        let job = move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _ = told.send(result);
        };
        self.jobs.send(Box::new(job)).expect("the namespace's thread lives");
        answer.recv().expect("the namespace's thread lives").unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a program to its end inside; its stdout. Panics with its stderr when it fails.
    pub fn output(&self, program: &str, words: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(words);
        let output = self.run(move || command.output()).unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {words:?}: {}\n{text}{complaint}", output.status);
        text
    }

    /// `ip WORDS`, split at spaces.
    pub fn ip(&self, words: &str) -> String {
        self.output("ip", &words.split_whitespace().collect::<Vec<_>>())
    }

    /// A cable: `here` in this namespace, `there` in the other, both up.
    pub fn veth(&self, here: &str, other: &Namespace, there: &str) {
        self.ip(&format!("link add {here} type veth peer name {there} netns {}", other.path()));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }

    /// Starts a program inside; it is killed when the [`Child`], this namespace or the test ends.
    pub fn spawn(&self, program: impl AsRef<Path>, words: &[&str]) -> Child {
        let program = program.as_ref();
        // setpriv ties the child to the thread that starts it, which is this namespace's.
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL").arg("--").arg(program).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.run(move || command.spawn()).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Child::watch(name, child)
    }

    /// Starts one of our services inside, with `--root`.
    pub fn service(&self, name: &str, root: &Root, flags: &[&str]) -> Child {
        let folder = root.0.to_str().unwrap();
        let words: Vec<&str> = [name, "--root", folder].into_iter().chain(flags.iter().copied()).collect();
        let mut child = self.spawn(env!("CARGO_BIN_EXE_services"), &words);
        child.name = name.to_owned();
        child
    }
}

#[derive(Default)]
struct Lines {
    all: Vec<String>,
    open: u32,
}

/// Lines and the news of them, shared with the threads that read.
#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    news: Condvar,
}

impl Shared {
    // A test that failed while it held the lines has left them whole.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, lines: MutexGuard<'a, Lines>, left: Duration) -> MutexGuard<'a, Lines> {
        self.news.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A running program whose lines (stdout and stderr) are kept; killed on drop.
pub struct Child {
    name: String,
    child: std::process::Child,
    lines: Arc<Shared>,
    seen: usize,
}

impl Child {
    fn watch(name: String, mut child: std::process::Child) -> Child {
        let lines = Arc::new(Shared::default());
        lines.lock().open = 2;
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for stream in [out, err] {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while matches!(stream.read_until(b'\n', &mut line), Ok(1..)) {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    lines.lock().all.push(text);
                    lines.news.notify_all();
                    line.clear();
                }
                lines.lock().open -= 1;
                lines.news.notify_all();
            });
        }
        Child { name, child, lines, seen: 0 }
    }

    /// Waits for the next line that contains `text`, after the last one so found, and returns it.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_until(text, |line| line.contains(text))
    }

    /// Waits for the next line that `wanted` takes; `what` names it when it does not come.
    pub fn wait_until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock();
        loop {
            while let Some(line) = lines.all.get(self.seen) {
                self.seen += 1;
                if wanted(line) {
                    return line.clone();
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.open == 0 || left.is_zero() {
                let why = if lines.open == 0 { "it ended" } else { "time ran out" };
                panic!("{}: no line with {what:?}, {why}; its lines:\n{}", self.name, lines.all.join("\n"));
            }
            lines = self.lines.wait(lines, left);
        }
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().all.clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `USR1`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -s {name} {}", self.name);
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for its own end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock();
        while lines.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} does not end; its lines:\n{}", self.name, lines.all.join("\n"));
            lines = self.lines.wait(lines, left);
        }
        drop(lines);
        self.child.wait().unwrap()
    }

    /// Processor time it has used so far, user and system, in microseconds (of the scheduler's nanosecond count).
    pub fn cpu_micros(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.id())).unwrap();
        text.split_whitespace().next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap() / 1_000
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- lines of {}:\n{}", self.name, self.lines().join("\n"));
        }
    }
}

/// A service's root folder (`--root`) with an empty `perm`, gone with the value.
pub struct Root(pub PathBuf);

impl Root {
    /// A new, empty one.
    pub fn new() -> Root {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        sweep();
        let path = std::env::temp_dir().join(format!("weir-root-{}-{number}", std::process::id()));
        for folder in ["perm", "run", "etc", "tmp"] {
            std::fs::create_dir_all(path.join(folder)).unwrap();
        }
        Root(path)
    }

    /// A path as it is named on the router, under this root.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// Writes a file, with its folders.
    pub fn write(&self, absolute: &str, text: impl AsRef<[u8]>) {
        let path = self.path(absolute);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file as text; empty when there is none.
    pub fn read(&self, absolute: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(absolute)).unwrap_or_default()).into_owned()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes the roots of tests that were killed: their number names a process that is gone.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("weir-root-").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another test may be sweeping, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
