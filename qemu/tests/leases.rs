//! The disk is cut off at the moment at which an ACK arrives: what was acknowledged is there at the next boot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::Bed;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use std::net::UdpSocket;
use std::time::Duration;

const CUTS: u8 = 4;

/// A REQUEST of a new client for an address that nobody has, until it is acknowledged.
fn take(socket: &UdpSocket, number: u8) {
    let mut message = vec![1, 1, 6, 0, 7, 7, 7, number, 0, 0, 0x80, 0];
    message.resize(28, 0);
    message.extend([2, 7, 0, 0, 0, number]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 3, 50, 4, 192, 168, 42, 100 + number, 255]);
    let mut answer = [0; 1_500];
    loop {
        socket.send_to(&message, "255.255.255.255:67").unwrap();
        while let Ok(count) = socket.recv(&mut answer) {
            if count > 243 && answer[4..8] == message[4..8] && answer[240..243] == [53, 1, 5] {
                return;
            }
        }
    }
}

#[test]
fn what_was_acknowledged_when_the_power_went_is_there() {
    let bed = Bed::new();
    let disk = Disk::copy(&bed.folder.0);
    bed.lan.ip("addr add 192.168.42.254/24 dev eth0");
    bed.lan.ip("route add default dev eth0");
    let socket = bed.lan.run(|| UdpSocket::bind("0.0.0.0:68")).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    for number in 1..=CUTS {
        let mut router = Router::boot(&bed, &disk);
        router.wait_ready();
        step(&format!("cut number {number}, when its ACK is there"));
        take(&socket, number);
        router.cut();
    }
    let mut router = Router::boot(&bed, &disk);
    router.wait_ready();
    for number in 1..=CUTS {
        let address = format!("192.168.42.{}", 100 + number);
        router.command_until("leases", |text| text.contains(&address));
    }
    router.press("\rpoweroff\r");
    router.wait_off();
    assert_eq!(disk.faults(), None);
}
