//! What wireshark reads: pcapng (draft-ietf-opsawg-pcapng), little-endian, stamps in nanoseconds, interfaces by name.
use super::ring::Packet;

const ETHERNET: u16 = 1;
/// Block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED: u32 = 6;
/// Options.
const END: u16 = 0;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_DROPCOUNT: u16 = 4;

/// One file in the making.
#[derive(Debug, Default)]
pub struct Writer {
    /// Places of interfaces in the ring, in the order in which the file knows them.
    faces: Vec<usize>,
}

impl Writer {
    /// The head of the file.
    pub fn head(into: &mut Vec<u8>) {
        let mut body = Vec::new();
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&1u16.to_le_bytes());
        body.extend_from_slice(&0u16.to_le_bytes());
        // The section's length is not known.
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        block(into, SECTION, &body);
    }

    /// A packet, before which its interface is described when it is the first of it; `lost` were lost before it.
    pub fn packet(&mut self, into: &mut Vec<u8>, place: usize, name: &str, packet: &Packet, lost: u64) {
        let number = match self.faces.iter().position(|known| *known == place) {
            Some(number) => number,
            None => {
                self.faces.push(place);
                interface(into, name);
                self.faces.len() - 1
            }
        };
        let mut body = Vec::with_capacity(packet.bytes.len() + 64);
        for word in [
            number as u32,
            (packet.at >> 32) as u32,
            packet.at as u32,
            packet.bytes.len() as u32,
            u32::try_from(packet.original).unwrap_or(u32::MAX),
        ] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        padded(&mut body, &packet.bytes);
        if lost > 0 {
            option(&mut body, EPB_DROPCOUNT, &lost.to_le_bytes());
            option(&mut body, END, &[]);
        }
        block(into, ENHANCED, &body);
    }
}

fn interface(into: &mut Vec<u8>, name: &str) {
    let mut body = Vec::new();
    body.extend_from_slice(&ETHERNET.to_le_bytes());
    body.extend_from_slice(&0u16.to_le_bytes());
    body.extend_from_slice(&(netstack::capture::SNAP as u32).to_le_bytes());
    option(&mut body, IF_NAME, name.as_bytes());
    option(&mut body, IF_TSRESOL, &[9]);
    option(&mut body, END, &[]);
    block(into, INTERFACE, &body);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    padded(body, value);
}

fn padded(body: &mut Vec<u8>, value: &[u8]) {
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(into: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() as u32 + 12).to_le_bytes();
    into.extend_from_slice(&kind.to_le_bytes());
    into.extend_from_slice(&length);
    into.extend_from_slice(body);
    into.extend_from_slice(&length);
}
