//! The router as a running machine, and its serial console.
use crate::bed::Bed;
use crate::child::PATIENCE;
use crate::disk::Disk;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use weir::machine::{LAN_MAC, Machine, Nic, Serial, UPLINK_MAC};

/// What the serial port has said so far.
#[derive(Default)]
struct Said {
    text: Mutex<(String, bool)>,
    news: Condvar,
}

/// A machine that runs. Killed when the value goes; a test that fails shows its console.
pub struct Router {
    qemu: Child,
    keyboard: ChildStdin,
    said: Arc<Said>,
    seen: usize,
    marks: u32,
}

/// One service in the table of `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// `running`, `starting`, `waiting` or `stopped`.
    pub state: String,
    /// Its process, while it has one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
}

/// The services in the answer to `status`.
pub fn rows(status: &str) -> Vec<Row> {
    let row = |line: &str| {
        // name, state, pid, uptime (some words), restarts, memory (a number and KiB, or a dash)
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let name = rights::service(words.first()?)?.name.to_owned();
        if words.pop()? == "KiB" {
            words.pop()?;
        }
        let (state, pid) = ((*words.get(1)?).to_owned(), words.get(2)?.parse().ok());
        Some(Row { name, state, pid, restarts: words.last()?.parse().ok()? })
    };
    status.lines().filter_map(row).collect()
}

/// The prompt of the console.
const PROMPT: &str = "weir> ";

impl Router {
    /// Boots the image with this disk between the provider and the LAN.
    pub fn boot(bed: &Bed, disk: &Disk) -> Router {
        Router::boot_with(bed, disk, |machine| machine)
    }

    /// The same, with another machine than the usual one.
    pub fn boot_with(bed: &Bed, disk: &Disk, change: impl FnOnce(Machine) -> Machine) -> Router {
        let machine = Machine::of_image(&crate::images())
            .disk(weir::machine::Disk::raw(&disk.path))
            .nic(Nic::Tap { name: "uplink".into(), mac: UPLINK_MAC })
            .nic(Nic::Tap { name: "lan".into(), mac: LAN_MAC })
            // An emulator whose host is busy fails the kernel's check of its timer now and then, before PID 1.
            .append("no_timer_check")
            .serial(Serial::Stdio);
        let machine = change(machine);
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL").arg("--").arg(weir::machine::QEMU).args(machine.arguments());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut qemu = bed.machine.run(move || command.spawn()).expect("QEMU starts");
        let keyboard = qemu.stdin.take().unwrap();
        let mut port = qemu.stdout.take().unwrap();
        let said = Arc::new(Said::default());
        let hearer = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = port.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).replace('\r', "");
                hearer.text.lock().unwrap_or_else(PoisonError::into_inner).0.push_str(&text);
                hearer.news.notify_all();
            }
            hearer.text.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
            hearer.news.notify_all();
        });
        Router { qemu, keyboard, said, seen: 0, marks: 0 }
    }

    /// Waits until the console says `text`, from where the last wait ended; returns what came up to its end.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_within(text, PATIENCE).unwrap_or_else(|| panic!("the console never said {text:?}: time ran out"))
    }

    /// The same, for so long only; none when it was not said by then.
    pub fn wait_up_to(&mut self, text: &str, limit: Duration) -> Option<String> {
        self.wait_within(text, limit)
    }

    fn wait_within(&mut self, text: &str, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut said = self.said.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = said.0[self.seen..].find(text) {
                let end = self.seen + at + text.len();
                let part = said.0[self.seen..end].to_owned();
                self.seen = end;
                return Some(part);
            }
            assert!(!said.1, "the console never said {text:?}: the machine is off");
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            said = self.said.news.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Presses Enter, again and again as a person does, until there is a prompt. For a console that is being started
    /// again: what is typed while there is none is lost.
    pub fn wake(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.press("\r");
            if self.wait_within(PROMPT, Duration::from_secs(1)).is_some() {
                return;
            }
            assert!(Instant::now() < deadline, "no Enter brings a prompt");
        }
    }

    /// Waits for the ready line and returns it.
    pub fn wait_ready(&mut self) -> String {
        self.wait_for("weir: ready in ");
        let line = self.wait_for(" s\n");
        format!("weir: ready in {}", line.trim_end())
    }

    /// Types a line at the console and returns what it answers, without prompt.
    pub fn command(&mut self, line: &str) -> String {
        // PID 1 may say something in the middle of an echo, and a prompt may be left over: what the console says in
        // one piece to a word that no other line has is the only sure beginning.
        self.marks += 1;
        let mark = format!("#{}", self.marks);
        self.press(&format!("\r{mark}\r"));
        self.wait_for(&format!("\"{mark}\" is no command"));
        self.wait_for(PROMPT);
        self.press(&format!("{line}\r"));
        let answer = self.wait_for(PROMPT);
        let answer = answer.trim_end_matches(PROMPT);
        answer.strip_prefix(line).unwrap_or(answer).trim_matches('\n').to_owned()
    }

    /// Types at the console.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the machine takes a key");
    }

    /// Asks until the answer of a command has `wanted` in it. The answers come from the machine, one after the other.
    pub fn command_until(&mut self, line: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.command(line);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{line} never answered as expected; at last:\n{answer}");
        }
    }

    /// Asks `status` until this service's row is as wanted; returns the row.
    pub fn service_until(&mut self, name: &str, wanted: impl Fn(&Row) -> bool) -> Row {
        let row = |status: &str| rows(status).into_iter().find(|row| row.name == name && wanted(row));
        let status = self.command_until("status", |status| row(status).is_some());
        row(&status).unwrap()
    }

    /// Everything that the console has said.
    pub fn console(&self) -> String {
        self.said.text.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Pulls the plug.
    pub fn cut(mut self) {
        self.end();
    }

    /// Waits until the machine is off by itself.
    pub fn wait_off(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut said = self.said.text.lock().unwrap_or_else(PoisonError::into_inner);
        while !said.1 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the machine does not switch itself off");
            said = self.said.news.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(said);
        self.qemu.wait().unwrap();
    }

    fn end(&mut self) {
        // Already gone is as good as killed.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- the console:\n{}\n---", self.console());
        }
    }
}
