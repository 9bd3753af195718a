//! A service's process as PID 1 holds it: its pipes, its notices, its beginning and its end.
use super::{Machine, TRIAL_MS, number};
use crate::disk::COPY_AFTER_MS;
use crate::lines::{Line, Lines};
use crate::notice::{self, NOTICE_BYTES, Notice};
use crate::rings::{LINE_BYTES, Stream};
use crate::supervise::{Order, State};
use crate::{clock, start, sys};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rights::SERVICES;
use std::fs::File;
use std::io::{ErrorKind, Read};

/// Bytes read from one pipe in one turn of the loop: a flooding service waits, the others do not.
const READ: usize = 4096;
/// Reads of a dead service's pipe: what a pipe holds.
const LAST_READS: usize = 16;
/// The notices' place among the three pipes.
const NOTICES: usize = 2;
/// Characters of a service's last line on the console.
const LAST_WORDS: usize = 100;
/// How PID 1's own lines in a service's log begin.
const REMARK: &str = "init: ";

/// The pipes of a service's present process: stdout, stderr, notices.
#[derive(Debug)]
pub struct Life {
    pipes: [Option<File>; 3],
    lines: [Lines; 3],
}

impl Default for Life {
    fn default() -> Life {
        let lines = [Lines::new(LINE_BYTES), Lines::new(LINE_BYTES), Lines::new(NOTICE_BYTES)];
        Life { pipes: [None, None, None], lines }
    }
}

/// What a pipe said.
enum Heard {
    Log(Stream, Vec<u8>),
    Notice(Vec<u8>),
    TooLong,
}

impl Life {
    /// Reads once; false when there is nothing more to come now.
    fn read(&mut self, which: usize, heard: &mut Vec<Heard>) -> bool {
        let (Some(slot), Some(lines)) = (self.pipes.get_mut(which), self.lines.get_mut(which)) else { return false };
        let Some(pipe) = slot else { return false };
        let mut take = |line: Line<'_>| {
            heard.push(match (which, line) {
                (NOTICES, Line::Whole(text)) => Heard::Notice(text.to_vec()),
                (NOTICES, Line::Cut(_)) => Heard::TooLong,
                (0, Line::Whole(text) | Line::Cut(text)) => Heard::Log(Stream::Out, text.to_vec()),
                (_, Line::Whole(text) | Line::Cut(text)) => Heard::Log(Stream::Err, text.to_vec()),
            });
        };
        let mut buffer = [0u8; READ];
        match pipe.read(&mut buffer) {
            Ok(length) if length > 0 => {
                lines.feed(buffer.get(..length).unwrap_or_default(), &mut take);
                return true;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return false,
            Ok(_) | Err(_) => {}
        }
        // Closed by the service. Ours closes too, which takes it out of epoll.
        lines.end(&mut take);
        *slot = None;
        false
    }
}

