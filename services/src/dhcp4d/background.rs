//! What the disk takes its time for, beside the event loop: each task a thread that ends with it.
use netstack::event::{Interest, Loop, Token};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A disk that takes longer is waited for no more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The new log is on the disk.
    Log,
    /// leases.json is replaced.
    File,
}

/// Tasks and the news of their ends.
#[derive(Debug)]
pub struct Background {
    news: UnixStream,
    wake: UnixStream,
    results: Receiver<(Task, io::Result<()>)>,
    sender: Sender<(Task, io::Result<()>)>,
}

impl Background {
    /// Its token becomes ready when a task has ended.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn open(events: &Loop, token: Token) -> io::Result<Background> {
        let (news, wake) = UnixStream::pair()?;
        news.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        events.add(&news, token, Interest::READ)?;
        let (sender, results) = channel();
        Ok(Background { news, wake, results, sender })
    }

    /// Begins a task; where there is no thread to have, it is done here and now.
    pub fn start(&self, task: Task, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
        let Ok(mut wake) = self.wake.try_clone() else {
            let _ = self.sender.send((task, work()));
            return;
        };
        let sender = self.sender.clone();
        let done = move || {
            // The receiver lives as long as the process does; a full pipe wakes all the same.
            let _ = sender.send((task, work()));
            let _ = wake.write(&[0]);
        };
        if let Err(error) = std::thread::Builder::new().name("disk".into()).stack_size(64 << 10).spawn(done) {
            let _ = self.sender.send((task, Err(error)));
            let _ = (&self.wake).write(&[0]);
        }
    }

    /// Waits for the next task to end; `None` when none does for a long time.
    pub fn wait(&self) -> Option<(Task, io::Result<()>)> {
        self.results.recv_timeout(PATIENCE).ok()
    }

    /// The tasks that have ended.
    pub fn ended(&mut self) -> Vec<(Task, io::Result<()>)> {
        let mut bytes = [0; 64];
        while matches!(self.news.read(&mut bytes), Ok(1..)) {}
        self.results.try_iter().collect()
    }
}
