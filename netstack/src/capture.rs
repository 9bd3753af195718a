//! Frames of an interface as they pass, both ways, behind a filter in the kernel.
use crate::packet::{JUMP_EQUAL, JUMP_SET, LD_BYTE, LD_HALF, LD_HALF_INDEXED, LDX_HEADER, RETURN};
use crate::sys::{self, Seen};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const ETH_P_ALL: u16 = libc::ETH_P_ALL as u16;
/// Bytes of a frame that are kept; what the control protocols say is shorter, of the rest the heads count.
pub const SNAP: usize = 2_048;
/// What is asked for; the kernel gives twice `net.core.rmem_max` at most.
const ROOM: usize = 4 << 20;

/// Which frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// router7's: ICMPv6, also as a fragment, and DHCP of both families.
    Control,
    /// TCP and UDP from or to port 53.
    Dns,
    /// All but TCP from or to this port: whoever sends what was captured by it would capture that as well, for ever.
    AllBut(u16),
}

/// Where an instruction leads.
#[derive(Clone, Copy)]
enum To {
    Next,
    At(Label),
    Accept,
    Reject,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Ipv4,
    Ports4,
    Ports6,
    NotIcmp6,
}

/// A classic BPF program in the making: jumps lead to names, which become distances at the end.
#[derive(Default)]
struct Program {
    lines: Vec<(u16, u32, To, To)>,
    labels: Vec<(Label, usize)>,
}

impl Program {
    fn load(&mut self, code: u16, k: u32) {
        self.lines.push((code, k, To::Next, To::Next));
    }

    fn jump(&mut self, code: u16, k: u32, yes: To, no: To) {
        self.lines.push((code, k, yes, no));
    }

    fn label(&mut self, label: Label) {
        self.labels.push((label, self.lines.len()));
    }

    /// Accepts when what was loaded is one of these ports.
    fn ports(&mut self, ports: &[u16]) {
        for port in ports {
            self.jump(JUMP_EQUAL, (*port).into(), To::Accept, To::Next);
        }
    }

    fn finish(self) -> Vec<libc::sock_filter> {
        let end = self.lines.len();
        let distance = |at: usize, to: To| {
            let target = match to {
                To::Next => at + 1,
                To::Accept => end,
                To::Reject => end + 1,
                To::At(label) => {
                    self.labels.iter().find(|(known, _)| *known == label).map_or(end + 1, |(_, line)| *line)
                }
            };
            // No program here is longer than a jump.
            u8::try_from(target.saturating_sub(at + 1)).unwrap_or(u8::MAX)
        };
        let lines = self.lines.iter().enumerate();
        let mut program: Vec<libc::sock_filter> = lines
            .map(|(at, (code, k, yes, no))| {
                let jumps = matches!(*code, JUMP_EQUAL | JUMP_SET);
                let (jt, jf) = if jumps { (distance(at, *yes), distance(at, *no)) } else { (0, 0) };
                libc::sock_filter { code: *code, jt, jf, k: *k }
            })
            .collect();
        program.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: SNAP as u32 });
        program.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 });
        program
    }
}

