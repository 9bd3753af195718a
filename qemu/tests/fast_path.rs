//! The fast path in the whole machine: what passes by the rules is counted all the same, is there again after a rest, and
//! ends when a rule says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qemu::bed::{Bed, ISP};
use qemu::child::PATIENCE;
use qemu::disk::Disk;
use qemu::router::Router;
use qemu::step;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use weir::machine::{LAN_MAC, UPLINK_MAC};

/// Bytes of one download.
const MUCH: usize = 50_000_000;
/// Datagrams each way.
const TURNS: u64 = 200;
const WAN6: &str = "2001:db8:1::1";
const DEVICE: &str = "02:00:5e:00:00:42";

fn interfaces() -> String {
    format!(
        r#"{{"interfaces":[{{"name":"uplink0","hardware_addr":"{UPLINK_MAC}","addr":"203.0.113.9/24",
        "extra_addrs":["2001:db8:1::9/64"],"gateway":"{ISP}","gateway6":"{WAN6}",
        "delegated_prefixes":["2001:db8:a::/48"]}},
        {{"name":"lan0","hardware_addr":"{LAN_MAC}","addr":"192.168.42.1/24","extra_addrs":["2001:db8:a::1/64"]}}]}}"#
    )
}

fn rules(offload: bool, blocked: bool) -> String {
    let block = if blocked { r#"{"name":"no-more","action":"refuse","port":"7001"},"# } else { "" };
    format!(
        r#"{{"offload":{offload},"rules":[{block}{{"name":"downloads","action":"allow","port":"7001"}},
        {{"name":"turns","action":"allow","proto":"udp","port":"7002"}}]}}"#
    )
}

struct Here {
    bed: Bed,
    router: Router,
    /// Rulesets after the first.
    replaced: usize,
}

impl Here {
    fn new() -> Here {
        let bed = Bed::new();
        for (host, dev, addresses, ways) in [
            (&bed.isp, "wan0", &["2001:db8:1::1/64"][..], &["2001:db8:a::/48 via 2001:db8:1::9"][..]),
            (
                &bed.lan,
                "eth0",
                &["192.168.42.7/24", "2001:db8:a::7/64"],
                &["default via 192.168.42.1", "default via 2001:db8:a::1"],
            ),
        ] {
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/accept_dad", "0")).unwrap();
            host.run(move || std::fs::write(format!("/proc/sys/net/ipv6/conf/{dev}/accept_dad"), "0")).unwrap();
            for address in addresses {
                host.ip(&format!("addr add {address} dev {dev}"));
            }
            for way in ways {
                host.ip(&format!("route add {way}"));
            }
        }
        bed.lan.ip(&format!("link set eth0 address {DEVICE}"));
        let disk = Disk::copy(&bed.folder.0);
        disk.write("interfaces.json", interfaces().as_bytes());
        disk.write("firewall.json", rules(true, false).as_bytes());
        // A rest of minutes, in seconds.
        let rest = "sysctl.net.netfilter.nf_flowtable_tcp_timeout=2";
        let mut router = Router::boot_with(&bed, &disk, |machine| machine.append(rest));
        router.wait_ready();
        Here { bed, router, replaced: 0 }
    }

    fn metrics(&self) -> String {
        self.bed.download("http://192.168.42.1:8066/metrics")
    }

    fn metric(&self, series: &str) -> u64 {
        let page = self.metrics();
        let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{series}:\n{page}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn offloaded_until(&self, wanted: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.metric("weir_connections_offloaded")) {
            assert!(Instant::now() < deadline, "{}", self.metrics());
        }
    }

