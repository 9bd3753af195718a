//! weir onto another disk, by a program of the root: one at a time, its lines in a log of their own.
use super::{Machine, number};
use crate::clock;
use crate::control::feed::Feed;
use crate::helper::{self, Helper};
use crate::rings::Stream;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::ErrorKind;
use std::os::fd::AsFd;

/// Reads of the pipe in one turn.
const READS: usize = 16;

/// Programs that look at the disks at a time: one may hang over a disk that is failing, and one may not be collected yet.
const LOOKERS: usize = 4;

/// What is being done, and what was.
#[derive(Debug, Default)]
pub(super) struct Install {
    running: Option<(Helper, String)>,
    /// Those that look at the disks for somebody.
    looking: Vec<i32>,
    /// The disks that weir was put on in this boot.
    pub(super) done: Vec<String>,
}

impl Machine {
    /// Has the disks looked at: the program itself answers.
    ///
    /// # Errors
    /// In words.
    pub(super) fn look_at_disks(&mut self, place: usize) -> Result<(), String> {
        if let Some((_, disk)) = &self.install.running {
            return Err(format!("weir is being installed on {disk}"));
        }
        if self.install.looking.len() >= LOOKERS {
            return Err("the disks are being looked at, and one of them takes its time".into());
        }
        let running = self.disk.as_ref().map_or("", |disk| &*disk.name).to_owned();
        let Some(stream) = self.server.as_mut().and_then(|server| server.take(place, &self.epoll)) else {
            return Ok(());
        };
        let pid = helper::spawn(&["install", "list", &running], stream.as_fd());
        match pid {
            Ok(pid) => self.install.looking.push(pid),
            // Who asks sees the connection end.
            Err(why) => self.console.say(format_args!("the disks cannot be looked at: {why}")),
        }
        Ok(())
    }

    /// Begins.
    ///
    /// # Errors
    /// In words, when nothing was begun.
    pub(super) fn begin_install(&mut self, disk: &str, over: &str) -> Result<(), String> {
        if let Some((_, disk)) = &self.install.running {
            return Err(format!("weir is being installed on {disk}"));
        }
        let (Some(from), Some(slot)) = (&self.disk, self.slot) else {
            return Err("this machine runs from memory: start it from a disk or a stick of weir's".into());
        };
        let from = from.name.clone();
        let helper = Helper::start(&["install", "to", disk, over, &from, slot.letter()])?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number::INSTALL);
        if let Err(error) = self.epoll.add(&helper.pipe, event) {
            let _ = kill(Pid::from_raw(helper.pid), Signal::SIGKILL);
            return Err(error.to_string());
        }
        self.install.done.retain(|known| known != disk);
        self.install.running = Some((helper, disk.to_owned()));
        self.console.say(format_args!("installing on {disk}"));
        Ok(())
    }

    /// What it says from now on, for a connection.
    pub(super) fn follow_install(&mut self, place: usize) {
        if let (Some(server), Some(ring)) = (&mut self.server, self.rings.get(rights::INSTALL)) {
            server.feed(place, Feed::from_now(rights::INSTALL, ring));
        }
    }

    /// It has said something, or ended.
    pub(super) fn install_goes_on(&mut self) {
        let Some((helper, _)) = &mut self.install.running else { return };
        let (mut said, mut over) = (Vec::new(), false);
        for _ in 0..READS {
            match helper.read(&mut |line| said.push(line.to_owned())) {
                Ok(true) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(false) | Err(_) => {
                    over = true;
                    break;
                }
            }
        }
        let end = over.then(|| helper.end());
        for line in said {
            self.install_says(&line);
        }
        let Some(end) = end else { return };
        let Some((_, disk)) = self.install.running.take() else { return };
        match end {
            Ok(what) => {
                self.install_says(&what);
                self.console.say(format_args!("installed on {disk}"));
                self.install.done.push(disk);
            }
            Err(why) => {
                self.install_says(&format!("NOT INSTALLED: {why}"));
                self.console.say(format_args!("not installed on {disk}: {why}"));
            }
        }
        if let (Some(server), Some(ring)) = (&mut self.server, self.rings.get(rights::INSTALL)) {
            server.end_feeds(rights::INSTALL, ring);
        }
    }

    fn install_says(&mut self, line: &str) {
        if let Some(ring) = self.rings.get_mut(rights::INSTALL) {
            ring.push(clock::now(), Stream::Out, line.as_bytes());
            self.logged = true;
        }
    }

    /// A process has ended that is no service's.
    pub(super) fn helper_ended(&mut self, pid: i32) {
        self.install.looking.retain(|looking| *looking != pid);
    }
}
