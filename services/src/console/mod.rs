//! console: a prompt on the serial line, for whoever stands before the box.
//!
//! Enter gives the prompt `weir> `; until then nothing is printed. There is no shell and no external program: the words
//! that `help` lists are all there is. The router does not wait for the console: the terminal is never blocked on, what
//! waits for it is bounded (64 KiB, what does not fit is dropped and the loss is shown), a line is 256 bytes at most,
//! and any byte may come.
//!
//! What it shows comes from four places, each of which it may only read: the kernel (interfaces, addresses and routes,
//! by rtnetlink), files (`/perm/dhcp4d/leases.json`, portforwardings.json), netconfigd's page of counters, and PID 1 (`/run/init.sock`: services, logs, the kernel's messages). What
//! it does, PID 1 does for it: restart a service, reboot, power off; files that are typed go to configd; diagd tells whether
//! the internet works, and sends echoes for it. The service has no capability.
//!
//! Under PID 1 descriptor 0 is the serial line, read and written; by hand it is the terminal, or stdin and stdout.
//! Files written: none. Ports: none.
mod engine;
mod firewall;
#[cfg(feature = "hostile")]
pub(crate) mod hostile;
mod look;
mod terminal;
#[cfg(test)]
mod tests;

use crate::house::question::Question;
use crate::house::{Failure, House};
use crate::perm::{WallTime, file, leases};
use engine::{Session, Wish};
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::time::Instant;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use terminal::{INPUT, OUTPUT, Terminal};

const ANSWER: Token = Token(2);
/// How long PID 1 may take for the next line of an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// It can be read.
    Open,
    /// The pipe's writer has gone, or the line was hung up: what was asked is still answered.
    Ended,
    /// Descriptor 0 is no terminal at all.
    Never,
}

struct Console {
    house: House,
    turn: Loop,
    terminal: Terminal,
    session: Session,
    question: Option<Question>,
    /// Whether the connection to PID 1 is being watched: not while the terminal is behind.
    listening: bool,
    input: Input,
    asked: Instant,
    /// When the session wants to go on by itself.
    wake: Option<Instant>,
}

/// Runs the service.
pub fn run(house: House) -> Result<(), Failure> {
    let turn = Loop::new()?;
    let terminal = Terminal::open()?;
    let mut session = Session::default();
    session.is_terminal = terminal.is_tty();
    let asked = Instant::now();
    let mut console = Console {
        house,
        turn,
        terminal,
        session,
        question: None,
        listening: false,
        input: Input::Open,
        asked,
        wake: None,
    };
    if let Err(error) = console.terminal.watch(&console.turn, true, false) {
        log::info!("descriptor 0 is no terminal ({error}): nobody can type here");
        console.input = Input::Never;
    }
    console.house.ready();
    console.serve()
}

impl Console {
    fn serve(&mut self) -> Result<(), Failure> {
        let mut events = Vec::new();
        loop {
            self.write();
            self.listen();
            let writing = !self.session.output.is_empty();
            if self.input != Input::Never {
                let open = self.input == Input::Open;
                self.terminal.watch(&self.turn, open, writing).map_err(Failure::during("the terminal"))?;
            }
            if self.input == Input::Ended && !writing && !self.session.waits() {
                return Ok(());
            }
            let waits = self.question.is_some() && self.session.waits() && self.listening;
            let patience = waits.then(|| self.asked + PATIENCE);
            let deadline = patience.into_iter().chain(self.wake).min();
            self.turn.wait(deadline, &mut events)?;
            let woken = self.wake.take_if(|at| *at <= Instant::now()).is_some();
            if woken {
                let wishes = self.session.wake();
                self.grant(wishes);
            }
            for event in &events {
                match event {
                    Event::Signal(Signal::Terminate) => return Ok(()),
                    Event::Signal(_) => {}
                    Event::Timeout if !woken && waits => self.broken("no answer within 5 s"),
                    Event::Timeout => {}
                    Event::Ready { token: INPUT, readable: true, .. } => self.read()?,
                    Event::Ready { token: ANSWER, readable: true, .. } => self.answer(),
                    Event::Ready { token: OUTPUT | INPUT | Token(_), .. } => {}
                }
            }
        }
    }

