//! What a person has written, out of a backup that a browser sends: looked at entry by entry, checked by configd, and in force
//! on trial as any change is. Leases, keys and passwords stay the router's own: their services write them, and nobody else.
use crate::check;
use crate::restore::{Entry, read_up_to};
use crate::web::Sink;
use netstack::event::Token;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

/// Bytes of a backup that is taken here, of all that is in it, and of one file of a person's.
pub const LARGEST: u64 = 8 << 20;
const UNPACKED: u64 = 64 << 20;
const FILE: u64 = 1 << 20;
/// Seconds of its trial: the address at home may be another one.
const CONFIRM: u64 = 300;

/// A backup on its way.
#[derive(Debug)]
pub struct Restored {
    /// The connection of the browser.
    pub asker: Token,
    come: Rc<RefCell<Come>>,
}

#[derive(Debug, Default)]
struct Come {
    bytes: Vec<u8>,
    whole: bool,
}

/// The end of it that the browser's connection holds.
#[derive(Debug)]
struct End(Rc<RefCell<Come>>);

impl Restored {
    /// One that begins to come, and where it goes.
    pub fn begin(asker: Token) -> (Restored, Box<dyn Sink>) {
        let come = Rc::default();
        (Restored { asker, come: Rc::clone(&come) }, Box::new(End(come)))
    }

    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        self.come.borrow().whole
    }

    /// The trial to ask configd for.
    ///
    /// # Errors
    /// In words, with the entry's name: see [`crate::restore::read`]; or there is nothing in it that a person writes.
    pub fn question(&self) -> Result<String, String> {
        let files = files(&self.come.borrow().bytes)?;
        if files.is_empty() {
            return Err("there is nothing in it that a person writes".into());
        }
        Ok(format!("{}\n", json!({"op": "try", "files": files, "confirm": CONFIRM})))
    }
}

fn files(backup: &[u8]) -> Result<Map<String, Value>, String> {
    let mut files = Map::new();
    read_up_to(backup, UNPACKED, |entry| {
        let Entry::File(path, content) = entry else { return Ok(()) };
        let Some(name) = path.to_str().filter(|name| check::known(name).is_some()) else { return Ok(()) };
        let mut text = String::new();
        let length = content.take(FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if length as u64 > FILE {
            return Err(format!("it has more than {FILE} bytes"));
        }
        match files.insert(name.to_owned(), text.into()) {
            None => Ok(()),
            Some(_) => Err("it comes twice".into()),
        }
    })?;
    Ok(files)
}

impl Sink for End {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn done(&mut self) {
        self.0.borrow_mut().whole = true;
    }
}
