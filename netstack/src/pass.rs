//! Messages of a Unix socket that carry a descriptor (unix(7), `SCM_RIGHTS`).
use crate::sys;
use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Sends bytes, and a descriptor with the first of them; how many bytes were taken.
///
/// # Errors
/// When the other side has gone or has no room.
pub fn send(stream: &UnixStream, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    let numbers = [descriptor.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&numbers)];
    Ok(sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Receives bytes, and the descriptor that came with them; further ones are closed.
///
/// # Errors
/// When there is nothing yet or the socket is broken.
pub fn receive(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            descriptors.extend(numbers.into_iter().map(sys::own));
        }
    }
    Ok((message.bytes, descriptors.into_iter().next()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_goes_with_its_message() {
        let (here, there) = UnixStream::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        assert_eq!(send(&here, b"take this\n", reader.as_fd()).unwrap(), 10);
        drop(reader);
        writer.write_all(b"inside").unwrap();
        drop(writer);
        let mut bytes = [0; 64];
        let (count, descriptor) = receive(&there, &mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"take this\n");
        let mut text = String::new();
        std::fs::File::from(descriptor.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        (&here).write_all(b"x").unwrap();
        assert!(receive(&there, &mut bytes).unwrap().1.is_none());
    }
}