impl Filter {
    fn program(self) -> Vec<libc::sock_filter> {
        const ICMPV6: u32 = libc::IPPROTO_ICMPV6 as u32;
        const FRAGMENT: u32 = libc::IPPROTO_FRAGMENT as u32;
        const UDP: u32 = libc::IPPROTO_UDP as u32;
        const TCP: u32 = libc::IPPROTO_TCP as u32;
        let (ports, tcp): (&[u16], _) = match self {
            Filter::Control => (&[67, 68, 546, 547], To::Reject),
            Filter::Dns => (&[53], To::Next),
            Filter::AllBut(port) => return all_but(port),
        };
        let mut program = Program::default();
        // Ethernet's type; then IPv6's next header, at byte 6 of the header.
        program.load(LD_HALF, 12);
        program.jump(JUMP_EQUAL, 0x86dd, To::Next, To::At(Label::Ipv4));
        program.load(LD_BYTE, 20);
        if self == Filter::Control {
            program.jump(JUMP_EQUAL, ICMPV6, To::Accept, To::Next);
            program.jump(JUMP_EQUAL, FRAGMENT, To::Next, To::At(Label::NotIcmp6));
            program.load(LD_BYTE, 54);
            program.jump(JUMP_EQUAL, ICMPV6, To::Accept, To::Reject);
            program.label(Label::NotIcmp6);
        }
        program.jump(JUMP_EQUAL, UDP, To::At(Label::Ports6), tcp);
        if self == Filter::Dns {
            program.jump(JUMP_EQUAL, TCP, To::Next, To::Reject);
        }
        program.label(Label::Ports6);
        program.load(LD_HALF, 54);
        program.ports(ports);
        program.load(LD_HALF, 56);
        program.ports(ports);
        program.jump(JUMP_EQUAL, 0, To::Reject, To::Reject);
        program.label(Label::Ipv4);
        program.jump(JUMP_EQUAL, 0x0800, To::Next, To::Reject);
        program.load(LD_BYTE, 23);
        program.jump(JUMP_EQUAL, UDP, To::At(Label::Ports4), tcp);
        if self == Filter::Dns {
            program.jump(JUMP_EQUAL, TCP, To::Next, To::Reject);
        }
        program.label(Label::Ports4);
        // A fragment that is not the first has no ports.
        program.load(LD_HALF, 20);
        program.jump(JUMP_SET, 0x1fff, To::Reject, To::Next);
        program.load(LDX_HEADER, 14);
        program.load(LD_HALF_INDEXED, 14);
        program.ports(ports);
        program.load(LD_HALF_INDEXED, 16);
        program.ports(ports);
        program.jump(JUMP_EQUAL, 0, To::Reject, To::Reject);
        program.finish()
    }
}

fn all_but(port: u16) -> Vec<libc::sock_filter> {
    const TCP: u32 = libc::IPPROTO_TCP as u32;
    let port = u32::from(port);
    let mut program = Program::default();
    program.load(LD_HALF, 12);
    program.jump(JUMP_EQUAL, 0x86dd, To::Next, To::At(Label::Ipv4));
    program.load(LD_BYTE, 20);
    program.jump(JUMP_EQUAL, TCP, To::Next, To::Accept);
    program.load(LD_HALF, 54);
    program.jump(JUMP_EQUAL, port, To::Reject, To::Next);
    program.load(LD_HALF, 56);
    program.jump(JUMP_EQUAL, port, To::Reject, To::Accept);
    program.label(Label::Ipv4);
    program.jump(JUMP_EQUAL, 0x0800, To::Next, To::Accept);
    program.load(LD_BYTE, 23);
    program.jump(JUMP_EQUAL, TCP, To::Next, To::Accept);
    program.load(LD_HALF, 20);
    program.jump(JUMP_SET, 0x1fff, To::Accept, To::Next);
    program.load(LDX_HEADER, 14);
    program.load(LD_HALF_INDEXED, 14);
    program.jump(JUMP_EQUAL, port, To::Reject, To::Next);
    program.load(LD_HALF_INDEXED, 16);
    program.jump(JUMP_EQUAL, port, To::Reject, To::Accept);
    program.finish()
}

/// A socket on one interface.
#[derive(Debug)]
pub struct Capture {
    fd: OwnedFd,
    lost: u64,
}

