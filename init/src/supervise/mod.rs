//! Who shall run, who runs, and when the dead come back: a pure engine. `(now, event) -> orders`, no clock, no process.
mod illness;
pub mod refuge;
#[cfg(test)]
mod tests;

use illness::{Illness, Process};

/// The first wait before a service is started again.
const SHORTEST_MS: u64 = 100;
/// The longest.
const LONGEST_MS: u64 = 30_000;
/// So long ready, and a death counts as the first again.
const HEALTHY_MS: u64 = 60_000;
/// So long without `ready`, and the console hears of it once.
const HUNG_MS: u64 = 30_000;
/// Between TERM and KILL.
const PATIENCE_MS: u64 = 5_000;
/// So many deaths in a row are named on the console; `status` has them all.
const NAMED_DEATHS: u32 = 3;

/// What a service is doing, in the words of the control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs and has not said `ready`.
    Starting,
    /// It runs and is ready.
    Running,
    /// It is dead and will be started again.
    Waiting,
    /// Somebody stopped it.
    Stopped,
}

impl State {
    /// Its word on the control socket.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Stopped => "stopped",
        }
    }
}

/// What the engine wants done. A number is a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Start it, then say [`Supervisor::started`] or [`Supervisor::failed`].
    Start(usize),
    /// TERM to its process group.
    Terminate(usize, i32),
    /// KILL to its process group.
    Kill(usize, i32),
    /// It died and comes back after so many milliseconds: name it on the console.
    NameDeath(usize, u64),
    /// It has run for long without `ready`: name it on the console.
    NameHung(usize),
    /// It is a core service and cannot stay up.
    Sick(usize),
    /// Every row has been ready once. Comes once.
    AllReady,
}

/// What somebody wants of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Run.
    Start,
    /// Do not run.
    Stop,
    /// Stop, then run.
    Restart,
}

/// One service's life so far.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Its process, which also leads its process group.
    pub pid: Option<i32>,
    /// When that process was started.
    pub started_at: u64,
    /// When that process said `ready`.
    pub ready_at: Option<u64>,
    /// Starts after the first.
    pub restarts: u64,
    /// How the last process ended.
    pub last_exit: String,
    ever_started: bool,
    ever_ready: bool,
    wait_ms: u64,
    deaths: u32,
    restart_at: Option<u64>,
    kill_at: Option<u64>,
    hung_named: bool,
    /// Of a core service only.
    illness: Option<Illness>,
    /// What shall happen when the process that was told to end has ended; none: it was not told.
    after_stop: Option<Wish>,
}

impl Row {
    /// Its state.
    pub fn state(&self) -> State {
        match (self.pid, self.ready_at, self.restart_at) {
            (Some(_), Some(_), _) => State::Running,
            (Some(_), None, _) => State::Starting,
            (None, _, Some(_)) => State::Waiting,
            (None, _, None) => State::Stopped,
        }
    }

    /// Whether it is a core service that cannot stay up.
    pub fn is_sick(&self) -> bool {
        self.illness.as_ref().is_some_and(Illness::is_sick)
    }

    fn process(&self) -> Process {
        match self.state() {
            State::Stopped => Process::Unwanted,
            State::Waiting => Process::None,
            State::Starting => Process::Starting(self.started_at),
            State::Running => Process::Ready(self.ready_at.unwrap_or(self.started_at)),
        }
    }

    fn ill_at(&self) -> Option<u64> {
        // Whoever was told to end is neither.
        let wanted = self.after_stop.is_none();
        self.illness.as_ref().filter(|_| wanted).and_then(|illness| illness.deadline(self.process()))
    }

    fn hung_at(&self) -> Option<u64> {
        (self.state() == State::Starting && !self.hung_named).then_some(self.started_at + HUNG_MS)
    }

    /// Begins its end; what comes after depends on the wish.
    fn end(&mut self, row: usize, now: u64, after: Wish) -> Vec<Order> {
        self.restart_at = None;
        if let Some(illness) = &mut self.illness {
            illness.forget();
        }
        let Some(pid) = self.pid else { return Vec::new() };
        self.after_stop = Some(after);
        self.kill_at.get_or_insert(now + PATIENCE_MS);
        vec![Order::Terminate(row, pid)]
    }
}

/// The lives of all services.
#[derive(Debug)]
pub struct Supervisor {
    rows: Vec<Row>,
    all_ready: bool,
    closing: bool,
}

impl Supervisor {
    /// One service for each row of the table, and whether it is a core service; none has been started.
    pub fn new(rows: impl IntoIterator<Item = bool>) -> Supervisor {
        let row = |core: bool| Row { wait_ms: SHORTEST_MS, illness: core.then(Illness::default), ..Row::default() };
        Supervisor { rows: rows.into_iter().map(row).collect(), all_ready: false, closing: false }
    }

    /// All rows, in the table's order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row whose process this is.
    pub fn row_of(&self, pid: i32) -> Option<usize> {
        self.rows.iter().position(|row| row.pid == Some(pid))
    }

