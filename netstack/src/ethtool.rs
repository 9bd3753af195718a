//! What a card's driver is asked beside rtnetlink: forward error correction (IEEE 802.3, clauses 74, 91 and 134).
use crate::genetlink::{family, header};
use crate::netlink::builder::{Builder, attributes, text, u32_at};
use crate::netlink::{Error, Socket};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::collections::BTreeMap;
use std::io;

const NAME: &str = "ethtool";
const FEC_GET: u8 = 29;
const FEC_SET: u8 = 30;
const HEADER: u16 = 1;
const MODES: u16 = 2;
const AUTO: u16 = 3;
/// Within the header.
const DEVICE: u16 = 1;
/// Within a set of bits: it says which are on, and each by its name.
const NO_MASK: u16 = 1;
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;

/// Which codes a card may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fec {
    /// `RS`, `BASER`, `LLRS`, or `None` for none, sorted.
    pub modes: Vec<String>,
    /// The driver chooses.
    pub auto: bool,
}

/// The cards that know of forward error correction, by interface.
///
/// # Errors
/// When the kernel has no ethtool, refuses or stays silent.
pub fn fec() -> io::Result<BTreeMap<u32, Fec>> {
    let mut socket = Socket::open(SockProtocol::NetlinkGeneric)?;
    let family = family(&mut socket, NAME)?;
    let mut all = BTreeMap::new();
    socket.dump(family, &header(FEC_GET), |message| all.extend(parse(message.payload)))?;
    Ok(all)
}

pub(crate) fn parse(payload: &[u8]) -> Option<(u32, Fec)> {
    let (mut index, mut fec) = (None, Fec::default());
    for (kind, value) in attributes(payload.get(4..)?) {
        match kind {
            HEADER => {
                index = attributes(value).find(|(kind, _)| *kind == DEVICE).and_then(|(_, value)| u32_at(value, 0))
            }
            AUTO => fec.auto = value.first().is_some_and(|auto| *auto != 0),
            MODES => {
                let bits = attributes(value).find(|(kind, _)| *kind == BITS).map(|(_, bits)| bits).unwrap_or_default();
                let name = |bit| attributes(bit).find(|(kind, _)| *kind == BIT_NAME).map(|(_, name)| text(name));
                fec.modes = attributes(bits).filter_map(|(_, bit)| name(bit)).collect();
                fec.modes.sort();
            }
            _ => (),
        }
    }
    Some((index?, fec))
}

/// Tells a card which codes it may use.
///
/// # Errors
/// When the driver does not know it, or the kernel refuses.
pub fn set_fec(index: u32, fec: &Fec) -> Result<(), Error> {
    let wrong = |error: io::Error| Error {
        what: format!("forward error correction of interface {index}"),
        errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        words: error.to_string(),
    };
    let mut socket = Socket::open(SockProtocol::NetlinkGeneric).map_err(wrong)?;
    let family = family(&mut socket, NAME).map_err(wrong)?;
    let mut builder = socket.builder();
    builder.message(family, libc::NLM_F_ACK as u16).raw(&header(FEC_SET));
    write(&mut builder, index, fec);
    let first = builder.first();
    socket.send(&mut builder).map_err(wrong)?;
    let refused = socket.acknowledgements(first, 1).map_err(wrong)?;
    refused.into_iter().next().map_or(Ok(()), |refused| {
        let what = format!("forward error correction of interface {index}");
        Err(Error { what, errno: refused.errno, words: refused.words })
    })
}

fn write(builder: &mut Builder, index: u32, fec: &Fec) {
    builder.nest(HEADER, |header| {
        header.u32(DEVICE, index);
    });
    builder.nest(MODES, |modes| {
        modes.bytes(NO_MASK, &[]).nest(BITS, |bits| {
            for mode in &fec.modes {
                bits.nest(BIT, |bit| {
                    bit.text(BIT_NAME, mode);
                });
            }
        });
    });
    builder.u8(AUTO, fec.auto.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_namespace;
    use proptest::prelude::*;
    use std::process::Command;

    #[test]
    fn what_is_written_is_read() {
        for fec in [Fec { modes: vec!["BASER".into(), "RS".into()], auto: false }, Fec { modes: vec![], auto: true }] {
            let mut builder = Builder::new(1);
            builder.message(0, 0).raw(&header(FEC_SET));
            write(&mut builder, 7, &fec);
            assert_eq!(parse(&builder.done()[crate::netlink::builder::HEADER..]), Some((7, fec)));
        }
    }

    #[test]
    fn a_card_that_knows_none_says_so() {
        in_namespace(|| {
            assert!(
                Command::new("ip")
                    .args(["link", "add", "one", "type", "veth", "peer", "two"])
                    .status()
                    .unwrap()
                    .success()
            );
            assert_eq!(fec().unwrap(), BTreeMap::new());
            let refused = set_fec(2, &Fec { modes: vec!["RS".into()], auto: false }).unwrap_err();
            assert_eq!(refused.errno, Errno::EOPNOTSUPP, "{refused}");
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_met_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