    fn read(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 256];
        match self.terminal.read(&mut bytes) {
            Ok(0) => {
                self.input = Input::Ended;
                // Nobody can press a key any more.
                self.session.is_terminal = false;
            }
            Ok(count) => {
                let wishes = self.session.input(&bytes[..count]);
                self.grant(wishes);
            }
            Err(error) if again(&error) => {}
            Err(error) => return Err(Failure::during("reading the terminal")(error)),
        }
        Ok(())
    }

    fn write(&mut self) {
        while !self.session.output.is_empty() {
            match self.terminal.write(self.session.output.front()) {
                Ok(count) => self.session.output.written(count),
                Err(error) if again(&error) => return,
                // Nobody reads any more; the end is told by the next read.
                Err(_) => self.session.output.written(usize::MAX),
            }
        }
    }

    // PID 1's lines wait in the socket while the terminal is behind.
    fn listen(&mut self) {
        let wanted = self.session.takes_answers();
        let Some(question) = self.question.as_ref().filter(|_| wanted != self.listening) else { return };
        let done = if wanted {
            self.turn.add(&question.stream, ANSWER, Interest::READ)
        } else {
            self.turn.remove(&question.stream)
        };
        self.listening = wanted && done.is_ok();
        self.asked = Instant::now();
    }

    fn answer(&mut self) {
        let Some(question) = &mut self.question else { return };
        let mut lines = Vec::new();
        let read = question.read(&mut lines);
        self.asked = Instant::now();
        for line in lines {
            let wishes = self.session.answer(&line);
            let ended = wishes.contains(&Wish::HangUp);
            self.grant(wishes);
            if ended {
                return;
            }
        }
        match read {
            Ok(true) => {}
            Ok(false) => self.broken("it has closed the connection"),
            Err(error) => self.broken(&error.to_string()),
        }
    }

    fn broken(&mut self, why: &str) {
        let wishes = self.session.unreachable(why);
        self.hang_up();
        self.grant(wishes);
    }

    fn hang_up(&mut self) {
        (self.question, self.wake) = (None, None);
        self.listening = false;
    }

    fn grant(&mut self, wishes: Vec<Wish>) {
        let mut wishes = VecDeque::from(wishes);
        while let Some(wish) = wishes.pop_front() {
            wishes.extend(match wish {
                Wish::LookAtNetwork => self.session.network(look::network().map_err(|error| error.to_string())),
                Wish::LookAtLeases => {
                    let leases = leases::read(&self.house.path(rights::LEASES)).map_err(|refusal| refusal.to_string());
                    self.session.leases(leases, WallTime::now())
                }
                Wish::LookAtProcesses(pids) => {
                    self.session.processes(look::processes(&pids).map_err(|error| error.to_string()))
                }
                Wish::LookAtInterfaces => {
                    let path = file::in_force(self.house.root(), rights::INTERFACES);
                    let found = file::read(&path).map_err(|error| format!("{}: {error}", path.display()));
                    self.session.interfaces(&path, found)
                }
                Wish::Wake(after) => {
                    self.wake = Some(Instant::now() + after);
                    Vec::new()
                }
                Wish::LookAtFirewall => {
                    let found = firewall::look(self.house.root()).map_err(|error| error.to_string());
                    self.session.firewall(found)
                }
                Wish::HangUp => {
                    self.hang_up();
                    Vec::new()
                }
                Wish::Ask(peer, request) => match Question::ask(&self.house.path(peer.words().1), &request) {
                    Ok(question) => {
                        self.hang_up();
                        self.question = Some(question);
                        Vec::new()
                    }
                    Err(error) => self.session.unreachable(&error.to_string()),
                },
            });
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