impl Machine {
    /// Carries out what the engine wants.
    pub(super) fn obey(&mut self, orders: Vec<Order>) {
        let mut orders = std::collections::VecDeque::from(orders);
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Start(row) => orders.extend(self.begin(row)),
                Order::Terminate(_, pid) => signal_group(pid, Signal::SIGTERM),
                Order::Kill(_, pid) => signal_group(pid, Signal::SIGKILL),
                Order::NameDeath(row, wait) => self.name_death(row, wait),
                Order::NameHung(row) => {
                    if let Some(service) = SERVICES.get(row) {
                        self.console.say(format_args!("{} runs but is not ready", service.name));
                    }
                }
                Order::Sick(row) => self.sick(row),
                Order::AllReady => self.all_ready(),
            }
        }
    }

    fn begin(&mut self, row: usize) -> Vec<Order> {
        let (Some(service), Some(life)) = (SERVICES.get(row), self.lives.get_mut(row)) else { return Vec::new() };
        match start::start(service, &self.null) {
            Ok(started) => {
                *life = Life::default();
                for (which, pipe) in started.pipes.into_iter().enumerate() {
                    let number = number::PIPES + (row * 3 + which) as u64;
                    // A pipe that epoll does not take is closed; the service can do without.
                    let added = self.epoll.add(&pipe, EpollEvent::new(EpollFlags::EPOLLIN, number));
                    life.pipes[which] = Some(pipe).filter(|_| added.is_ok());
                }
                self.supervisor.started(row, started.pid, clock::now());
                Vec::new()
            }
            Err(why) => {
                self.remark(row, &format!("cannot start: {why}"));
                self.supervisor.failed(row, why, clock::now())
            }
        }
    }

    /// A pipe is readable, or closed.
    pub(super) fn pipe(&mut self, number: u64) {
        let (row, which) = ((number / 3) as usize, (number % 3) as usize);
        let Some(life) = self.lives.get_mut(row) else { return };
        let mut heard = Vec::new();
        life.read(which, &mut heard);
        self.hear(row, heard);
    }

    fn hear(&mut self, row: usize, heard: Vec<Heard>) {
        let now = clock::now();
        for one in heard {
            match one {
                Heard::Log(stream, text) => {
                    if let Some(ring) = self.rings.get_mut(row) {
                        ring.push(now, stream, &text);
                        self.logged = true;
                    }
                }
                Heard::Notice(line) => self.notice(row, &line),
                Heard::TooLong => self.remark(row, "notice dropped: more than 512 bytes"),
            }
        }
    }

    fn notice(&mut self, row: usize, line: &[u8]) {
        let Some(service) = SERVICES.get(row) else { return };
        match notice::judge(service, line) {
            Notice::Ready => {
                let orders = self.supervisor.ready(row, clock::now());
                self.obey(orders);
            }
            Notice::Changed(path) => {
                let kept = rights::WRITTEN.contains(&path) || rights::SPARED.contains(&path);
                if kept && self.perm.on_disk() && self.ready_ms.is_some() && self.phase == super::Phase::Serving {
                    self.copy_at.get_or_insert(clock::now() + COPY_AFTER_MS);
                }
                for reader in rights::readers(path) {
                    let at = SERVICES.iter().position(|service| service.name == reader.name);
                    let pid = at.and_then(|at| self.supervisor.rows().get(at)).and_then(|row| row.pid);
                    if let Some(pid) = pid {
                        // It is our child and not collected yet, so the pid is its own.
                        let _ = kill(Pid::from_raw(pid), Signal::SIGUSR1);
                    }
                }
            }
            Notice::Refused(why) => {
                self.remark(row, &format!("notice dropped, {why}: {:?}", String::from_utf8_lossy(line)));
            }
        }
    }

    /// A service's main process has ended: its group ends with it, its last words are kept.
    pub(super) fn bury(&mut self, row: usize, pid: i32, how: String) {
        // The zombie still holds the number, so this group is the right one.
        signal_group(pid, Signal::SIGKILL);
        let Some(life) = self.lives.get_mut(row) else { return };
        let mut heard = Vec::new();
        for which in 0..3 {
            for _ in 0..LAST_READS {
                if !life.read(which, &mut heard) {
                    break;
                }
            }
        }
        *life = Life::default();
        self.hear(row, heard);
        let orders = self.supervisor.ended(row, how.clone(), clock::now());
        self.obey(orders);
        self.remark(row, &how);
    }

    fn name_death(&self, row: usize, wait: u64) {
        let (Some(service), Some(state)) = (SERVICES.get(row), self.supervisor.rows().get(row)) else { return };
        // PID 1's own remarks would only repeat how it ended.
        let words = self.rings.get(row).map_or("", |ring| ring.last_words());
        let words = if words.starts_with(REMARK) { "" } else { words };
        let words: String = words.chars().filter(|letter| !letter.is_control()).take(LAST_WORDS).collect();
        let between = if words.is_empty() { "" } else { ": " };
        let (seconds, tenths) = (wait / 1000, wait / 100 % 10);
        let (name, how) = (service.name, &state.last_exit);
        self.console.say(format_args!("{name} died ({how}), again in {seconds}.{tenths} s{between}{words}"));
    }

    /// PID 1's own word in a service's log.
    fn remark(&mut self, row: usize, text: &str) {
        if let Some(ring) = self.rings.get_mut(row) {
            ring.push(clock::now(), Stream::Err, format!("{REMARK}{text}").as_bytes());
            self.logged = true;
        }
    }

    /// Every service has said ready once.
    fn all_ready(&mut self) {
        let tsc = sys::tsc();
        sys::mark_ready();
        let now = clock::now();
        self.ready_ms = Some(now);
        self.last_try_until = None;
        self.console.line(format_args!("weir: ready in {}.{:03} s", now / 1000, now % 1000));
        if self.words.bench {
            self.console.line(super::report::bench(self.begun_tsc, tsc));
        }
        self.trial_at = self.words.trial.map(|_| now + TRIAL_MS);
        if let Some(disk) = &self.disk {
            crate::disk::settle_in_background(disk, self.words.slot, self.perm.on_disk());
        }
        // Not before: hundreds of records, and the kernel keeps them meanwhile.
        self.kernel_log(0);
    }

    /// Sends a signal to a service's main process.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) fn signal(&self, row: usize, signal: Signal) -> Result<(), String> {
        let row = self.supervisor.rows().get(row).filter(|row| matches!(row.state(), State::Starting | State::Running));
        let pid = row.and_then(|row| row.pid).ok_or("it does not run")?;
        kill(Pid::from_raw(pid), signal).map_err(|error| error.to_string())
    }
}

/// The group may be gone already, which is as good.
fn signal_group(pid: i32, signal: Signal) {
    let _ = killpg(Pid::from_raw(pid), signal);
}
