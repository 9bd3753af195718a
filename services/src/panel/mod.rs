//! panel: the lights and the button of the box.
//!
//! A PC Engines APU has three lights and a button (the kernel's `pcengines-apuv2`): light 1 is on while the router runs,
//! 2 while the internet works, 3 while something is wrong, by diagd's verdict. Held for ten seconds (then all three are
//! on), the button has webd forget the password and open the first visit: whoever can reach the box may begin anew.
//! Where there are no lights and no button the service has nothing to do.
//!
//! Reads `/run/diagd/state.json` (start, `SIGUSR1`) and `KEY_RESTART` of `/dev/input/event*`; writes
//! `/sys/class/leds/apu:green:*/brightness`; asks webd `{"op":"visit"}`. Ports: none. Files of its own: none.
mod engine;

use crate::house::question::Question;
use crate::house::{Failure, House};
use crate::perm::file;
use engine::{Engine, Level};
use netstack::event::{Event, Interest, Loop, Signal, Token};
use netstack::time::Instant;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// `struct input_event` of a 64-bit kernel: a time of 16 bytes, type, code, value.
const RECORD: usize = 24;
/// `EV_KEY`, and what the APU's driver calls its button.
const KEY: u16 = 1;
const KEY_RESTART: u16 = 0x198;
const WEBD: Token = Token(1 << 8);
/// How long webd may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

struct Panel {
    house: House,
    engine: Engine,
    lights: Vec<(PathBuf, Option<bool>)>,
    buttons: Vec<File>,
    asked: Option<(Question, Instant)>,
}

/// Runs the service.
///
/// # Errors
/// When a flag is wrong or the kernel gives no descriptor; never for want of lights.
pub fn run(house: House) -> Result<(), Failure> {
    if let Some(flag) = house.flags().next().map_err(Failure::during("flags"))? {
        return Err(Failure::new(format!("flags: {}", flag.unexpected())));
    }
    let mut turn = Loop::new().map_err(Failure::during("event loop"))?;
    let lights = rights::LIGHTS.iter().map(|path| house.path(path)).filter(|path| path.exists());
    let lights = lights.map(|path| (path, None)).collect();
    let buttons = rights::BUTTONS.iter().filter_map(|path| open(&house.path(path))).collect();
    let mut panel = Panel { house, engine: Engine::default(), lights, buttons, asked: None };
    for (at, button) in panel.buttons.iter().enumerate() {
        turn.add(button, Token(at as u64), Interest::READ)?;
    }
    panel.look(Instant::now());
    panel.house.ready();
    let mut events = Vec::new();
    loop {
        let patience = panel.asked.as_ref().map(|(_, until)| *until);
        turn.wait(panel.engine.deadline().into_iter().chain(patience).min(), &mut events)?;
        let now = Instant::now();
        for event in &events {
            match event {
                Event::Signal(Signal::Terminate) => return Ok(()),
                Event::Signal(Signal::Changed) => panel.look(now),
                Event::Signal(Signal::Second) | Event::Timeout => {}
                Event::Ready { token: WEBD, .. } => panel.answered(),
                Event::Ready { token, .. } => panel.pressed(&turn, now, token.0 as usize),
            }
        }
        panel.handle(&turn, now, engine::Event::Time);
        if panel.asked.as_ref().is_some_and(|(_, until)| *until <= now) {
            log::error!("the button: webd does not answer");
            panel.asked = None;
        }
    }
}

/// A device that can be waited for.
fn open(path: &std::path::Path) -> Option<File> {
    let opened = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC).open(path);
    match opened {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            log::warn!("{}: {error}", path.display());
            None
        }
    }
}

impl Panel {
    /// What diagd has said last.
    fn look(&mut self, now: Instant) {
        let bytes = file::read(&self.house.path(rights::VERDICT)).ok().flatten().unwrap_or_default();
        let said: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let word = said.get("level").and_then(serde_json::Value::as_str).unwrap_or_default();
        self.engine.handle(now, engine::Event::Level(Level::of(word)));
        self.show();
    }

    fn pressed(&mut self, turn: &Loop, now: Instant, at: usize) {
        let mut bytes = [0; RECORD * 16];
        let Some(button) = self.buttons.get_mut(at) else { return };
        let count = match button.read(&mut bytes) {
            Ok(count) if count > 0 => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            // Pulled out, or the end of a file.
            _ => {
                let _ = turn.remove(&*button);
                return;
            }
        };
        for event in keys(bytes.get(..count).unwrap_or_default()) {
            self.handle(turn, now, event);
        }
    }

    fn handle(&mut self, turn: &Loop, now: Instant, event: engine::Event) {
        if self.engine.handle(now, event) {
            log::warn!("the button was held for 10 s: the password is forgotten, the page takes another");
            let asked =
                Question::ask(&self.house.path("/run/webd.sock"), "{\"op\":\"visit\"}\n").and_then(|question| {
                    turn.add(&question.stream, WEBD, Interest::READ)?;
                    Ok(question)
                });
            match asked {
                Ok(question) => self.asked = Some((question, now + PATIENCE)),
                Err(error) => log::error!("the button: webd cannot be asked: {error}"),
            }
        }
        self.show();
    }

    fn answered(&mut self) {
        let Some((question, _)) = &mut self.asked else { return };
        let mut lines = Vec::new();
        let open = question.read(&mut lines);
        if let Some(line) = lines.first() {
            let said: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            if let Some(why) = said.get("error").and_then(serde_json::Value::as_str) {
                log::error!("the button: webd says: {why}");
            }
        }
        if !lines.is_empty() || !matches!(open, Ok(true)) {
            self.asked = None;
        }
    }

    /// Lights that are not as they should be.
    fn show(&mut self) {
        let wanted = self.engine.lights();
        for ((path, shown), wanted) in self.lights.iter_mut().zip(wanted) {
            if *shown != Some(wanted) {
                if let Err(error) = std::fs::write(&*path, if wanted { "1\n" } else { "0\n" }) {
                    log::warn!("{}: {error}", path.display());
                }
                // One that cannot be lit is not complained of again until it should change.
                *shown = Some(wanted);
            }
        }
    }
}

/// The button's events among the records of an input device.
fn keys(bytes: &[u8]) -> impl Iterator<Item = engine::Event> + '_ {
    bytes.as_chunks::<RECORD>().0.iter().filter_map(|record| {
        let [.., kind_low, kind_high, code_low, code_high, a, b, c, d] = *record;
        let (kind, code) = (u16::from_ne_bytes([kind_low, kind_high]), u16::from_ne_bytes([code_low, code_high]));
        let up = i32::from_ne_bytes([a, b, c, d]) == 0;
        let event = if up { engine::Event::Up } else { engine::Event::Down };
        (kind == KEY && code == KEY_RESTART).then_some(event)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_button_counts() {
        let record = |kind: u16, code: u16, value: i32| {
            [&[7; 16][..], &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
        };
        let bytes = [record(1, 0x198, 1), record(0, 0, 0), record(1, 30, 1), record(1, 0x198, 2), record(1, 0x198, 0)];
        let mut bytes = bytes.concat();
        bytes.extend([1; 23]);
        let found: Vec<_> = keys(&bytes).collect();
        assert_eq!(found, [engine::Event::Down, engine::Event::Down, engine::Event::Up]);
    }
}
