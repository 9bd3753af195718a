//! Children that never outlive the test, and whose lines are awaited instead of slept for.
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an awaited line may take before the test fails; generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

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
    /// Keeps the lines of a child that was started with its output piped.
    pub fn watch(name: String, mut child: std::process::Child) -> Child {
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

    /// Gives it another name for messages than its program's.
    #[must_use]
    pub fn named(mut self, name: &str) -> Child {
        name.clone_into(&mut self.name);
        self
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