    /// Bytes and packets of everything that is counted: families, the device, rules.
    fn totals(&self) -> Vec<u64> {
        let device = |what: &str, direction: &str| {
            format!(r#"weir_device_{what}_total{{device="",hardware_addr="{DEVICE}",direction="{direction}"}}"#)
        };
        let series = [
            r#"nftables_filter_forward_bytes{family="ipv4"}"#.to_owned(),
            r#"nftables_filter_forward_bytes{family="ipv6"}"#.to_owned(),
            device("bytes", "in"),
            device("bytes", "out"),
            r#"weir_rule_packets_total{rule="downloads"}"#.to_owned(),
            r#"weir_rule_packets_total{rule="turns"}"#.to_owned(),
        ];
        let page = self.metrics();
        let value = |series: &String| {
            let line = page.lines().find(|line| line.starts_with(series.as_str()));
            line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
        };
        series.iter().map(value).collect()
    }

    /// A server that sends for as long as somebody reads.
    fn serve(&self) -> TcpListener {
        self.bed.isp.run(|| TcpListener::bind("[::]:7001")).unwrap()
    }

    fn connect(&self, listener: &TcpListener, address: &str) -> (TcpStream, TcpStream) {
        let address = SocketAddr::new(address.parse().unwrap(), 7001);
        let client = self.bed.lan.run(move || TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// What some work adds to the totals.
    fn added(&self, work: impl FnOnce()) -> Vec<u64> {
        let before = self.totals();
        work();
        self.totals().iter().zip(before).map(|(now, before)| now - before).collect()
    }

    /// Loads so much by both families.
    fn load(&self, listener: &TcpListener) {
        for address in [ISP, WAN6] {
            let (mut client, mut server) = self.connect(listener, address);
            let sender = std::thread::spawn(move || server.write_all(&vec![7; MUCH]));
            let mut read = vec![0; MUCH];
            client.read_exact(&mut read).unwrap();
            sender.join().unwrap().unwrap();
        }
    }

    /// What the field measures with loads and sends through NAT, whatever way packets take.
    fn iperf3(&self) {
        for way in [&[][..], &["--reverse"]] {
            let mut server = self.bed.isp.spawn("iperf3", &["--server", "--one-off", "--bind", ISP, "--forceflush"]);
            server.wait_for("listening");
            let said = self.bed.lan.output("iperf3", &[&["--client", ISP, "--bytes", "50M"], way].concat());
            let received = said.lines().find(|line| line.contains("receiver")).unwrap_or_else(|| panic!("{said}"));
            eprintln!("    {received}");
        }
    }

    /// Takes some turns by UDP, each seen before the next.
    fn turns(&self) {
        let server = self.bed.isp.run(|| UdpSocket::bind("0.0.0.0:7002")).unwrap();
        let client = self.bed.lan.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
        client.connect((ISP, 7002)).unwrap();
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        for _ in 0..TURNS {
            client.send(&[0; 500]).unwrap();
            let (_, peer) = server.recv_from(&mut [0; 600]).unwrap();
            server.send_to(&[0; 500], peer).unwrap();
            client.recv(&mut [0; 600]).unwrap();
        }
    }

    fn apply(&mut self, rules: &str) {
        let said = self.router.command(&format!("apply\rfirewall.json\r{}\r.\r", rules.replace('\n', "\r")));
        assert!(said.contains("kept"), "{said}");
        self.replaced += 1;
        let count = self.replaced;
        self.router.command_until("log netconfigd", |text| text.matches("ruleset replaced").count() > count);
    }
}

#[test]
fn nothing_is_hidden_nothing_is_cut_and_a_rule_reaches_it() {
    let mut here = Here::new();
    let listener = here.serve();
    here.router.command_until("log netconfigd", |text| text.contains("fast path by"));

    step("with the fast path and without it the same is counted");
    let (turns, loads) = (here.added(|| here.turns()), here.added(|| here.load(&listener)));
    here.iperf3();
    here.offloaded_until(|count| count > 0);
    here.apply(&rules(false, false));
    let (slow_turns, slow_loads) = (here.added(|| here.turns()), here.added(|| here.load(&listener)));
    here.iperf3();
    here.offloaded_until(|count| count == 0);
    eprintln!("IPv4, IPv6, in, out, rules; fast {turns:?} {loads:?}, slow {slow_turns:?} {slow_loads:?}");
    // Header and payload of each datagram, to the byte.
    let way = TURNS * (20 + 8 + 500);
    assert_eq!(turns, [2 * way, 0, way, way, 0, 1]);
    assert_eq!(slow_turns, turns);
    for sums in [&loads, &slow_loads] {
        // How many headers there are, and acknowledgements, depends on how the cards put segments together.
        let much = MUCH as u64..=MUCH as u64 + MUCH as u64 / 20;
        assert!(much.contains(&sums[0]) && much.contains(&sums[1]), "{sums:?}");
        assert_eq!(sums[0] + sums[1], sums[2] + sums[3], "all of it was the device's");
        assert_eq!(&sums[4..], [2, 0], "a connection begins once");
    }

    step("after a rest it goes on, and by the fast path");
    here.apply(&rules(true, false));
    let (mut client, mut server) = here.connect(&listener, ISP);
    let mut turn = |count: usize| {
        for _ in 0..count {
            server.write_all(b"turn").unwrap();
            client.read_exact(&mut [0; 4]).unwrap();
            client.write_all(b"back").unwrap();
            server.read_exact(&mut [0; 4]).unwrap();
        }
    };
    turn(20);
    here.offloaded_until(|count| count > 0);
    here.offloaded_until(|count| count == 0);
    turn(20);
    here.offloaded_until(|count| count > 0);

    step("a rule that comes into force ends a download on the fast path");
    let (mut client, mut server) = here.connect(&listener, ISP);
    std::thread::spawn(move || while server.write_all(&[7; 60_000]).is_ok() {});
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..200 {
        assert!(client.read(&mut buffer).unwrap() > 0);
    }
    here.offloaded_until(|count| count > 0);
    let reader = std::thread::spawn(move || {
        loop {
            match client.read(&mut buffer) {
                Ok(1..) => {}
                end => return end.map_err(|error| error.kind()),
            }
        }
    });
    here.apply(&rules(true, true));
    let end = reader.join().unwrap();
    assert!(matches!(end, Ok(0) | Err(ErrorKind::WouldBlock | ErrorKind::ConnectionReset)), "{end:?}");
}
