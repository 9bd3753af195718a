//! Socket options that nix lacks.
use std::io;
use std::mem::size_of_val;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, AsRawFd};

/// `setsockopt` with a value of plain old data.
fn set<T: Copy>(socket: impl AsFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of_val(value) as libc::socklen_t;
    // SAFETY: `value` is valid for `length` bytes for the whole call, which only reads it.
    let result =
        unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// An option whose value is a C int.
pub fn set_integer(socket: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set(socket, level, name, &value)
}

/// `SO_BINDTODEVICE`: the socket sees this interface only.
pub fn bind_to_device(socket: impl AsFd, interface: &str) -> io::Result<()> {
    let mut name = [0u8; libc::IFNAMSIZ];
    let bytes = interface.as_bytes();
    if bytes.len() >= name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{interface:?} is not an interface name")));
    }
    name[..bytes.len()].copy_from_slice(bytes);
    set(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &name)
}

/// `ICMP6_FILTER` (RFC 3542, section 3.2): only these types come through.
pub fn icmpv6_filter(socket: impl AsFd, types: &[u8]) -> io::Result<()> {
    // linux/icmpv6.h; the bit of a type that is set blocks it.
    const ICMPV6_FILTER: i32 = 1;
    let mut blocked = [u32::MAX; 8];
    for kind in types {
        blocked[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    }
    set(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
}

/// `IPV6_JOIN_GROUP` on an interface.
pub fn join_ipv6(socket: impl AsFd, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
    let request =
        libc::ipv6_mreq { ipv6mr_multiaddr: libc::in6_addr { s6_addr: group.octets() }, ipv6mr_interface: interface };
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, &request)
}

/// `SO_ATTACH_FILTER`: a classic BPF program of at most 4,096 instructions.
pub fn attach_filter(socket: impl AsFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // The kernel copies the program during the call; `program` outlives it.
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}
