//! `weir recover`: puts weir on a machine that starts from the network, whatever is on its disk.
//!
//! One interface, one address. Firmware that asks is told to load the kernel and an initramfs whose PID 1 (`installer/`) has
//! everything with it, writes it, checks it, keeps a `/perm` that is there, and tells how it goes. Other clients of the
//! segment are not answered and not disturbed; another DHCP server may be there.
mod dhcp;
mod http;
mod payload;
mod script;
mod tftp;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use netstack::netlink::Netlink;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use std::os::fd::AsRawFd;

use crate::copy::Image;
use crate::disk::System;
use crate::error::{Context, Error, Result};
use crate::pack;
use crate::perm;
use crate::restore;
use crate::scratch::Scratch;
use dhcp::{Load, Mac, Said, Server};
use told::Told;

pub use dhcp::FIRST_HOST;

/// Where Debian's package `ipxe` has what firmware without iPXE loads first.
const IPXE: &str = "/usr/lib/ipxe";
/// Words for the kernel, besides those of an installation.
const WORDS: &str = "console=tty0 console=ttyS0,115200 panic=10 quiet weir.install.mac=${netX/mac}";
/// When one machine is done, others that have begun are waited for; not for longer than this without a word of any.
const SILENCE: Duration = Duration::from_secs(60);
const FOR_EVER: Duration = Duration::from_secs(1 << 30);
/// Transfers by TFTP at once.
const TRANSFERS: usize = 16;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Order {
    /// The interface; without one, the only one that has an address.
    pub interface: Option<String>,
    /// The image folder.
    pub image: PathBuf,
    /// A backup for the new `/perm`.
    pub backup: Option<PathBuf>,
    /// The disk, by its name there.
    pub disk: Option<String>,
    /// A disk of another system is overwritten.
    pub overwrite: bool,
    /// `/perm` is made anew.
    pub erase: bool,
    /// Goes on after the first machine.
    pub stay: bool,
    /// The last byte of the first address that is given.
    pub first_host: u8,
    /// More words for the kernel.
    pub append: Option<String>,
}

/// What the servers have to tell.
#[derive(Debug)]
pub enum News {
    /// To be said once in a row.
    Said(String),
    /// A machine has taken an address, and begins to load.
    Begun(Mac, String),
    /// How far a machine's loading is.
    Loading {
        /// Which machine.
        peer: IpAddr,
        /// Bytes.
        sent: usize,
        /// Of so many.
        length: usize,
    },
    /// A machine's own word.
    Told(Mac, Told),
}

/// Serves until the first machine is installed, or for ever.
///
/// # Errors
/// When something is missing here, or the first machine could not be installed.
pub fn recover(order: &Order) -> Result<()> {
    let (name, address, prefix) = place(order.interface.as_deref())?;
    let files = files(order, address)?;
    let server = Server::new(address, prefix, order.first_host);
    let done: Arc<Mutex<Vec<Mac>>> = Arc::default();
    let (sender, news) = channel();

    let dhcp = bound(&name, 67)?;
    let tftp = bound(&name, 69)?;
    let words = bound(&name, told::PORT)?;
    let http = TcpListener::bind(SocketAddr::from((address, script::PORT)))
        .cannot(|| format!("listen on {address}:{}", script::PORT))?;
    let (for_http, for_tftp) = (Arc::clone(&files), Arc::clone(&files));
    let to = [sender.clone(), sender.clone(), sender.clone(), sender];
    let [to_dhcp, to_tftp, to_http, to_words] = to;
    let finished = Arc::clone(&done);
    thread::spawn(move || answer_dhcp(&dhcp, server, &finished, &to_dhcp));
    thread::spawn(move || serve_tftp(&tftp, address, &for_tftp, &to_tftp));
    thread::spawn(move || http::serve(&http, &for_http, &to_http));
    thread::spawn(move || hear(&words, &to_words));

    eprintln!(
        "weir recover: serving on {name}, {address}; start the machine from the network (APU: F10, or N for iPXE)"
    );
    watch(&news, &done, order.stay)
}

