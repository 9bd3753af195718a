//! A file that another service has handed over, on its way to a client.
use crate::house::questions::Said;
use crate::web::{Flow, Source};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};

/// `Content-Type` of pcapng.
pub const KIND: &str = "application/vnd.tcpdump.pcap";
const PIECE: u64 = 32 << 10;

/// The file.
#[derive(Debug)]
pub struct Download(File);

/// The file in an answer.
///
/// # Errors
/// In words, when there is none.
pub fn of(said: Option<Said>) -> Result<Download, String> {
    let (line, descriptor) = said.ok_or("captured does not answer")?;
    let words: Value = serde_json::from_slice(&line).unwrap_or_default();
    match (words["error"].as_str(), descriptor) {
        (None, Some(descriptor)) => Ok(Download(File::from(descriptor))),
        (Some(why), _) => Err(why.to_owned()),
        (None, None) => Err("captured's answer is not understood".into()),
    }
}

impl Source for Download {
    fn more(&mut self, into: &mut Vec<u8>) -> io::Result<Flow> {
        let before = into.len();
        (&mut self.0).take(PIECE).read_to_end(into)?;
        Ok(if into.len() > before { Flow::More } else { Flow::End })
    }
}
