//! The running machine: one epoll loop over signals, timers, the services' pipes, the kernel's log and the control
//! socket. What to do about a life or a death is `supervise`'s to decide; this carries it out.
mod ending;
mod install;
mod life;
mod report;
mod requests;
mod sick;

use crate::boot::disk::Disk;
use crate::boot::{Booted, Perm};
use crate::clock;
use crate::cmdline::{Trial, Words};
use crate::console::Console;
use crate::control::server::Server;
use crate::disk::Count;
use crate::kmsg::Kmsg;
use crate::rings::Ring;
use crate::supervise::Supervisor;
use crate::supervise::refuge::Refuge;
use crate::sys;
use crate::watchdog::Watchdog;
use ending::Phase;
use install::Install;
use layout::Slot;
use life::Life;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use rights::SERVICES;
use std::fs::File;
use std::time::Duration;

/// What epoll's numbers mean; pipes and connections count on from theirs.
mod number {
    pub const SIGNALS: u64 = 0;
    pub const TIMER: u64 = 1;
    pub const WATCHDOG: u64 = 2;
    pub const KMSG: u64 = 3;
    pub const LISTENER: u64 = 4;
    pub const LOADED: u64 = 5;
    pub const INSTALL: u64 = 6;
    pub const CONNECTIONS: u64 = 0x100;
    pub const PIPES: u64 = 0x1000;
}

/// Zombies collected and kernel records read in one turn, so that a flood of either leaves the loop turning.
const PER_TURN: usize = 64;
/// When a test's word strikes, after ready.
const TRIAL_MS: u64 = 2_000;
/// How long a slot that may not be started once more has for `ready`: then it is the other one's turn.
const LAST_TRY_MS: u64 = 45_000;
/// The same for a slot on trial, from PID 1's start: the LAN is without its router so long.
const TRIAL_READY_MS: u64 = 15_000;
/// How long a slot on trial has to be judged.
const VERDICT_MS: u64 = 120_000;
/// How long the kernel of a trial may take to be loaded.
const LOAD_MS: u64 = 20_000;

/// Everything PID 1 holds while it runs.
#[derive(Debug)]
pub struct Machine {
    words: Words,
    slot: Option<Slot>,
    disk: Option<Disk>,
    perm: Perm,
    console: Console,
    watchdog: Watchdog,
    epoll: Epoll,
    signals: SignalFd,
    timer: TimerFd,
    /// What the timer is set to.
    armed: Option<u64>,
    supervisor: Supervisor,
    /// Whether this slot may be left because a core service is sick.
    refuge: Refuge,
    /// The slot that was left for that reason.
    left: Option<Slot>,
    lives: Vec<Life>,
    /// One for each row of the table, then the kernel's and that of an installation.
    rings: Vec<Ring>,
    kmsg: Option<Kmsg>,
    server: Option<Server>,
    null: File,
    begun_tsc: u64,
    ready_ms: Option<u64>,
    trial_at: Option<u64>,
    /// When a slot that may not be started once more has to be ready.
    last_try_until: Option<u64>,
    /// Nobody has judged the image that runs, and the other slot is started next.
    on_trial: bool,
    /// When it has to have been judged.
    verdict_until: Option<u64>,
    /// Open while the kernel of a trial is being loaded.
    loading: Option<File>,
    /// When that has taken too long.
    load_until: Option<u64>,
    /// When the spare copy of `/perm` is due.
    copy_at: Option<u64>,
    phase: Phase,
    install: Install,
    /// A turn's bound was reached with zombies left.
    more_dead: bool,
    /// A ring has new lines.
    logged: bool,
}

