//! What an update says of itself.
use layout::{Slot, initrd_of, kernel_of};
use serde::{Deserialize, Serialize};

/// The parts, in their order.
pub const PARTS: [&str; 3] = ["vmlinuz", "initrd.img", "root.squashfs"];
/// The machines that it is for.
pub const MACHINE: &str = "x86_64";
/// The manifest is no longer, in bytes.
pub const LONGEST: usize = 4_096;

/// What is in the file. Fields that a later weir adds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// weir's version.
    pub version: String,
    /// The commit that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When it was made, in seconds since 1970: what is older than a router's floor is refused.
    pub made: u64,
    /// Which machines it is for.
    pub machine: String,
    /// What follows, in this order.
    pub parts: Vec<Part>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// One of [`PARTS`].
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Whether a router can do anything with it.
    ///
    /// # Errors
    /// In words, with the field.
    pub fn check(&self) -> Result<(), String> {
        if self.machine != MACHINE {
            return Err(format!("machine: it is for {:?}, this is {MACHINE}", self.machine));
        }
        let names: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
        if names != PARTS {
            return Err(format!("parts: {names:?}, not {PARTS:?}"));
        }
        let room = [kernel_of(Slot::A).bytes(), initrd_of(Slot::A).bytes(), layout::ROOT_A.bytes()];
        for (part, room) in self.parts.iter().zip(room) {
            if part.bytes == 0 || part.bytes > room {
                return Err(format!("{}: bytes: {} where there is room for 1 to {room}", part.name, part.bytes));
            }
            if part.sha256.len() != 64 || !part.sha256.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(format!("{}: sha256: {:?} is no sum", part.name, part.sha256));
            }
        }
        Ok(())
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}
