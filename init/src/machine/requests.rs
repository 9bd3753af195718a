//! What comes over the control socket.
use super::Machine;
use super::ending::Phase;
use crate::boot::erase;
use crate::clock;
use crate::control::feed::Feed;
use crate::control::{End, Request, parse};
use crate::disk::Count;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use rights::Control;
use std::path::Path;

/// To who judges without a trial.
const NO_TRIAL: &str = "this slot is not on trial";
/// Kernel records read for one who asks for them: more than its buffer holds.
const KERNEL_RECORDS: usize = 10_000;

impl Machine {
    /// Something happened on a connection.
    pub(super) fn connection(&mut self, place: usize, events: EpollFlags) {
        if let Some(server) = &mut self.server {
            server.receive(place, events);
        }
        while let Some((level, line)) = self.server.as_mut().and_then(|server| server.next_request(place)) {
            self.request(place, level, &line);
        }
        if let Some(server) = &mut self.server {
            server.flush(place, &self.rings, &self.epoll);
        }
    }

    fn request(&mut self, place: usize, level: Control, line: &[u8]) {
        let result = match parse(line, level) {
            Ok(Request::List) => {
                let list = self.list();
                if let Some(server) = &mut self.server {
                    server.say(place, &list);
                }
                return;
            }
            Ok(Request::Logs { log, follow }) => {
                if log == rights::KERNEL {
                    self.kernel_log(KERNEL_RECORDS);
                }
                if let (Some(server), Some(ring)) = (&mut self.server, self.rings.get(log)) {
                    server.feed(place, Feed::new(log, ring, follow));
                }
                return;
            }
            Ok(Request::Journal) => {
                // The kernel's comes once everything is ready.
                if let Some(server) = &mut self.server {
                    server.feed(place, Feed::of_all(&self.rings));
                }
                return;
            }
            Ok(Request::Wish(row, wish)) => {
                let orders = self.supervisor.wish(row, wish, clock::now());
                self.obey(orders);
                Ok(())
            }
            Ok(Request::Signal(row, signal)) => self.signal(row, signal),
            Ok(Request::End(end)) => {
                self.end(end);
                Ok(())
            }
            Ok(Request::Trial) => self.begin_trial(),
            Ok(Request::Commit) => self.commit(),
            Ok(Request::Back) => self.back(),
            Ok(Request::Disks) => match self.look_at_disks(place) {
                Ok(()) => return,
                Err(why) => Err(why),
            },
            Ok(Request::Install { disk, over, follow }) => match self.begin_install(&disk, &over) {
                Ok(()) if follow => return self.follow_install(place),
                done => done,
            },
            Ok(Request::Erase) => erase::wish(Path::new("/perm")).map(|()| self.end(End::Reboot)),
            Err(why) => Err(why),
        };
        if let Some(server) = &mut self.server {
            server.answer(place, result);
        }
    }

    /// The other slot is started once, as soon as its kernel is loaded; whether it then stays is its own doing.
    fn begin_trial(&mut self) -> Result<(), String> {
        let (Some(disk), Some(booted), Some(_)) = (&self.disk, self.slot, self.words.slot) else {
            return Err("this machine was not started by its own boot loader, so no slot can be tried".into());
        };
        if self.on_trial || self.load_until.is_some() || self.phase != Phase::Serving {
            return Err("a trial has begun already".into());
        }
        if !crate::disk::is_counted() {
            return Err("the router has only just started".into());
        }
        let other = booted.other();
        // On the disk before anything else: whatever happens from here on, the slot is started once at most.
        let begun = Count::open(disk).and_then(|count| count.begin_trial(other));
        begun.map_err(|error| format!("{}: {error}", disk.name))?;
        self.console.say(format_args!("slot {} is on trial", other.letter()));
        self.load_until = Some(clock::now() + super::LOAD_MS);
        let loading = crate::trial::load_in_background(disk, other).and_then(|pipe| {
            self.epoll.add(&pipe, EpollEvent::new(EpollFlags::EPOLLIN, super::number::LOADED))?;
            Ok(pipe)
        });
        match loading {
            Ok(pipe) => self.loading = Some(pipe),
            // The boot loader starts it.
            Err(_) => self.loaded(),
        }
        Ok(())
    }

    /// The kernel of the trial is loaded, or cannot be.
    pub(super) fn loaded(&mut self) {
        self.loading = None;
        self.load_until = None;
        self.end(End::Trial);
    }

    /// The slot on trial is good, which is the only way for it to stay.
    fn commit(&mut self) -> Result<(), String> {
        let (Some(disk), Some(booted), true) = (&self.disk, self.slot, self.on_trial) else {
            return Err(NO_TRIAL.into());
        };
        if self.ready_ms.is_none() || self.phase != Phase::Serving {
            return Err("the router does not serve".into());
        }
        let done = Count::open(disk).and_then(|count| count.commit(booted));
        done.map_err(|error| format!("{}: {error}", disk.name))?;
        self.on_trial = false;
        self.verdict_until = None;
        self.console.say(format_args!("slot {} is good and stays", booted.letter()));
        Ok(())
    }

    /// The slot on trial is no good: the boot loader starts the other one.
    pub(super) fn back(&mut self) -> Result<(), String> {
        if !self.on_trial {
            return Err(NO_TRIAL.into());
        }
        self.console.say("this slot is no good: back to the other one");
        self.end(End::Reboot);
        Ok(())
    }
}