/// Shows the news; ends with the end of the first machine and of all that have begun meanwhile, unless it is to stay.
fn watch(news: &Receiver<News>, done: &Mutex<Vec<Mac>>, stay: bool) -> Result<()> {
    let (mut last, mut parts) = (String::new(), BTreeMap::new());
    // Those that are at it, whether one is at its end, and the first that could not be installed.
    let (mut at_it, mut ended, mut failed) = (BTreeSet::new(), false, None);
    loop {
        if ended && at_it.is_empty() && !stay {
            return failed.map_or(Ok(()), Err);
        }
        let one = match news.recv_timeout(if ended { SILENCE } else { FOR_EVER }) {
            Ok(one) => one,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::new("nobody serves any more")),
            Err(RecvTimeoutError::Timeout) => {
                // Switched off on its way, perhaps: it is not waited for.
                if ended {
                    at_it.clear();
                }
                continue;
            }
        };
        let line = match one {
            News::Said(words) => words,
            News::Begun(mac, words) => {
                at_it.insert(mac);
                words
            }
            News::Loading { peer, sent, length } => {
                let tenth = sent * 10 / length.max(1);
                if parts.insert(peer, tenth) == Some(tenth) {
                    continue;
                }
                format!("{peer}: loading, {} %", tenth * 10)
            }
            News::Told(mac, told) => {
                let line = format!("{}: {told}", dhcp::text(mac));
                match told {
                    Told::Busy(_) => line,
                    Told::Done(words) => {
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        if !done.contains(&mac) {
                            done.push(mac);
                        }
                        ended |= !stay;
                        at_it.remove(&mac);
                        format!("{}: DONE: {words}", dhcp::text(mac))
                    }
                    Told::Failed(words) => {
                        ended |= !stay;
                        at_it.remove(&mac);
                        failed.get_or_insert_with(|| {
                            Error::new(format!("{}: not installed: {words}", dhcp::text(mac))).next(
                                "see the words above; then weir recover once more: the machine restarts by itself",
                            )
                        });
                        line
                    }
                }
            }
        };
        if line != last {
            eprintln!("weir recover: {line}");
        }
        last = line;
    }
}

/// The interface and its one IPv4 address.
fn place(wanted: Option<&str>) -> Result<(String, Ipv4Addr, u8)> {
    let mut netlink = Netlink::route().cannot(|| "ask the kernel for interfaces".into())?;
    let links = netlink.links().cannot(|| "ask the kernel for interfaces".into())?;
    let addresses = netlink.addresses().cannot(|| "ask the kernel for addresses".into())?;
    let mut found = Vec::new();
    for link in links.iter().filter(|link| !link.loopback && wanted.is_none_or(|wanted| wanted == link.name)) {
        for address in addresses.iter().filter(|address| address.index == link.index) {
            if let IpAddr::V4(ip) = address.ip {
                found.push((link.name.clone(), ip, address.prefix));
            }
        }
    }
    let list: Vec<String> = found.iter().map(|(name, ip, prefix)| format!("{name} {ip}/{prefix}")).collect();
    match (&found[..], wanted) {
        ([one], _) => Ok(one.clone()),
        ([], Some(name)) => Err(Error::new(format!("{name} has no IPv4 address"))
            .next(format!("give it one: ip addr add 10.77.0.1/24 dev {name}; ip link set {name} up"))),
        ([], None) => Err(Error::new("no interface has an IPv4 address").next("weir recover --interface NAME")),
        _ => Err(Error::new(format!("which interface and address? {}", list.join(", ")))
            .next("weir recover --interface NAME, with one IPv4 address on it")),
    }
}

