//! An update as it comes in.
use super::manifest::{LONGEST, Manifest};
use minisign_verify::{PublicKey, Signature};
use ring::digest::{Context, SHA256};
use std::fmt;
use std::fmt::Write;

/// The first line.
pub const MAGIC: &[u8] = b"weir update 1\n";
/// Lines of a signature, and the bytes that they have at most.
const SIGNATURE_LINES: usize = 4;
const SIGNATURE: usize = 1_024;

/// Why an update is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is another kind of file.
    Foreign,
    /// The manifest cannot be used.
    Manifest(String),
    /// Nobody whom this router trusts has signed it.
    Signature,
    /// It was tried, and was no good.
    Known,
    /// It is older than what this router goes back to.
    Old {
        /// When it was made.
        made: u64,
        /// The oldest that is taken.
        floor: u64,
    },
    /// A part is not what was signed.
    Changed(String),
    /// It ends before its end, after so many bytes.
    Cut(u64),
    /// Something follows its end.
    Long,
    /// It could not be written.
    Sink(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Foreign => f.write_str("this is no update of weir's"),
            Refusal::Manifest(why) => write!(f, "the update's manifest: {why}"),
            Refusal::Signature => f.write_str("the update is signed by none of this router's keys"),
            Refusal::Known => f.write_str(
                "this update was tried and was no good: it is taken once more by `weir update --again` only",
            ),
            Refusal::Old { made, floor } => {
                write!(f, "the update was made at {made}, and this router takes none from before {floor}")
            }
            Refusal::Changed(part) => {
                write!(f, "the update's {part} is not what was signed: it was damaged on its way")
            }
            Refusal::Cut(bytes) => write!(f, "the update ends after {bytes} bytes, before its end"),
            Refusal::Long => f.write_str("something follows the update's end"),
            Refusal::Sink(why) => write!(f, "the update cannot be written: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Where the parts' bytes go: the number of the part, the offset in it, the bytes.
pub type Sink<'a> = &'a mut dyn FnMut(usize, u64, &[u8]) -> Result<(), String>;

struct Body {
    part: usize,
    done: u64,
    sum: Context,
}

/// An update, read in whatever pieces it comes.
pub struct Incoming {
    keys: Vec<PublicKey>,
    floor: u64,
    known: Vec<String>,
    identity: String,
    head: Vec<u8>,
    manifest: Option<Manifest>,
    body: Body,
    taken: u64,
    refused: Option<Refusal>,
}

impl Incoming {
    /// For whom trusts these keys and takes nothing that was made before `floor`, in seconds since 1970.
    pub fn new(keys: Vec<PublicKey>, floor: u64) -> Incoming {
        let body = Body { part: 0, done: 0, sum: Context::new(&SHA256) };
        let (known, identity) = (Vec::new(), String::new());
        Incoming { keys, floor, known, identity, head: Vec::new(), manifest: None, body, taken: 0, refused: None }
    }

    /// Takes none of these, by their [`Incoming::identity`].
    #[must_use]
    pub fn without(mut self, known: Vec<String>) -> Incoming {
        self.known = known;
        self
    }

    /// The SHA-256 of the manifest's line, which names every byte of the update; empty before its signature was right.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The manifest, once its signature was right.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Bytes of the parts that have come.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// More of it. What the parts hold goes to `sink` at once.
    ///
    /// # Errors
    /// Why it is not taken; then it stays so.
    pub fn take(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
        if let Some(refusal) = &self.refused {
            return Err(refusal.clone());
        }
        let result = self.read(bytes, sink);
        self.refused = result.as_ref().err().cloned();
        result
    }

    fn read(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
        if self.manifest.is_some() {
            return self.parts(bytes, sink);
        }
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head_end()? else { return Ok(()) };
        let rest = self.head.split_off(end);
        let (manifest, identity) = self.judge()?;
        (self.manifest, self.identity) = (Some(manifest), identity);
        self.head = Vec::new();
        self.parts(&rest, sink)
    }

    /// Where the head ends: behind the magic line, the manifest's, and those of the signature.
    fn head_end(&self) -> Result<Option<usize>, Refusal> {
        let known = self.head.len().min(MAGIC.len());
        if self.head.get(..known) != MAGIC.get(..known) {
            return Err(Refusal::Foreign);
        }
        let mut ends = self.head.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        // The magic's own end is the first.
        let manifest = ends.nth(1);
        let end = manifest.and_then(|_| ends.nth(SIGNATURE_LINES - 1));
        let so_far = manifest.unwrap_or(self.head.len()) - known;
        if so_far > LONGEST {
            return Err(Refusal::Manifest(format!("longer than {LONGEST} bytes")));
        }
        if manifest.is_some_and(|manifest| end.unwrap_or(self.head.len()) - manifest > SIGNATURE) {
            return Err(Refusal::Signature);
        }
        Ok(end)
    }

    fn judge(&self) -> Result<(Manifest, String), Refusal> {
        let text = std::str::from_utf8(&self.head).map_err(|_| Refusal::Foreign)?;
        let mut lines = text.splitn(3, '\n').skip(1);
        let (line, signature) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let signature = Signature::decode(signature).map_err(|_| Refusal::Signature)?;
        // Before anything of it is believed.
        if !self.keys.iter().any(|key| key.verify(line.as_bytes(), &signature, false).is_ok()) {
            return Err(Refusal::Signature);
        }
        let manifest: Manifest = serde_json::from_str(line).map_err(|error| Refusal::Manifest(error.to_string()))?;
        manifest.check().map_err(Refusal::Manifest)?;
        if manifest.made < self.floor {
            return Err(Refusal::Old { made: manifest.made, floor: self.floor });
        }
        let identity = hex(ring::digest::digest(&SHA256, line.as_bytes()).as_ref());
        if self.known.contains(&identity) {
            return Err(Refusal::Known);
        }
        Ok((manifest, identity))
    }

    fn parts(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> Result<(), Refusal> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        while !bytes.is_empty() {
            let Some(part) = manifest.parts.get(self.body.part) else { return Err(Refusal::Long) };
            let left = usize::try_from(part.bytes - self.body.done).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(left.min(bytes.len()));
            sink(self.body.part, self.body.done, now).map_err(Refusal::Sink)?;
            self.body.sum.update(now);
            self.body.done += now.len() as u64;
            self.taken += now.len() as u64;
            bytes = rest;
            if self.body.done == part.bytes {
                let sum = std::mem::replace(&mut self.body.sum, Context::new(&SHA256)).finish();
                if !hex(sum.as_ref()).eq_ignore_ascii_case(&part.sha256) {
                    return Err(Refusal::Changed(part.name.clone()));
                }
                (self.body.part, self.body.done) = (self.body.part + 1, 0);
            }
        }
        Ok(())
    }

    /// Nothing more comes: whether it was whole.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn finish(&self) -> Result<&Manifest, Refusal> {
        if let Some(refusal) = &self.refused {
            return Err(refusal.clone());
        }
        let whole = self.manifest.as_ref().filter(|manifest| self.body.part == manifest.parts.len());
        whole.ok_or(Refusal::Cut(self.taken + self.head.len() as u64))
    }
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
