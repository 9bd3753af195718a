//! Datagrams by the dozen: one system call takes or sends up to [`MOST`] of them, into and out of memory that is used
//! again and again.
use crate::sys::{self, NOBODY, Received};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// Datagrams of one call.
pub const MOST: usize = sys::MOST_DATAGRAMS;

/// What came in with one call.
#[derive(Debug)]
pub struct Inbox {
    buffers: Box<[u8]>,
    size: usize,
    received: [Received; MOST],
    count: usize,
}

/// One datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// It was longer than there was room.
    pub cut: bool,
}

impl Inbox {
    /// Room for [`MOST`] datagrams of at most `size` bytes each.
    pub fn new(size: usize) -> Inbox {
        let nothing = Received { length: 0, peer: NOBODY, cut: false };
        Inbox { buffers: vec![0; MOST * size].into_boxed_slice(), size, received: [nothing; MOST], count: 0 }
    }

    /// Takes what is there, without waiting; what was taken before is forgotten. Gives how many came.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else what the socket has to say of something sent earlier.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.count = 0;
        self.count = sys::receive_many(socket.as_fd(), &mut self.buffers, self.size, &mut self.received)?;
        Ok(self.count)
    }

    /// What came with the last call.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let received = self.received.iter().take(self.count);
        received.zip(self.buffers.chunks_exact(self.size.max(1))).map(|(received, buffer)| Datagram {
            bytes: buffer.get(..received.length).unwrap_or_default(),
            peer: received.peer,
            cut: received.cut,
        })
    }
}

/// What is to go out with one call.
#[derive(Debug)]
pub struct Outbox {
    messages: Vec<(Vec<u8>, Option<SocketAddr>)>,
    count: usize,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox { messages: Vec::with_capacity(MOST), count: 0 }
    }
}

impl Outbox {
    /// Whether the next message needs an [`Outbox::send`] before it.
    pub fn is_full(&self) -> bool {
        self.count >= MOST
    }

    /// The buffer for the next message, with the bytes of an earlier one in it. It counts once it is
    /// [addressed](Outbox::address).
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.messages.len() <= self.count {
            self.messages.push((Vec::new(), None));
        }
        let last = self.messages.len() - 1;
        &mut self.messages[self.count.min(last)].0
    }

    /// Addresses what was written into the buffer: to somebody, or to the socket's own peer.
    pub fn address(&mut self, peer: Option<SocketAddr>) {
        if let Some(message) = self.messages.get_mut(self.count) {
            message.1 = peer;
            self.count += 1;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Sends everything. A message that the kernel does not take is left out: who waits for it asks again.
    pub fn send(&mut self, socket: impl AsFd) {
        let mut done = 0;
        while done < self.count {
            let rest = self.messages.get(done..self.count).unwrap_or_default();
            let datagrams = rest.iter().map(|(bytes, peer)| (bytes.as_slice(), *peer));
            match sys::send_many(socket.as_fd(), datagrams) {
                Ok(sent) => done += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => done += 1,
            }
        }
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn many_come_and_go_with_one_call_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (server, client) = (UdpSocket::bind(address).unwrap(), UdpSocket::bind(address).unwrap());
            client.connect(server.local_addr().unwrap()).unwrap();
            let (mut inbox, mut outbox) = (Inbox::new(8), Outbox::default());
            assert_eq!(inbox.receive(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            for number in 0..3u8 {
                *outbox.buffer() = vec![number; 7 + usize::from(number)];
                outbox.address(None);
            }
            outbox.send(&client);
            assert_eq!(inbox.receive(&server).unwrap(), 3);
            let came: Vec<_> = inbox.datagrams().map(|one| (one.bytes.len(), one.bytes[0], one.cut)).collect();
            assert_eq!(came, [(7, 0, false), (8, 1, false), (8, 2, true)]);
            let peer = inbox.datagrams().next().unwrap().peer;
            assert_eq!(peer, client.local_addr().unwrap());
            outbox.buffer().clear();
            outbox.buffer().extend_from_slice(b"back");
            outbox.address(Some(peer));
            outbox.send(&server);
            assert_eq!(inbox.receive(&client).unwrap(), 1);
            assert_eq!(inbox.datagrams().next().unwrap().bytes, b"back");
        }
    }

    #[test]
    fn one_that_cannot_go_does_not_hold_the_others() {
        let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (mut inbox, mut outbox) = (Inbox::new(100), Outbox::default());
        // Port 0 of the first cannot be sent to.
        for to in ["127.0.0.1:0".parse().unwrap(), server.local_addr().unwrap()] {
            *outbox.buffer() = b"x".to_vec();
            outbox.address(Some(to));
        }
        outbox.send(&client);
        assert_eq!(inbox.receive(&server).unwrap(), 1);
        while !outbox.is_full() {
            outbox.address(None);
            outbox.buffer().clear();
        }
    }
}
