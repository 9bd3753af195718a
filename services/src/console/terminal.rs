//! The two ends of the terminal. A tty is written on descriptor 0, because PID 1 keeps what is written to stdout in a
//! ring; two pipes, as in a test, are stdin and stdout.
use crate::house::Failure;
use netstack::event::{Interest, Loop, Token};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{InputFlags, LocalFlags, OutputFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{read, write};
use std::io::{self, Stdin, Stdout};
use std::os::fd::AsFd;

/// The token of the end that is read (and, being a tty, written).
pub const INPUT: Token = Token(0);
/// The token of the end that is only written.
pub const OUTPUT: Token = Token(1);

/// A terminal, put into the mode that the line editor wants; as it was, once the value is gone.
pub struct Terminal {
    input: Stdin,
    output: Stdout,
    tty: Option<Termios>,
    watched: (bool, bool),
}

impl Terminal {
    /// Takes over descriptors 0 and 1.
    ///
    /// # Errors
    /// When descriptor 0 is not open.
    pub fn open() -> Result<Terminal, Failure> {
        let mut terminal = Terminal { input: io::stdin(), output: io::stdout(), tty: None, watched: (false, false) };
        set_blocking(&terminal.input, false).map_err(Failure::during("descriptor 0"))?;
        match tcgetattr(&terminal.input) {
            Ok(before) => {
                let mut raw = before.clone();
                // Bytes as they are typed, none shown and none taken for a signal or for flow control; "\n" in the
                // output still becomes CR LF, which PID 1's own lines need as well.
                raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN);
                raw.input_flags.remove(InputFlags::ICRNL | InputFlags::INLCR | InputFlags::IXON | InputFlags::ISTRIP);
                raw.output_flags.insert(OutputFlags::OPOST | OutputFlags::ONLCR);
                tcsetattr(&terminal.input, SetArg::TCSANOW, &raw).map_err(Failure::during("the terminal's mode"))?;
                terminal.tty = Some(before);
            }
            Err(_) => set_blocking(&terminal.output, false).map_err(Failure::during("descriptor 1"))?,
        }
        Ok(terminal)
    }

    /// Whether it is a terminal, rather than two pipes.
    pub fn is_tty(&self) -> bool {
        self.tty.is_some()
    }

    /// Watches what is of interest now: input always, output while something waits to be written.
    ///
    /// # Errors
    /// When a descriptor cannot be waited for, as `/dev/null` and files cannot.
    pub fn watch(&mut self, turn: &Loop, open: bool, writing: bool) -> io::Result<()> {
        if self.watched == (open, writing) {
            return Ok(());
        }
        let (was_open, was_writing) = std::mem::replace(&mut self.watched, (open, writing));
        if self.tty.is_some() {
            let interest = match (open, writing) {
                (false, _) => return if was_open { turn.remove(&self.input) } else { Ok(()) },
                (true, true) => Interest::BOTH,
                (true, false) => Interest::READ,
            };
            return if was_open {
                turn.modify(&self.input, INPUT, interest)
            } else {
                turn.add(&self.input, INPUT, interest)
            };
        }
        match (was_open, open) {
            (false, true) => turn.add(&self.input, INPUT, Interest::READ)?,
            (true, false) => turn.remove(&self.input)?,
            _ => {}
        }
        match (was_writing, writing) {
            (false, true) => turn.add(&self.output, OUTPUT, Interest::WRITE),
            (true, false) => turn.remove(&self.output),
            _ => Ok(()),
        }
    }

    /// Reads what was typed; 0 = the end.
    ///
    /// # Errors
    /// As of read(2); `WouldBlock` when nothing was typed.
    pub fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(read(&self.input, bytes)?)
    }

    /// Writes some bytes, as many as the terminal takes now.
    ///
    /// # Errors
    /// As of write(2); `WouldBlock` when it takes none.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = if self.tty.is_some() { write(&self.input, bytes) } else { write(&self.output, bytes) };
        Ok(written?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nobody is left to tell when this fails.
        let _ = set_blocking(&self.input, true);
        match &self.tty {
            Some(before) => drop(tcsetattr(&self.input, SetArg::TCSANOW, before)),
            None => drop(set_blocking(&self.output, true)),
        }
    }
}

fn set_blocking(fd: impl AsFd, blocking: bool) -> Result<(), Errno> {
    let mut flags = OFlag::from_bits_truncate(fcntl(&fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, !blocking);
    fcntl(&fd, FcntlArg::F_SETFL(flags)).map(drop)
}