/// Everything that is served, by name.
fn files(order: &Order, address: Ipv4Addr) -> Result<http::Files> {
    let hint = "build the image: make image";
    let read = |name: &str| {
        let path = order.image.join(name);
        fs::read(&path).cannot_file("read", &path).map_err(|error| error.next(hint))
    };
    let kernel = read("vmlinuz")?;
    let scratch = Scratch::new("recover")?;
    let mut words = WORDS.to_owned();
    let disk = match &order.backup {
        Some(backup) => {
            let folder = scratch.path().join("perm");
            restore::unpack(backup, &folder)?;
            let (initrd, root, path) = (read("initrd.img")?, read("root.squashfs")?, scratch.path().join("disk.img"));
            let system = System { kernel: &kernel, initrd: &initrd, root: &root };
            pack::make_disk(&path, &system, &perm::items_of(&folder)?, 0)?;
            path
        }
        None => order.image.join("disk.img"),
    };
    if order.erase || order.backup.is_some() {
        words += " weir.install.erase";
    }
    if order.overwrite {
        words += " weir.install.overwrite";
    }
    if let Some(disk) = &order.disk {
        if disk.contains(char::is_whitespace) {
            return Err(Error::new(format!("{disk:?} is no name of a disk")).next("such as --disk sda"));
        }
        words += &format!(" weir.install.disk={disk}");
    }
    if let Some(more) = &order.append {
        words += &format!(" {}", more.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let initramfs = payload::initramfs(&Image::open(&disk)?, &read("install.img")?)?;
    eprintln!("weir recover: {} bytes of kernel and {} of installation", kernel.len(), initramfs.len());
    let mut files: BTreeMap<&'static str, Arc<[u8]>> = BTreeMap::from([
        (script::KERNEL, kernel.into()),
        (script::INITRD, initramfs.into()),
        (script::NAME, script::script(address, &words).into_bytes().into()),
    ]);
    for name in [Load::Bios, Load::Uefi].iter().filter_map(Load::file) {
        // Only wanted by firmware that is not iPXE itself; without it, that is said when such firmware asks.
        if let Ok(bytes) = fs::read(Path::new(IPXE).join(name)) {
            files.insert(name, bytes.into());
        }
    }
    Ok(Arc::new(files))
}

/// A UDP socket that hears this interface alone, and may speak to everybody there.
fn bound(interface: &str, port: u16) -> Result<UdpSocket> {
    let open = || -> nix::Result<UdpSocket> {
        let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::Broadcast, &true)?;
        setsockopt(&fd, sockopt::BindToDevice, &interface.into())?;
        bind(fd.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
        Ok(UdpSocket::from(fd))
    };
    open().cannot(|| format!("listen on UDP port {port} of {interface}")).map_err(|error| {
        error.next("run it as root, and stop what else serves DHCP or TFTP on that interface (ss -ulpn)")
    })
}

fn answer_dhcp(socket: &UdpSocket, mut server: Server, done: &Mutex<Vec<Mac>>, news: &Sender<News>) {
    let mut buffer = [0; 1500];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
        let finished = done.lock().unwrap_or_else(PoisonError::into_inner).clone();
        finished.iter().for_each(|mac| server.forget(*mac));
        let said = match server.answer(buffer.get(..length).unwrap_or_default(), &finished) {
            Said::Nothing => continue,
            Said::Refused(mac, why) => News::Said(format!("{} {why}", dhcp::text(mac))),
            Said::Answer { mac, load, address, taken, bytes } => {
                // Lost like any datagram: firmware asks again.
                let _ = socket.send_to(&bytes, (Ipv4Addr::BROADCAST, 68));
                if !taken {
                    continue;
                }
                let words = format!("{} has {address} and loads {}", dhcp::text(mac), load.file().unwrap_or_default());
                News::Begun(mac, words)
            }
        };
        if news.send(said).is_err() {
            return;
        }
    }
}

fn serve_tftp(socket: &UdpSocket, address: Ipv4Addr, files: &http::Files, news: &Sender<News>) {
    let running = Arc::new(());
    let mut buffer = [0; 1500];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        let request = match tftp::Request::parse(buffer.get(..length).unwrap_or_default()) {
            Ok(request) => request,
            Err(answer) => {
                if !answer.is_empty() {
                    let _ = socket.send_to(&answer, peer);
                }
                continue;
            }
        };
        let Some(file) = files.get(&*request.name).cloned() else {
            let _ = socket.send_to(&tftp::error(1, "file not found"), peer);
            let ours = [Load::Bios, Load::Uefi].iter().any(|load| load.file() == Some(&request.name));
            let hint = if ours { ": apt install ipxe, then weir recover once more" } else { "" };
            let _ = news.send(News::Said(format!("{}: wants {}, which is not here{hint}", peer.ip(), request.name)));
            continue;
        };
        if Arc::strong_count(&running) > TRANSFERS {
            continue;
        }
        let (held, news) = (Arc::clone(&running), news.clone());
        thread::spawn(move || {
            if let Err(why) = transfer(address, peer, file, &request, &news) {
                let _ = news.send(News::Said(format!("{}: {}: {why}", peer.ip(), request.name)));
            }
            drop(held);
        });
    }
}

