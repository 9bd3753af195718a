//! The event loop: descriptors by epoll, one deadline by timerfd, signals by signalfd. No callbacks: a service asks
//! what happened and decides itself.
use crate::time::Instant;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// The caller's name for a descriptor; the two highest values are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

const TIMER: u64 = u64::MAX;
const SIGNALS: u64 = u64::MAX - 1;

/// What to be told about a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(EpollFlags);

impl Interest {
    /// Something can be read, or the peer is gone.
    pub const READ: Interest = Interest(EpollFlags::EPOLLIN);
    /// Something can be written.
    pub const WRITE: Interest = Interest(EpollFlags::EPOLLOUT);
    /// Both.
    pub const BOTH: Interest = Interest(EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT));
    /// Neither; an error or a hang-up is told all the same.
    pub const NONE: Interest = Interest(EpollFlags::empty());
}

/// The signals that a service knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGUSR1`: a file that this service watches was replaced.
    Changed,
    /// `SIGUSR2`: the operator's word (dhcp4: release).
    Second,
    /// `SIGTERM` or `SIGINT`: stop in order.
    Terminate,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A descriptor can be read or written; an error or a hang-up sets both, so that the next call meets it.
    Ready {
        /// The descriptor's token.
        token: Token,
        /// It can be read.
        readable: bool,
        /// It can be written.
        writable: bool,
    },
    /// A signal came.
    Signal(Signal),
    /// The deadline has passed.
    Timeout,
}

/// One process's event loop.
#[derive(Debug)]
pub struct Loop {
    epoll: Epoll,
    timer: TimerFd,
    signals: SignalFd,
    armed: Option<Instant>,
}

impl Loop {
    /// Blocks the signals, so that none is lost or kills from here on, and opens the loop.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn new() -> io::Result<Loop> {
        let mut set = SigSet::empty();
        for number in [Number::SIGUSR1, Number::SIGUSR2, Number::SIGTERM, Number::SIGINT] {
            set.add(number);
        }
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        Ok(Loop { epoll, timer, signals, armed: None })
    }

    /// Watches a descriptor. Closing it ends the watch.
    ///
    /// # Errors
    /// When it is watched already or cannot be watched.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(interest.0, token.0))?)
    }

    /// Changes what is told about a watched descriptor.
    ///
    /// # Errors
    /// When it is not watched.
    pub fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(interest.0, token.0))?)
    }

    /// Ends the watch of a descriptor.
    ///
    /// # Errors
    /// When it is not watched.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Waits until something happens or `deadline` has passed, and fills `events` with what did.
    ///
    /// # Errors
    /// When the kernel refuses; an interrupted wait is none.
    pub fn wait(&mut self, deadline: Option<Instant>, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        self.arm(deadline)?;
        let mut ready = [EpollEvent::empty(); 64];
        let count = match self.epoll.wait(&mut ready, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &ready[..count] {
            match event.data() {
                TIMER => {
                    self.armed = None;
                    // Reading only rearms the descriptor; how often it fired does not matter.
                    let _ = self.timer.wait();
                    events.push(Event::Timeout);
                }
                SIGNALS => self.drain_signals(events),
                token => {
                    let flags = event.events();
                    let broken = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
                    events.push(Event::Ready {
                        token: Token(token),
                        readable: broken || flags.contains(EpollFlags::EPOLLIN),
                        writable: broken || flags.contains(EpollFlags::EPOLLOUT),
                    });
                }
            }
        }
        Ok(())
    }

    fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        match deadline {
            None => self.timer.unset()?,
            Some(deadline) => {
                // Absolute zero would disarm: boot itself is long past.
                let at = TimeSpec::from_duration(Duration::from_nanos(deadline.as_nanos().max(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
        }
        self.armed = deadline;
        Ok(())
    }

    fn drain_signals(&self, events: &mut Vec<Event>) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = match Number::try_from(info.ssi_signo as i32) {
                Ok(Number::SIGUSR1) => Signal::Changed,
                Ok(Number::SIGUSR2) => Signal::Second,
                _ => Signal::Terminate,
            };
            events.push(Event::Signal(signal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn tells_of_descriptors_deadlines_and_signals() {
        let mut events = Vec::new();
        let mut turn = Loop::new().unwrap();
        turn.wait(Some(Instant::now()), &mut events).unwrap();
        assert_eq!(events, [Event::Timeout]);

        let (reader, mut writer) = UnixStream::pair().unwrap();
        turn.add(&reader, Token(7), Interest::READ).unwrap();
        writer.write_all(b"x").unwrap();
        turn.wait(None, &mut events).unwrap();
        assert_eq!(events, [Event::Ready { token: Token(7), readable: true, writable: false }]);

        turn.remove(&reader).unwrap();
        nix::sys::signal::raise(Number::SIGUSR1).unwrap();
        turn.wait(None, &mut events).unwrap();
        assert_eq!(events, [Event::Signal(Signal::Changed)]);
    }
}
