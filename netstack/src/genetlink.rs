//! Generic netlink: the numbers of families by their names.
use crate::netlink::Socket;
use crate::netlink::builder::{attributes, text, u16_at};
use std::io;

/// `GENL_ID_CTRL`.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// genlmsghdr: command, version, reserved.
pub fn header(command: u8) -> [u8; 4] {
    [command, 1, 0, 0]
}

/// The number of a family, by which its messages go.
///
/// # Errors
/// When the kernel has no such family, refuses or stays silent.
pub fn family(socket: &mut Socket, name: &str) -> io::Result<u16> {
    let mut family = None;
    socket.dump(CONTROLLER, &header(GET_FAMILY), |message| family = family.or(number(message.payload, name)))?;
    family.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the kernel has no {name}")))
}

pub(crate) fn number(payload: &[u8], name: &str) -> Option<u16> {
    let all = || payload.get(4..).map(attributes).into_iter().flatten();
    all().find(|(kind, value)| *kind == FAMILY_NAME && text(value) == name)?;
    all().find(|(kind, _)| *kind == FAMILY_ID).and_then(|(_, value)| u16_at(value, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::builder::{Builder, HEADER};
    use proptest::prelude::*;

    #[test]
    fn a_family_is_found_by_its_whole_name() {
        let answer = |name: &str| {
            let mut builder = Builder::new(1);
            builder.message(CONTROLLER, 0).raw(&header(1)).text(FAMILY_NAME, name);
            builder.bytes(FAMILY_ID, &33u16.to_ne_bytes());
            number(&builder.done()[HEADER..], "wireguard")
        };
        assert_eq!((answer("wireguard"), answer("wireguardx")), (Some(33), None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_met(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = number(&bytes, "ethtool");
        }
    }
}