fn transfer(
    address: Ipv4Addr,
    peer: SocketAddr,
    file: Arc<[u8]>,
    request: &tftp::Request,
    news: &Sender<News>,
) -> std::result::Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind((address, 0)).map_err(words)?;
    socket.connect(peer).map_err(words)?;
    let length = file.len();
    let mut transfer = tftp::Transfer::new(file, request);
    socket.set_read_timeout(Some(transfer.timeout())).map_err(words)?;
    let mut step = transfer.again();
    let mut buffer = [0; 1500];
    loop {
        match step {
            tftp::Step::Done => return Ok(()),
            tftp::Step::Failed(why) => return Err(why),
            tftp::Step::Wait => {}
            tftp::Step::Send(packets) => {
                for packet in packets {
                    // Lost on the way or here: it is sent again.
                    let _ = socket.send(&packet);
                }
                let sent = transfer.arrived();
                if length > 1 << 20 && news.send(News::Loading { peer: peer.ip(), sent, length }).is_err() {
                    return Ok(());
                }
            }
        }
        step = match socket.recv(&mut buffer) {
            Ok(length) => transfer.packet(buffer.get(..length).unwrap_or_default()),
            Err(_) => transfer.again(),
        };
    }
}

fn hear(socket: &UdpSocket, news: &Sender<News>) {
    let mut buffer = [0; 1500];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
        if let Some((mac, told)) = told::parse(buffer.get(..length).unwrap_or_default())
            && news.send(News::Told(mac, told)).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Mac = [2, 0, 0, 0, 0, 1];
    const SECOND: Mac = [2, 0, 0, 0, 0, 2];

    /// What comes of these news, whether all of them were heard, and who is done.
    fn watched(all: &[News], stay: bool) -> (Result<()>, usize, usize) {
        let (sender, news) = channel();
        let count = all.len();
        for one in all {
            sender
                .send(match one {
                    News::Said(words) => News::Said(words.clone()),
                    News::Begun(mac, words) => News::Begun(*mac, words.clone()),
                    News::Loading { peer, sent, length } => News::Loading { peer: *peer, sent: *sent, length: *length },
                    News::Told(mac, told) => News::Told(*mac, told.clone()),
                })
                .unwrap();
        }
        drop(sender);
        let done = Mutex::default();
        let result = watch(&news, &done, stay);
        (result, count - news.iter().count(), done.into_inner().unwrap().len())
    }

    fn begun(mac: Mac) -> News {
        News::Begun(mac, "loads".into())
    }

    fn told(mac: Mac, told: Told) -> News {
        News::Told(mac, told)
    }

    #[test]
    fn it_ends_with_the_first_machine_and_those_that_have_begun_meanwhile() {
        let done = |mac| told(mac, Told::Done("weir is on sda".into()));
        let (result, heard, finished) = watched(&[begun(FIRST), done(FIRST), begun(SECOND)], false);
        assert_eq!((result.is_ok(), heard, finished), (true, 2, 1));
        let both = [begun(FIRST), begun(SECOND), done(FIRST), told(SECOND, Told::Busy("x".into())), done(SECOND)];
        let (result, heard, finished) = watched(&both, false);
        assert_eq!((result.is_ok(), heard, finished), (true, 5, 2));
        let (result, heard, _) = watched(&both, true);
        assert!(result.is_err() && heard == 5, "who stays ends with its servers only");
    }

    #[test]
    fn one_that_failed_is_told_at_the_end_and_the_other_one_is_not_left_alone() {
        let failed = told(FIRST, Told::Failed("no disk".into()));
        let done = told(SECOND, Told::Done("weir is on sda".into()));
        let (result, heard, finished) = watched(&[begun(FIRST), begun(SECOND), failed, done], false);
        assert!(result.unwrap_err().to_string().contains("02:00:00:00:00:01: not installed: no disk"));
        assert_eq!((heard, finished), (4, 1));
    }
}
