//! What the lights show, and how long the button is held. Pure.
use netstack::time::Instant;
use std::time::Duration;

/// So long nobody presses by accident.
pub const HOLD: Duration = Duration::from_secs(10);
/// The lights.
pub const LIGHTS: usize = 3;

/// How the internet is, by diagd's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// It works.
    Fine,
    /// It works, and something is wrong.
    Trouble,
    /// It does not work.
    Broken,
}

impl Level {
    /// Of diagd's word for it.
    pub fn of(word: &str) -> Level {
        match word {
            "fine" | "note" => Level::Fine,
            "trouble" => Level::Trouble,
            "broken" => Level::Broken,
            _ => Level::Unknown,
        }
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// diagd has said so.
    Level(Level),
    /// The button went down.
    Down,
    /// It came up.
    Up,
    /// Time has passed.
    Time,
}

/// The engine.
#[derive(Debug, Default)]
pub struct Engine {
    level: Level,
    down: Option<Instant>,
    opened: bool,
}

impl Engine {
    /// Something happens; whether the first visit is to be opened.
    pub fn handle(&mut self, now: Instant, event: Event) -> bool {
        match event {
            Event::Level(level) => self.level = level,
            // The kernel repeats a key that is held.
            Event::Down => self.down = self.down.or(Some(now)),
            Event::Up => (self.down, self.opened) = (None, false),
            Event::Time => {}
        }
        let held = self.down.is_some_and(|since| since + HOLD <= now);
        held && !std::mem::replace(&mut self.opened, held)
    }

    /// When [`Event::Time`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        self.down.filter(|_| !self.opened).map(|since| since + HOLD)
    }

    /// Running, internet, trouble; all three while the button has been held for long enough.
    pub fn lights(&self) -> [bool; LIGHTS] {
        let works = matches!(self.level, Level::Fine | Level::Trouble);
        let trouble = matches!(self.level, Level::Trouble | Level::Broken);
        if self.opened { [true; LIGHTS] } else { [true, works, trouble] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn the_lights_say_how_the_internet_is() {
        let mut engine = Engine::default();
        assert_eq!(engine.lights(), [true, false, false]);
        for (word, lights) in [
            ("fine", [true, true, false]),
            ("note", [true, true, false]),
            ("trouble", [true, true, true]),
            ("broken", [true, false, true]),
            ("nonsense", [true, false, false]),
        ] {
            assert!(!engine.handle(at(1), Event::Level(Level::of(word))));
            assert_eq!(engine.lights(), lights, "{word}");
        }
    }

    #[test]
    fn ten_seconds_open_once_and_less_not_at_all() {
        let mut engine = Engine::default();
        assert!(!engine.handle(at(100), Event::Down) && !engine.handle(at(109), Event::Up));
        assert_eq!(engine.deadline(), None);
        assert!(!engine.handle(at(200), Event::Down));
        assert_eq!(engine.deadline(), Some(at(210)));
        assert!(!engine.handle(at(205), Event::Down), "repeated by the kernel");
        assert!(!engine.handle(at(209), Event::Time));
        assert!(engine.handle(at(210), Event::Time));
        assert_eq!((engine.lights(), engine.deadline()), ([true; 3], None));
        assert!(!engine.handle(at(300), Event::Time) && !engine.handle(at(300), Event::Down), "once");
        assert!(!engine.handle(at(301), Event::Up));
        assert_eq!(engine.lights(), [true, false, false]);
    }
}
