//! The hardware watchdog: opened as PID 1's first act, fed from PID 1's own loop and by nothing else.
use crate::console::Console;
use crate::sys;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::fs::File;
use std::io::Write;
use std::time::Duration;

const TIMEOUT_SECONDS: i32 = 15;
const FEED: Duration = Duration::from_secs(5);

/// An open watchdog and the loop's timer that feeds it. It is never closed (no `V`), and stopped at the machine's end only.
#[derive(Debug)]
pub struct Watchdog {
    file: Option<File>,
    timer: TimerFd,
    trouble: Option<String>,
}

impl Watchdog {
    /// Opens and arms it. A machine without one runs on.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub fn open() -> nix::Result<Watchdog> {
        let (file, trouble) = match File::options().write(true).open("/dev/watchdog0") {
            Ok(file) => {
                let trouble = sys::watchdog_timeout(&file, TIMEOUT_SECONDS).err();
                (Some(file), trouble.map(|error| format!("watchdog keeps its own timeout: {error}")))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, Some("no watchdog".into())),
            Err(error) => (None, Some(format!("no watchdog: {error}"))),
        };
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        timer.set(Expiration::Interval(TimeSpec::from_duration(FEED)), TimerSetTimeFlags::empty())?;
        Ok(Watchdog { file, timer, trouble })
    }

    /// Says what was wrong at the opening, once there is a console.
    pub fn complain(&mut self, console: &Console) {
        if let Some(trouble) = self.trouble.take() {
            console.say(trouble);
        }
    }

    /// The timer, readable each time the watchdog wants to be fed.
    pub fn timer(&self) -> &TimerFd {
        &self.timer
    }

    /// Stops it, for who restarts the machine or switches it off: firmware may take its time. The kernel does not do so,
    /// because it would for kexec as well (`watchdog.stop_on_reboot=0`), between two kernels, where nobody else watches.
    pub fn stop(&mut self) {
        if let Some(file) = &self.file {
            // One that cannot be stopped was so before.
            let _ = sys::watchdog_stop(file);
        }
    }

    /// Feeds it; to be called when the timer is readable.
    pub fn feed(&mut self) {
        // Only clears the timer; it was readable, or there is nothing to clear.
        let _ = self.timer.wait();
        if let Some(file) = &mut self.file {
            // A dog that cannot be fed will bite, which is the right answer to broken hardware.
            let _ = file.write(b"k");
        }
    }
}
