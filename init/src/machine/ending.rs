//! The orderly end: TERM to all, patience, KILL, then the disk.
use super::Machine;
use crate::control::End;
use crate::{clock, shutdown, sys};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than the supervisor's own patience before it kills.
const SERVICES_MS: u64 = 6_000;
/// Before a trial: the LAN waits, and whatever a service has promised is on the disk.
const BEFORE_TRIAL_MS: u64 = 1_500;
/// There when the machine is to be switched off, before any service is told to stop.
const POWER_OFF: &str = "/run/poweroff";
/// For what KILL leaves: a process that hangs in the kernel must not hang the end.
const KILLED_MS: u64 = 1_000;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not begun.
    Serving,
    /// The services have been told.
    Telling(End, u64),
    /// Whatever else lives has been killed.
    Killing(End, u64),
}

impl Phase {
    /// When it goes on even if nothing happens.
    pub(super) fn deadline(self) -> Option<u64> {
        match self {
            Phase::Serving => None,
            Phase::Telling(_, until) | Phase::Killing(_, until) => Some(until),
        }
    }
}

impl Machine {
    /// Begins the end; a second call changes nothing.
    pub(super) fn end(&mut self, end: End) {
        if self.phase != Phase::Serving {
            return;
        }
        let what = match end {
            End::Reboot => "restarting",
            End::PowerOff => "powering off",
            End::Trial => "starting the slot on trial",
        };
        self.console.say(what);
        // Who would say farewell to the LAN does it now, and not when the machine comes back at once.
        if end == End::PowerOff
            && let Err(error) = std::fs::write(POWER_OFF, b"")
        {
            self.console.say(format_args!("{POWER_OFF}: {error}"));
        }
        let now = clock::now();
        self.phase = Phase::Telling(end, now + if end == End::Trial { BEFORE_TRIAL_MS } else { SERVICES_MS });
        let orders = self.supervisor.close(now);
        self.obey(orders);
    }

    /// Takes the next step when it is time; called after every turn.
    pub(super) fn go_on_ending(&mut self) {
        if let Phase::Telling(end, until) = self.phase
            && (self.supervisor.is_idle() || until <= clock::now())
        {
            // Everything but ourselves: orphans have no other end.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
            self.phase = Phase::Killing(end, clock::now() + KILLED_MS);
        }
        if let Phase::Killing(end, until) = self.phase
            && (sys::childless() || until <= clock::now())
        {
            let installed = std::mem::take(&mut self.install.done);
            shutdown::finish(end, &self.perm, self.disk.as_ref(), &installed, &self.console, &mut self.watchdog);
        }
    }
}
