//! A core service cannot stay up: the other slot may know better, once. Where it does not, or there is none, the router
//! stays up without that service and says so.
use super::Machine;
use super::ending::Phase;
use crate::clock;
use crate::control::End;
use crate::disk::{self, Count};
use crate::supervise::Row;
use layout::Slot;
use rights::SERVICES;

impl Machine {
    /// A core service is sick from now on.
    pub(super) fn sick(&mut self, row: usize) {
        let Some(service) = SERVICES.get(row) else { return };
        // A trial that has begun takes the other slot already.
        if self.phase != Phase::Serving || self.load_until.is_some() {
            return;
        }
        let name = service.name;
        if self.on_trial {
            self.console.say(format_args!("{name} cannot stay up"));
            // It is on trial, so there is a way back.
            let _ = self.back();
            return;
        }
        match self.leave() {
            Ok(other) => {
                self.console.say(format_args!("{name} cannot stay up here: taking slot {}", other.letter()));
                self.end(End::Reboot);
            }
            Err(why) => {
                self.console.say(format_args!("{name} cannot stay up, and {why}: the router stays up without it"));
                // Ready is what it cannot get here.
                self.last_try_until = None;
            }
        }
    }

    /// Has the boot loader take the other slot, and remember that.
    fn leave(&mut self) -> Result<Slot, String> {
        let (Some(disk), Some(slot)) = (&self.disk, self.slot.filter(|_| self.slot == self.words.slot)) else {
            return Err("there is no other slot that a boot loader of weir's would take".into());
        };
        if self.refuge.is_taken() {
            let left = self.left.unwrap_or(slot);
            return Err(format!("slot {} was left for the same", left.letter()));
        }
        if self.ready_ms.is_some() && !disk::is_counted() {
            return Err(format!("{} does not answer", disk.name));
        }
        let left = Count::open(disk).and_then(|count| count.leave(slot));
        left.map(|()| slot.other()).map_err(|error| error.to_string())
    }

    /// Whether a core service is sick may have changed, or an hour has passed; called after every turn.
    pub(super) fn look_for_sick(&mut self) {
        let sick = self.supervisor.rows().iter().any(Row::is_sick);
        if self.refuge.look(clock::now(), sick) {
            self.left = None;
            if let Some(disk) = &self.disk {
                disk::recover_in_background(disk);
            }
        }
    }

    /// Why another slot runs than the one before.
    pub(super) fn say_left(&self) {
        if let Some(left) = self.left.filter(|left| Some(*left) != self.slot) {
            self.console.say(format_args!("slot {} was left: a core service could not stay up in it", left.letter()));
        }
    }
}
