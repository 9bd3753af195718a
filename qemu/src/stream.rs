//! One connection from the LAN to a server on the internet, held open for as long as a test likes.
use crate::bed::{Bed, SERVER};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// Longer than any byte takes; it only ends a wait that would be for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// How much a download brings before it is looked at again: more than the sockets of both sides hold.
const PART: usize = 1 << 20;

/// A download that goes on for ever, and both its ends.
#[derive(Debug)]
pub struct Download {
    client: TcpStream,
    server: TcpStream,
}

impl Download {
    /// Connects through the router, which must route already.
    pub fn begin(bed: &Bed) -> Download {
        let server: Ipv4Addr = SERVER.parse().unwrap();
        let listener = bed.isp.run(move || TcpListener::bind((server, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = bed.lan.run(move || TcpStream::connect((server, port))).expect("a connection through the router");
        let (server, _) = listener.accept().unwrap();
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket.set_write_timeout(Some(LIMIT)).unwrap();
        }
        Download { client, server }
    }

    /// Whom the server takes for its client.
    pub fn seen_as(&self) -> String {
        self.server.peer_addr().unwrap().ip().to_string()
    }

    /// The largest payload of a packet that the server sends, in bytes, options of TCP left out.
    pub fn segment(&self) -> u32 {
        nix::sys::socket::getsockopt(&self.server, nix::sys::socket::sockopt::TcpMaxSeg).unwrap()
    }

    /// Moves another MiB over the connection, after a question from the LAN.
    pub fn go_on(&mut self) {
        let mut question = [0; 4];
        self.client.write_all(b"more").unwrap();
        self.server.read_exact(&mut question).expect("the connection no longer goes out");
        let (server, mut answer) = (&mut self.server, vec![0; PART]);
        std::thread::scope(|scope| {
            scope.spawn(|| server.write_all(&[7; PART]));
            self.client.read_exact(&mut answer).expect("the connection no longer comes in");
        });
        assert!(answer.iter().all(|byte| *byte == 7), "the download has other bytes");
    }
}