    /// Everything at once.
    pub fn start_all(&self) -> Vec<Order> {
        (0..self.rows.len()).map(Order::Start).collect()
    }

    /// A process was started.
    pub fn started(&mut self, number: usize, pid: i32, now: u64) {
        let Some(row) = self.rows.get_mut(number) else { return };
        row.restarts += u64::from(row.ever_started);
        row.ever_started = true;
        row.pid = Some(pid);
        row.started_at = now;
        row.ready_at = None;
        row.restart_at = None;
        row.kill_at = None;
        row.hung_named = false;
        row.after_stop = None;
    }

    /// A process could not even be started.
    pub fn failed(&mut self, number: usize, why: String, now: u64) -> Vec<Order> {
        self.ended(number, why, now)
    }

    /// The service's process has ended, for whatever reason.
    pub fn ended(&mut self, number: usize, how: String, now: u64) -> Vec<Order> {
        let closing = self.closing;
        let Some(row) = self.rows.get_mut(number) else { return Vec::new() };
        let healthy = row.ready_at.is_some_and(|at| now.saturating_sub(at) >= HEALTHY_MS);
        let process = row.process();
        row.pid = None;
        row.ready_at = None;
        row.kill_at = None;
        row.last_exit = how;
        if closing {
            return Vec::new();
        }
        match row.after_stop.take() {
            Some(Wish::Stop) => Vec::new(),
            Some(Wish::Start | Wish::Restart) => vec![Order::Start(number)],
            None => {
                if healthy {
                    row.wait_ms = SHORTEST_MS;
                    row.deaths = 0;
                }
                let wait = row.wait_ms;
                row.restart_at = Some(now + wait);
                row.wait_ms = (wait * 2).min(LONGEST_MS);
                row.deaths += 1;
                let sick = row.illness.as_mut().is_some_and(|illness| illness.died(process, now));
                let named = (row.deaths <= NAMED_DEATHS).then_some(Order::NameDeath(number, wait));
                named.into_iter().chain(sick.then_some(Order::Sick(number))).collect()
            }
        }
    }

    /// The service has said `ready`.
    pub fn ready(&mut self, number: usize, now: u64) -> Vec<Order> {
        let Some(row) = self.rows.get_mut(number).filter(|row| row.pid.is_some()) else { return Vec::new() };
        row.ready_at.get_or_insert(now);
        row.ever_ready = true;
        let first = !self.all_ready && self.rows.iter().all(|row| row.ever_ready);
        self.all_ready |= first;
        if first { vec![Order::AllReady] } else { Vec::new() }
    }

    /// Somebody wants something of a service.
    pub fn wish(&mut self, number: usize, wish: Wish, now: u64) -> Vec<Order> {
        if self.closing {
            return Vec::new();
        }
        let Some(row) = self.rows.get_mut(number) else { return Vec::new() };
        match (wish, row.pid) {
            (Wish::Stop, _) => row.end(number, now, Wish::Stop),
            (Wish::Restart, Some(_)) => row.end(number, now, Wish::Restart),
            (Wish::Start, Some(_)) => {
                // Wanted again before its stop was over: it comes back at once.
                row.after_stop = row.after_stop.map(|_| Wish::Start);
                Vec::new()
            }
            (Wish::Start | Wish::Restart, None) => {
                row.restart_at = None;
                row.wait_ms = SHORTEST_MS;
                row.deaths = 0;
                if let Some(illness) = &mut row.illness {
                    illness.forget();
                }
                vec![Order::Start(number)]
            }
        }
    }

    /// The machine stops: all end, none comes back.
    pub fn close(&mut self, now: u64) -> Vec<Order> {
        self.closing = true;
        self.rows.iter_mut().enumerate().flat_map(|(number, row)| row.end(number, now, Wish::Stop)).collect()
    }

    /// Whether no service has a process.
    pub fn is_idle(&self) -> bool {
        self.rows.iter().all(|row| row.pid.is_none())
    }

    /// When [`Supervisor::tick`] is wanted next.
    pub fn deadline(&self) -> Option<u64> {
        self.rows.iter().flat_map(|row| [row.restart_at, row.kill_at, row.hung_at(), row.ill_at()]).flatten().min()
    }

    /// What has fallen due.
    pub fn tick(&mut self, now: u64) -> Vec<Order> {
        let mut orders = Vec::new();
        for (number, row) in self.rows.iter_mut().enumerate() {
            if row.restart_at.take_if(|at| *at <= now).is_some() {
                orders.push(Order::Start(number));
            }
            if row.kill_at.take_if(|at| *at <= now).is_some() {
                orders.extend(row.pid.map(|pid| Order::Kill(number, pid)));
            }
            if row.hung_at().is_some_and(|at| at <= now) {
                row.hung_named = true;
                orders.push(Order::NameHung(number));
            }
            let process = row.process();
            if row.ill_at().is_some_and(|at| at <= now)
                && let Some(illness) = &mut row.illness
                && illness.tick(process, now)
            {
                orders.push(Order::Sick(number));
            }
        }
        orders
    }
}
