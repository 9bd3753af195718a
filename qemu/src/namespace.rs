//! Network namespaces without a name and without a file: one lives as long as its value or a process in it, so nothing
//! is left behind, not even by a SIGKILL of the test.
use crate::child::Child;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace: a thread that lives in it and does there what it is handed.
pub struct Namespace {
    jobs: Sender<Job>,
    path: String,
    _file: std::fs::File,
}

impl Namespace {
    /// A new namespace with `lo` up.
    #[allow(clippy::new_without_default)]
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

    /// Runs a program to its end inside that has to fail.
    pub fn fails(&self, program: &str, words: &[&str]) {
        let mut command = Command::new(program);
        command.args(words);
        let output = self.run(move || command.output()).unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{program} {words:?} should have failed, but says:\n{text}");
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
}
