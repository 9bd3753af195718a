//! What comes over the control socket.
use super::Machine;
use crate::boot::erase;
use crate::clock;
use crate::control::feed::Feed;
use crate::control::{End, Request, parse};
use nix::sys::epoll::EpollFlags;
use rights::Control;
use std::path::Path;

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

    /// The other slot is started once, now; whether it then stays is its own doing.
    fn begin_trial(&mut self) -> Result<(), String> {
        let (Some(disk), Some(booted), Some(_)) = (&self.disk, self.slot, self.words.slot) else {
            return Err("this machine was not started by its own boot loader, so no slot can be tried".into());
        };
        crate::disk::begin_trial(disk, booted).map_err(|error| format!("{}: {error}", disk.name))?;
        self.console.say(format_args!("slot {} is on trial", booted.other().letter()));
        self.end(crate::control::End::Reboot);
        Ok(())
    }
}
