//! The console of a machine that `weir run` has started: on this terminal, and for one program at a time beside it.
//!
//! What the machine says goes to the terminal and to the program; while a program is connected, the terminal's keys wait.
//! The terminal hands every key to the machine; QEMU itself takes Ctrl-A X.
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Context, Result};

/// Where a program finds the console, in the folder of the machine.
pub const SOCKET: &str = "console.sock";

/// Runs a machine whose console is its standard input and output, until it is switched off.
///
/// # Errors
/// When it cannot be started, or there is no place for the socket.
pub fn attend(command: &Command, folder: &Path) -> Result<ExitStatus> {
    let path = folder.join(SOCKET);
    if path.exists() {
        // The folder is locked: whoever made it is gone.
        std::fs::remove_file(&path).cannot_file("remove", &path)?;
    }
    let listener = UnixListener::bind(&path).cannot_file("listen at", &path)?;
    // A machine whose keyboard is gone would run on for ever.
    let mut tied = Command::new("setpriv");
    tied.arg("--pdeathsig=KILL").arg("--").arg(command.get_program()).args(command.get_args());
    let terminal = Terminal::open();
    let machine = tied.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut machine = machine.cannot(|| format!("run {}", command.get_program().display()))?;
    let status = relay(&mut machine, listener);
    drop(terminal);
    drop(std::fs::remove_file(&path));
    status.cannot(|| "wait for the machine".to_owned())
}

fn relay(machine: &mut Child, listener: UnixListener) -> io::Result<ExitStatus> {
    let keyboard = machine.stdin.take().ok_or_else(|| io::Error::other("no keyboard"))?;
    let mut screen = machine.stdout.take().ok_or_else(|| io::Error::other("no screen"))?;
    // Whoever holds it types.
    let keyboard = Arc::new(Mutex::new(keyboard));
    let program: Arc<Mutex<Option<UnixStream>>> = Arc::default();
    let typed = Arc::clone(&keyboard);
    // Both threads end with the process.
    std::thread::spawn(move || copy_keys(&mut io::stdin().lock(), &typed));
    let (typed, heard) = (Arc::clone(&keyboard), Arc::clone(&program));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut keyboard = typed.lock().unwrap_or_else(PoisonError::into_inner);
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = client.try_clone().ok();
            drop(io::copy(&mut client, &mut Flushed(&mut keyboard)));
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    });
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        let mut terminal = io::stdout().lock();
        terminal.write_all(&buffer[..count])?;
        terminal.flush()?;
        let mut program = program.lock().unwrap_or_else(PoisonError::into_inner);
        if program.as_mut().is_some_and(|program| program.write_all(&buffer[..count]).is_err()) {
            *program = None;
        }
    }
    machine.wait()
}

fn copy_keys(from: &mut impl Read, to: &Mutex<ChildStdin>) {
    let mut buffer = [0; 256];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut keyboard = to.lock().unwrap_or_else(PoisonError::into_inner);
        if keyboard.write_all(&buffer[..count]).and_then(|()| keyboard.flush()).is_err() {
            return;
        }
    }
}

/// Every write goes out at once.
struct Flushed<'a>(&'a mut ChildStdin);

impl Write for Flushed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.0.flush().map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A terminal that passes every key on; as it was before when the value goes.
struct Terminal(Option<String>);

impl Terminal {
    fn open() -> Terminal {
        let before = io::stdin().is_terminal().then(|| stty(&["-g"])).flatten();
        if before.is_some() {
            drop(stty(&["raw", "-echo"]));
        }
        Terminal(before)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            drop(stty(&[before.trim()]));
        }
    }
}

fn stty(words: &[&str]) -> Option<String> {
    let output = Command::new("stty").args(words).stdin(Stdio::inherit()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
