//! The last packets of all interfaces, bounded by bytes and fair: a storm on one pushes out its own, not the others'.
use std::collections::VecDeque;

/// Bytes that a packet costs besides its own.
const COST: usize = 64;
/// Interfaces that are told apart; of further ones nothing is kept.
const FACES: usize = 64;

/// A frame as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since 1970.
    pub at: u64,
    /// Bytes that it had.
    pub original: usize,
    /// The first of them.
    pub bytes: Box<[u8]>,
}

#[derive(Debug)]
struct Face {
    name: String,
    packets: VecDeque<(u64, Packet)>,
    bytes: usize,
}

/// The ring.
#[derive(Debug)]
pub struct Ring {
    most: usize,
    held: usize,
    faces: Vec<Face>,
    /// The number of the next packet; the first is 0.
    next: u64,
    pushed_out: u64,
}

impl Ring {
    /// One of so many bytes, which are taken as they are needed.
    pub fn new(most: usize) -> Ring {
        Ring { most, held: 0, faces: Vec::new(), next: 0, pushed_out: 0 }
    }

    /// Keeps a packet; the oldest of whoever holds most goes for it.
    pub fn push(&mut self, interface: &str, packet: Packet) {
        let known = self.faces.iter().position(|face| face.name == interface);
        let at = match known {
            Some(at) => at,
            None if self.faces.len() >= FACES => return,
            None => {
                self.faces.push(Face { name: interface.to_owned(), packets: VecDeque::new(), bytes: 0 });
                self.faces.len() - 1
            }
        };
        let size = cost(&packet);
        let Some(face) = self.faces.get_mut(at) else { return };
        face.packets.push_back((self.next, packet));
        face.bytes += size;
        self.held += size;
        self.next += 1;
        while self.held > self.most {
            let Some(largest) = self.faces.iter_mut().max_by_key(|face| face.bytes) else { return };
            let Some((_, oldest)) = largest.packets.pop_front() else { return };
            let size = cost(&oldest);
            largest.bytes -= size;
            self.held -= size;
            self.pushed_out += 1;
        }
    }

    /// The first packet that is still there from a number on: its number, its interface and that one's place.
    pub fn from(&self, number: u64) -> Option<(u64, usize, &str, &Packet)> {
        let first = |(place, face): (usize, &'_ Face)| {
            let at = face.packets.partition_point(|(known, _)| *known < number);
            face.packets.get(at).map(|(known, _)| (*known, place, at))
        };
        let (known, place, at) = self.faces.iter().enumerate().filter_map(first).min()?;
        let face = self.faces.get(place)?;
        face.packets.get(at).map(|(_, packet)| (known, place, face.name.as_str(), packet))
    }

    /// The number that the next packet will have: how many there were.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Of each interface: its name, how many packets are held, and the oldest one's stamp.
    pub fn faces(&self) -> impl Iterator<Item = (&str, usize, u64)> {
        self.faces.iter().filter_map(|face| {
            let (_, oldest) = face.packets.front()?;
            Some((face.name.as_str(), face.packets.len(), oldest.at))
        })
    }

    /// Bytes that are held, and packets that had to go.
    pub fn counts(&self) -> (usize, u64) {
        (self.held, self.pushed_out)
    }
}

fn cost(packet: &Packet) -> usize {
    packet.bytes.len() + COST
}
