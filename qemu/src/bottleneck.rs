//! The provider's line as it is sold: so many bits a second each way, and a long queue in front of it. Frames are passed
//! on in user space, as the host's kernel may have no discipline that could do it.
use crate::namespace::Namespace;
use netstack::event::{Interest, Loop, Token};
use netstack::time::Instant;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A frame, and room for one.
const FRAME: usize = 2_048;
/// How often it is looked whether the line is still wanted.
const TURN: Duration = Duration::from_millis(100);

/// A line between two ports of a namespace; gone with the value.
pub struct Bottleneck {
    stop: Arc<AtomicBool>,
    /// Bytes that have passed: from the first port to the second, and back.
    passed: [Arc<AtomicU64>; 2],
}

impl Bottleneck {
    /// Joins two ports that nothing else joins. `rate` in bits per second, `room` in bytes. What comes to a port has to be
    /// whole: a host at the other end of a cable is not to leave sums and segments to hardware (`ethtool -K`).
    pub fn between(namespace: &Namespace, ports: [&str; 2], rate: u64, room: usize) -> Bottleneck {
        for port in ports {
            let path = format!("/proc/sys/net/ipv6/conf/{port}/disable_ipv6");
            namespace.run(move || std::fs::write(path, "1")).unwrap();
        }
        let line = Bottleneck { stop: Arc::default(), passed: [Arc::default(), Arc::default()] };
        // One for each port: the kernel does not show a socket what it has sent itself.
        let sockets = ports.map(|port| {
            let port = port.to_owned();
            Arc::new(namespace.run(move || open(&port)))
        });
        for (at, passed) in line.passed.iter().enumerate() {
            let (from, to) = (Arc::clone(&sockets[at]), Arc::clone(&sockets[1 - at]));
            let (stop, passed) = (Arc::clone(&line.stop), Arc::clone(passed));
            std::thread::spawn(move || carry(&from, &to, rate, room, &stop, &passed));
        }
        line
    }

    /// Bytes that have passed from the first port to the second, and back.
    pub fn passed(&self) -> [u64; 2] {
        [0, 1].map(|way| self.passed[way].load(Ordering::Relaxed))
    }
}

impl Drop for Bottleneck {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A packet socket that sees every frame of one port.
fn open(port: &str) -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
    let addresses = getifaddrs().unwrap().filter(|address| address.interface_name == port);
    let address = addresses.filter_map(|address| address.address?.as_link_addr().copied()).next();
    bind(fd.as_raw_fd(), &address.unwrap_or_else(|| panic!("{port}: no such port"))).unwrap();
    fd
}

fn carry(from: &OwnedFd, to: &OwnedFd, rate: u64, room: usize, stop: &AtomicBool, passed: &AtomicU64) {
    let mut turn = Loop::new().unwrap();
    turn.add(from, Token(0), Interest::READ).unwrap();
    let (mut queue, mut waiting, mut buffer): (VecDeque<Vec<u8>>, usize, _) = (VecDeque::new(), 0, vec![0; FRAME]);
    // When the line is free again.
    let mut free = Instant::now();
    let mut events = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let idle = Instant::now() + TURN;
        turn.wait(Some(if queue.is_empty() { idle } else { free.min(idle) }), &mut events).unwrap();
        while let Ok(length) = recv(from.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            // What finds no room is lost, as on any line.
            if waiting + length <= room {
                waiting += length;
                queue.push_back(buffer[..length].to_vec());
            }
        }
        let now = Instant::now();
        while free <= now
            && let Some(frame) = queue.pop_front()
        {
            waiting -= frame.len();
            // A frame that the other side does not take is lost, too.
            let _ = send(to.as_raw_fd(), &frame, MsgFlags::empty());
            passed.fetch_add(frame.len() as u64, Ordering::Relaxed);
            let time = Duration::from_nanos(frame.len() as u64 * 8 * 1_000_000_000 / rate);
            // A late thread makes up for a little, an idle line saves nothing.
            free = free.max(now - Duration::from_millis(2)) + time;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_finds_no_room_is_lost_and_the_rest_arrives() {
        let (machine, near, far) = (Namespace::new(), Namespace::new(), Namespace::new());
        machine.veth("one", &near, "eth0");
        machine.veth("two", &far, "eth0");
        for host in [&near, &far] {
            host.output("ethtool", &["-K", "eth0", "tx", "off"]);
        }
        near.ip("addr add 192.0.2.1/24 dev eth0");
        far.ip("addr add 192.0.2.2/24 dev eth0");
        let line = Bottleneck::between(&machine, ["one", "two"], 8_000_000, 100_000);
        let sockets = [(&near, "192.0.2.1:9"), (&far, "192.0.2.2:9")];
        let [near, far] = sockets.map(|(host, at)| host.run(move || UdpSocket::bind(at)).unwrap());
        far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The neighbours know each other.
        near.send_to(&[0], "192.0.2.2:9").unwrap();
        far.recv_from(&mut [0; 9]).unwrap();
        far.send_to(&[0], "192.0.2.1:9").unwrap();
        near.recv_from(&mut [0; 9]).unwrap();
        for _ in 0..200 {
            near.send_to(&[7; 1_358], "192.0.2.2:9").unwrap();
        }
        // A hundredth of a second's worth passes while the burst is sent, and as much again on a busy host.
        let arrived = std::iter::from_fn(|| {
            far.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            far.recv_from(&mut [0; 2_000]).ok()
        });
        let arrived = arrived.count();
        assert!((70..150).contains(&arrived), "{arrived} of 200 frames of 1,400 bytes");
        assert!(line.passed()[0] > 70 * 1_400 && line.passed()[1] > 0);
    }
}
