//! Sockets on every interface that is looked at, and what comes of them.
use super::ring::{Packet, Ring};
use crate::perm::WallTime;
use netstack::capture::{Capture, Filter, SNAP};
use netstack::event::{Interest, Loop, Token};
use std::collections::BTreeMap;

/// Frames that are taken from one socket in one turn.
const TURN: usize = 512;

#[derive(Debug)]
struct Face {
    token: u64,
    index: u32,
    name: String,
    socket: Capture,
}

/// One filter on all interfaces.
#[derive(Debug)]
pub struct Tap {
    filter: Filter,
    faces: Vec<Face>,
    /// Frames that were seen, and those that a socket had no room for, by the interface's name, of sockets that are gone too.
    counts: BTreeMap<String, (u64, u64)>,
}

impl Tap {
    /// On no interface yet.
    pub fn new(filter: Filter) -> Tap {
        Tap { filter, faces: Vec::new(), counts: BTreeMap::new() }
    }

    /// Looks at these interfaces and at no other; `token` gives the next free number.
    pub fn follow(&mut self, turn: &Loop, wanted: &[(u32, String)], mut token: impl FnMut() -> u64) {
        let counts = &mut self.counts;
        self.faces.retain_mut(|face| {
            let stays = wanted.iter().any(|(index, name)| (*index, name) == (face.index, &face.name));
            if !stays {
                counts.entry(face.name.clone()).or_default().1 += face.socket.lost();
            }
            stays
        });
        for (index, name) in wanted {
            if self.faces.iter().any(|face| face.index == *index) {
                continue;
            }
            let token = token();
            let opened = Capture::open(*index, self.filter).and_then(|socket| {
                turn.add(&socket, Token(token), Interest::READ)?;
                Ok(socket)
            });
            match opened {
                Ok(socket) => {
                    self.counts.entry(name.clone()).or_default();
                    self.faces.push(Face { token, index: *index, name: name.clone(), socket });
                }
                Err(error) => log::warn!("{name}: {error}: it is not captured"),
            }
        }
    }

    /// Whether a token is one of its sockets'.
    pub fn owns(&self, token: Token) -> bool {
        self.faces.iter().any(|face| face.token == token.0)
    }

    /// Takes what has come at a socket.
    pub fn receive(&mut self, token: Token, ring: &mut Ring, wanted: impl Fn(&[u8]) -> bool) {
        let Some(face) = self.faces.iter().find(|face| face.token == token.0) else { return };
        let mut buffer = [0; SNAP];
        let mut seen_here = 0;
        for _ in 0..TURN {
            // An interface that went down says so once; the sockets are opened anew when it has gone for good.
            let Ok(Some(seen)) = face.socket.receive(&mut buffer) else { break };
            seen_here += 1;
            let bytes = buffer.get(..seen.length).unwrap_or_default();
            if wanted(bytes) {
                let at = if seen.stamp > 0 { seen.stamp } else { u64::try_from(WallTime::now().nanos()).unwrap_or(0) };
                ring.push(&face.name, Packet { at, original: seen.original, bytes: bytes.into() });
            }
        }
        self.counts.entry(face.name.clone()).or_default().0 += seen_here;
    }

    /// Frames that were seen and lost, by interface.
    pub fn counts(&mut self) -> Vec<(String, u64, u64)> {
        let Tap { faces, counts, .. } = self;
        let all = counts.iter().map(|(name, (seen, lost))| {
            let now = faces.iter_mut().filter(|face| face.name == *name).map(|face| face.socket.lost());
            (name.clone(), *seen, lost + now.sum::<u64>())
        });
        all.collect()
    }
}
