//! A provider's PPPoE concentrator: Debian's rp-pppoe server and pppd, on our own kernel in a small machine, because the
//! host's may have no PPP. It has one cable, to the router and to the provider's network.
use crate::bed::{Bed, ISP};
use crate::child::Child;
use crate::initramfs::Initramfs;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use weir::machine::{Mac, Machine, Nic, Serial};

/// Its name.
pub const NAME: &str = "weir-ac";
/// Its end of every session.
pub const NEAR: &str = "192.0.2.1";
/// Its sessions' other ends begin with this: the first is [`FIRST`].
pub const FAR: &str = "192.0.2.5";
/// The address that the first session gets.
pub const FIRST: &str = "192.0.2.50";
/// Who may log in, and the right password.
pub const USER: &str = "us@isp.example";
/// The right password.
pub const PASSWORD: &str = "right horse";
/// Its own address in the provider's network.
const OWN: &str = "203.0.113.2";
const MAC: Mac = Mac([0x52, 0x54, 0x00, 0x77, 0x01, 0x01]);
/// Programs that it runs, and what they load by themselves.
const PROGRAMS: [&str; 3] = ["/bin/busybox", "/usr/sbin/pppd", "/usr/sbin/pppoe-server"];

/// How the concentrator is set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup<'a> {
    /// `require-chap` or `require-pap`, and whatever else pppd is to be told, a word a line.
    pub options: &'a str,
    /// Words for the server itself.
    pub server: &'a str,
    /// Payload of its frames, in bytes.
    pub mtu: u32,
    /// Further programs, and files with their text.
    pub programs: &'a [&'a str],
    /// See there.
    pub files: &'a [(&'a str, &'a str)],
}

/// The machine.
pub struct Concentrator {
    qemu: Child,
    keyboard: ChildStdin,
}

fn initramfs(helper: &Path, setup: &Setup<'_>) -> Vec<u8> {
    let mut initramfs = Initramfs::default();
    let plugins = fs::read_dir("/usr/lib/pppd").expect("Debian's ppp").flatten().next().unwrap().path();
    let plugin = plugins.join("pppoe.so").to_str().unwrap().to_owned();
    for program in PROGRAMS.iter().chain(setup.programs).copied().chain([plugin.as_str()]) {
        initramfs.program(program);
    }
    initramfs.program_at("/bin/ppp_peer", helper.to_str().unwrap());
    let secret = format!("\"{USER}\" * \"{PASSWORD}\" *\n");
    let options = format!("{}\nname {NAME}\nms-dns {ISP}\ndebug\nlogfile /dev/console\n", setup.options);
    let start = format!(
        "PATH=/bin:/usr/sbin; b=/bin/busybox
        $b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys
        $b mount -t tmpfs run /run; $b mkdir -p /run/lock /var; $b ln -s /run /var/run; $b ln -s /run/lock /var/lock
        echo 1 >/proc/sys/net/ipv4/ip_forward
        $b --install -s /bin; hash -r
        $b ip link set lo up; $b ip link set eth0 mtu {mtu}; $b ip link set eth0 up
        $b ip addr add {OWN}/24 dev eth0; $b ip route add default via {ISP}
        pppoe-server -F -C {NAME} -I eth0 -L {NEAR} -R {FIRST} -N 9 -q /bin/ppp_peer {server} & echo concentrator: ready
        while read line; do eval \"$line\"; echo \"concentrator: did $line\"; done",
        mtu = setup.mtu,
        server = setup.server
    );
    for (path, text) in setup.files {
        initramfs.file(path, 0o644, text.as_bytes());
    }
    for (path, mode, text) in [
        ("/etc/ppp/options", 0o644, ""),
        ("/etc/ppp/pppoe-server-options", 0o644, options.as_str()),
        ("/etc/ppp/chap-secrets", 0o600, secret.as_str()),
        ("/etc/ppp/pap-secrets", 0o600, secret.as_str()),
        ("/etc/passwd", 0o644, "root:x:0:0:root:/:/bin/sh\n"),
        ("/start", 0o755, start.as_str()),
    ] {
        initramfs.file(path, mode, text.as_bytes());
    }
    initramfs.finish()
}

impl Concentrator {
    /// Starts it beside the router's uplink; `helper` is the program `ppp_peer`.
    pub fn start(bed: &Bed, helper: &Path, setup: &Setup<'_>) -> Concentrator {
        bed.machine.ip("tuntap add dev ac mode tap");
        bed.machine.ip("link set ac master br-uplink up");
        for link in ["ac", "uplink", "c-uplink"] {
            bed.machine.ip(&format!("link set {link} mtu {}", setup.mtu));
        }
        bed.isp.ip(&format!("route replace 192.0.2.0/24 via {OWN}"));
        let initrd = bed.folder.0.join("concentrator.img");
        fs::write(&initrd, initramfs(helper, setup)).unwrap();
        let machine = Machine::new(crate::images().join("vmlinuz"), initrd)
            .append("rdinit=/bin/busybox quiet no_timer_check -- sh /start")
            .memory_mib(512)
            .nic(Nic::Tap { name: "ac".into(), mac: MAC })
            .watchdog(false)
            .serial(Serial::Stdio);
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL").arg("--").arg(weir::machine::QEMU).args(machine.arguments());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut qemu = bed.machine.run(move || command.spawn()).expect("QEMU starts");
        let keyboard = qemu.stdin.take().unwrap();
        let mut concentrator = Concentrator { qemu: Child::watch("concentrator".into(), qemu), keyboard };
        concentrator.wait_for("concentrator: ready");
        concentrator
    }

    /// Waits for the next line with a text: of the server, of pppd, or of the shell.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.qemu.wait_for(text)
    }

    /// Lets its shell do something, and waits until it is done.
    pub fn run(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("the concentrator takes a line");
        self.wait_for(&format!("concentrator: did {line}"));
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<String> {
        self.qemu.lines()
    }
}
