//! An access port of a VLAN switch: a machine's card that speaks in tagged frames on one side, a host that knows of no tags
//! on the other. The kernel of the host that tests may know no VLANs.
use crate::Folder;
use crate::namespace::Namespace;
use netstack::event::{Event, Interest, Loop, Token};
use netstack::frame::Frames;
use netstack::netlink::Netlink;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use weir::machine::{Mac, Nic};

/// EtherType of a tag (IEEE 802.1Q).
const TAG: [u8; 2] = [0x81, 0x00];
/// Both addresses of a frame stand before its tag.
const ADDRESSES: usize = 12;

/// The machine's side of the port.
pub struct Port {
    machine: PathBuf,
    switch: PathBuf,
    mac: Mac,
}

impl Port {
    /// The card for the machine.
    pub fn nic(&self) -> Nic {
        Nic::Datagrams { local: self.machine.clone(), remote: self.switch.clone(), mac: self.mac }
    }

    /// Lays a cable from `eth0` of a host to the port, which carries its frames to and from the machine under a number.
    pub fn new(folder: &Folder, host: &Namespace, mac: Mac, vlan: u16) -> Port {
        let port = Port { machine: folder.0.join("trunk.qemu"), switch: folder.0.join("trunk.switch"), mac };
        let bench = Namespace::new();
        bench.veth("access", host, "eth0");
        // What the host leaves to its card to sum would never be summed.
        host.output("ethtool", &["-K", "eth0", "tx", "off"]);
        let (machine, switch) = (port.machine.clone(), port.switch.clone());
        let (told, opened) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let ends = bench.run(move || {
                std::fs::write("/proc/sys/net/unix/max_dgram_qlen", "1000").unwrap();
                let links = Netlink::route().unwrap().links().unwrap();
                let index = links.iter().find(|link| link.name == "access").unwrap().index;
                (Frames::open(index).unwrap(), UnixDatagram::bind(&switch).unwrap())
            });
            told.send(()).unwrap();
            carry(&ends.0, &ends.1, &machine, vlan);
        });
        opened.recv().unwrap();
        port
    }
}

/// Carries frames until the test ends.
fn carry(access: &Frames, trunk: &UnixDatagram, machine: &PathBuf, vlan: u16) {
    trunk.set_nonblocking(true).unwrap();
    let mut turn = Loop::new().unwrap();
    turn.add(access, Token(0), Interest::READ).unwrap();
    turn.add(trunk, Token(1), Interest::READ).unwrap();
    let (mut events, mut buffer) = (Vec::new(), [0; 2048]);
    loop {
        turn.wait(None, &mut events).unwrap();
        for event in &events {
            match event {
                Event::Ready { token: Token(0), .. } => {
                    while let Ok(Some(length)) = access.receive(&mut buffer) {
                        let (addresses, rest) = buffer[..length].split_at(ADDRESSES);
                        let tagged = [addresses, &TAG, &vlan.to_be_bytes(), rest].concat();
                        // Nobody is at the other end while the machine is off; a frame is lost, as on any cable.
                        let _ = trunk.send_to(&tagged, machine);
                    }
                }
                Event::Ready { .. } => {
                    while let Ok(length) = trunk.recv(&mut buffer) {
                        let frame = &buffer[..length];
                        let Some((addresses, rest)) = frame.split_at_checked(ADDRESSES) else { continue };
                        if rest.starts_with(&TAG) && rest.get(2..4) == Some(&vlan.to_be_bytes()) {
                            let _ = access.send(&[addresses, &rest[4..]].concat());
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