impl Capture {
    /// Opens a socket on an Ethernet interface; needs CAP_NET_RAW.
    ///
    /// # Errors
    /// When the interface is gone or the right is missing.
    pub fn open(index: u32, filter: Filter) -> io::Result<Capture> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Protocol none until the filter stands: an unbound packet socket with a protocol sees every interface.
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        sys::attach_filter(&fd, &filter.program())?;
        sys::set_integer(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        sys::set_integer(&fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        setsockopt(&fd, sockopt::RcvBuf, &ROOM)?;
        sys::bind_packet(fd.as_fd(), ETH_P_ALL, index)?;
        Ok(Capture { fd, lost: 0 })
    }

    /// Takes the next frame into `buffer` (of [`SNAP`] bytes); `None` when there is none.
    ///
    /// # Errors
    /// When the interface went down (told once) or the socket is broken.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Seen>> {
        loop {
            return match sys::receive_seen(self.fd.as_fd(), buffer) {
                Ok(seen) => Ok(Some(seen)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Frames that the socket had no room for since it was opened.
    pub fn lost(&mut self) -> u64 {
        self.lost += u64::from(sys::packet_drops(self.fd.as_fd()));
        self.lost
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program over a frame as the kernel would.
    fn accepts(filter: Filter, frame: &[u8]) -> bool {
        let program = filter.program();
        let byte = |at: usize| frame.get(at).copied().map(u32::from);
        let half = |at: usize| Some(byte(at)? << 8 | byte(at + 1)?);
        let (mut at, mut a, mut x) = (0, 0, 0usize);
        loop {
            let line = program[at];
            let k = line.k as usize;
            let loaded = match line.code {
                LD_HALF => half(k),
                LD_BYTE => byte(k),
                LD_HALF_INDEXED => half(x + k),
                LDX_HEADER => {
                    let Some(first) = byte(k) else { return false };
                    x = 4 * (first as usize & 15);
                    Some(a)
                }
                RETURN => return line.k > 0,
                JUMP_EQUAL => {
                    at += usize::from(if a == line.k { line.jt } else { line.jf });
                    Some(a)
                }
                JUMP_SET => {
                    at += usize::from(if a & line.k != 0 { line.jt } else { line.jf });
                    Some(a)
                }
                other => panic!("{other}"),
            };
            let Some(loaded) = loaded else { return false };
            (a, at) = (loaded, at + 1);
        }
    }

    fn ipv4(protocol: u8, fragment: u16, words: u8, source: u16, destination: u16) -> Vec<u8> {
        let mut frame = vec![0; 14 + 4 * usize::from(words) + 8];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x40 | words;
        frame[20..22].copy_from_slice(&fragment.to_be_bytes());
        frame[23] = protocol;
        let ports = 14 + 4 * usize::from(words);
        frame[ports..ports + 2].copy_from_slice(&source.to_be_bytes());
        frame[ports + 2..ports + 4].copy_from_slice(&destination.to_be_bytes());
        frame
    }

    fn ipv6(next: u8, source: u16, destination: u16) -> Vec<u8> {
        let mut frame = vec![0; 14 + 40 + 8];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[20] = next;
        frame[54..56].copy_from_slice(&source.to_be_bytes());
        frame[56..58].copy_from_slice(&destination.to_be_bytes());
        frame
    }

    #[test]
    fn the_filters_take_what_they_say() {
        let fragment = ipv6(44, 58 << 8, 0);
        for (frame, control, dns) in [
            (ipv4(17, 0, 5, 68, 67), true, false),
            (ipv4(17, 0, 5, 67, 68), true, false),
            (ipv4(17, 0, 15, 67, 9), true, false),
            (ipv4(17, 0x4000, 5, 9, 67), true, false),
            (ipv4(17, 1, 5, 68, 67), false, false),
            (ipv4(6, 0, 5, 68, 67), false, false),
            (ipv4(17, 0, 5, 9, 53), false, true),
            (ipv4(6, 0, 6, 53, 9), false, true),
            (ipv4(1, 0, 5, 53, 53), false, false),
            (ipv6(58, 9, 9), true, false),
            (fragment, true, false),
            (ipv6(44, 17 << 8, 0), false, false),
            (ipv6(17, 546, 9), true, false),
            (ipv6(17, 9, 547), true, false),
            (ipv6(6, 546, 547), false, false),
            (ipv6(17, 53, 9), false, true),
            (ipv6(6, 9, 53), false, true),
            (ipv6(59, 53, 53), false, false),
            (vec![0; 60], false, false),
        ] {
            assert_eq!((accepts(Filter::Control, &frame), accepts(Filter::Dns, &frame)), (control, dns), "{frame:?}");
            assert!(accepts(Filter::AllBut(5022), &frame));
        }
        for frame in [ipv4(6, 0, 5, 5022, 9), ipv4(6, 0, 15, 9, 5022), ipv6(6, 5022, 9), ipv6(6, 9, 5022)] {
            assert!(!accepts(Filter::AllBut(5022), &frame) && accepts(Filter::AllBut(22), &frame), "{frame:?}");
        }
        assert!(
            accepts(Filter::AllBut(5022), &ipv4(17, 0, 5, 9, 5022))
                && accepts(Filter::AllBut(5022), &ipv4(6, 9, 5, 9, 5022))
        );
    }
}