impl Machine {
    /// Makes the loop; no service runs yet.
    ///
    /// # Errors
    /// When the kernel refuses one of its descriptors.
    pub fn new(booted: Booted, begun_tsc: u64) -> Result<Machine, std::io::Error> {
        let Booted { words, console, watchdog, slot, disk, perm } = booted;
        // Only what the boot loader has counted, or kexec started in its place.
        let counted = disk.as_ref().filter(|_| slot.is_some() && slot == words.slot);
        let count = counted.and_then(|disk| Count::open(disk).ok());
        let on_trial = count.as_ref().and_then(Count::on_trial).is_some_and(|trial| Some(trial) == slot);
        let left = count.as_ref().and_then(Count::left);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mask: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR2].into_iter().collect();
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let input = |number| EpollEvent::new(EpollFlags::EPOLLIN, number);
        epoll.add(&signals, input(number::SIGNALS))?;
        epoll.add(&timer, input(number::TIMER))?;
        epoll.add(watchdog.timer(), input(number::WATCHDOG))?;
        let server = Server::open(&epoll, number::LISTENER, number::CONNECTIONS);
        let server = server.map_err(|error| console.say(format_args!("no control socket: {error}"))).ok();
        Ok(Machine {
            words,
            slot,
            disk,
            perm,
            console,
            watchdog,
            epoll,
            signals,
            timer,
            armed: None,
            supervisor: Supervisor::new(SERVICES.iter().map(|service| rights::CORE.contains(&service.name))),
            refuge: Refuge::new(left.is_some(), clock::now()),
            left,
            lives: SERVICES.iter().map(|_| Life::default()).collect(),
            rings: (0..=rights::INSTALL).map(|_| Ring::default()).collect(),
            kmsg: None,
            server,
            null: File::options().read(true).write(true).open("/dev/null")?,
            begun_tsc,
            ready_ms: None,
            trial_at: None,
            last_try_until: None,
            on_trial,
            verdict_until: None,
            loading: None,
            load_until: None,
            copy_at: None,
            phase: Phase::Serving,
            install: Install::default(),
            more_dead: false,
            logged: false,
        })
    }

    /// Starts everything, and never returns.
    pub fn run(mut self) -> ! {
        let orders = self.supervisor.start_all();
        self.obey(orders);
        self.console.say(format_args!("{} services started", SERVICES.len()));
        self.say_left();
        let now = clock::now();
        self.last_try_until = match self.on_trial {
            true => Some(now + TRIAL_READY_MS),
            false => (self.words.tries == Some(0)).then_some(now + LAST_TRY_MS),
        };
        self.verdict_until = self.on_trial.then_some(now + VERDICT_MS);
        // From here on Ctrl-Alt-Del is a signal to us, an oops is a panic, and a panic restarts the machine.
        let _ = nix::sys::reboot::set_cad_enabled(false);
        let _ = std::fs::write("/proc/sys/kernel/panic_on_oops", "1");
        loop {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.arm();
        let timeout = if self.more_dead { EpollTimeout::ZERO } else { EpollTimeout::NONE };
        let mut events = [EpollEvent::empty(); 32];
        // Only an interruption can fail here, and it means another turn.
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        for event in events.iter().take(count) {
            self.event(event.data(), event.events());
        }
        if std::mem::take(&mut self.more_dead) {
            self.reap();
        }
        if std::mem::take(&mut self.logged)
            && let Some(server) = &mut self.server
        {
            server.flush_followers(&self.rings, &self.epoll);
        }
        self.look_for_sick();
        self.go_on_ending();
    }

    fn event(&mut self, number: u64, events: EpollFlags) {
        match number {
            number::SIGNALS => self.signals(),
            number::TIMER => self.tick(),
            number::WATCHDOG => self.watchdog.feed(),
            number::KMSG => self.kernel_log(PER_TURN),
            number::LOADED => self.loaded(),
            number::INSTALL => self.install_goes_on(),
            number::LISTENER => {
                if let Some(server) = &mut self.server {
                    server.accept(&self.epoll);
                }
            }
            number::PIPES.. => self.pipe(number - number::PIPES),
            number::CONNECTIONS.. => self.connection((number - number::CONNECTIONS) as usize, events),
            _ => {}
        }
    }

    /// Sets the timer to whatever is due next.
    fn arm(&mut self) {
        let own = [self.trial_at, self.last_try_until, self.verdict_until, self.load_until, self.copy_at];
        let others = [self.supervisor.deadline(), self.refuge.deadline(), self.phase.deadline()];
        let due = own.into_iter().chain(others).flatten().min();
        if due == self.armed {
            return;
        }
        let set = match due {
            Some(at) => {
                let at = Expiration::OneShot(TimeSpec::from_duration(Duration::from_millis(at.max(1))));
                self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
        self.armed = due.filter(|_| set.is_ok());
    }

    fn tick(&mut self) {
        // Only clears the timer, which was readable.
        let _ = self.timer.wait();
        self.armed = None;
        let now = clock::now();
        let orders = self.supervisor.tick(now);
        self.obey(orders);
        if self.last_try_until.take_if(|at| *at <= now).is_some() {
            self.console.say("this slot was not ready on its last try");
            self.end(crate::control::End::Reboot);
        }
        if self.verdict_until.take_if(|at| *at <= now).is_some() {
            self.console.say("nobody has judged this slot");
            self.end(crate::control::End::Reboot);
        }
        if self.load_until.is_some_and(|at| at <= now) {
            self.loaded();
        }
        if self.copy_at.take_if(|at| *at <= now).is_some()
            && let Some(disk) = &self.disk
        {
            crate::disk::copy_in_background(disk);
        }
        if self.trial_at.take_if(|at| *at <= now).is_some() {
            self.trial();
        }
    }

    fn signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            use crate::control::End::{PowerOff, Reboot};
            match Signal::try_from(signal.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) => self.reap(),
                Ok(Signal::SIGTERM | Signal::SIGINT) => self.end(Reboot),
                Ok(Signal::SIGUSR2) => self.end(PowerOff),
                _ => {}
            }
        }
    }

    /// Collects the dead: services', and every orphan's.
    fn reap(&mut self) {
        for _ in 0..PER_TURN {
            let Some(child) = sys::peek() else { return };
            match self.supervisor.row_of(child.pid) {
                Some(row) => self.bury(row, child.pid, child.how.to_string()),
                None => self.helper_ended(child.pid),
            }
            sys::collect(child.pid);
        }
        self.more_dead = true;
    }

    /// Reads the kernel's log, from its beginning at the first call.
    fn kernel_log(&mut self, most: usize) {
        if self.kmsg.is_none()
            && let Ok(kmsg) = Kmsg::open()
        {
            // Without epoll the log is read whenever somebody asks for it.
            let _ = self.epoll.add(&kmsg, EpollEvent::new(EpollFlags::EPOLLIN, number::KMSG));
            self.kmsg = Some(kmsg);
        }
        if let (Some(kmsg), Some(ring)) = (&mut self.kmsg, self.rings.get_mut(rights::KERNEL)) {
            kmsg.read(ring, most);
            self.logged = true;
        }
    }

    /// What a test asked for on the kernel's command line.
    fn trial(&self) {
        match self.words.trial {
            #[allow(clippy::panic, reason = "this is what the word is for")]
            Some(Trial::Panic) => panic!("weir.test=panic-after-ready"),
            Some(Trial::Hang) => loop {
                std::thread::park();
            },
            None => {}
        }
    }
}
