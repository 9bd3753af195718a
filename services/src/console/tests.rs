//! Transcripts: what is typed, what PID 1 says, what the terminal shows.
use super::engine::command::HELP;
use super::engine::command::Peer;
use super::engine::top::Sample;
use super::engine::{Face, Firewall, Network, Session, Wish};
use crate::perm::WallTime;
use crate::perm::leases::Lease;
use proptest::prelude::*;
use std::path::Path;

const LIST: &str = r#"{"version":"0.1.0","uptime_ms":7384000,"ready_ms":412,"perm":"ext4","slot":"a","left":"b","services":[
{"name":"netconfigd","state":"running","ready":true,"pid":71,"uptime_ms":7383600,"restarts":0,"last_exit":"","memory_kib":1240},
{"name":"dhcp4","state":"running","ready":true,"pid":72,"uptime_ms":7383600,"restarts":0,"last_exit":"","memory_kib":980},
{"name":"dhcp4d","state":"running","ready":true,"pid":73,"uptime_ms":7383600,"restarts":0,"last_exit":"","memory_kib":1104},
{"name":"dnsd","state":"waiting","ready":false,"pid":null,"uptime_ms":null,"restarts":3,"sick":true,"last_exit":"killed by signal 9","memory_kib":null},
{"name":"console","state":"running","ready":true,"pid":75,"uptime_ms":61000,"restarts":1,"last_exit":"exit 1","memory_kib":812}]}"#;

fn network() -> Network {
    let face = |name: &str, carrier, addresses: &[&str]| Face {
        name: name.into(),
        mac: "52:54:00:12:34:56".into(),
        mtu: 1500,
        up: true,
        carrier,
        addresses: addresses.iter().map(ToString::to_string).collect(),
    };
    Network {
        faces: vec![
            face("lo", true, &["127.0.0.1/8"]),
            face("uplink0", true, &["10.0.2.15/24"]),
            face("lan0", true, &["fe80::1/64", "fd12::1/64", "192.168.42.1/24", "2001:db8:a::1/64"]),
        ],
        gateway: Some("10.0.2.2".into()),
        routes: vec!["default via 10.0.2.2 dev uplink0".into()],
    }
}

/// A terminal and a PID 1 that answers at once, or is not there.
struct Bench {
    session: Session,
    shown: String,
    init: Option<fn(&str) -> Vec<&'static str>>,
    /// How often the session was woken.
    woken: u64,
}

/// Two seconds later each time; dhcp4d has been busy for half a second meanwhile.
fn sample(pids: &[u32], looks: u64) -> Sample {
    let used = |pid: &u32| (*pid, 1_000_000_000 + if *pid == 73 { looks * 500_000_000 } else { 0 });
    Sample {
        at: (100 + 2 * looks) * 1_000_000_000,
        used: pids.iter().map(used).collect(),
        ticks: (1_000 + looks * 60, 5_000 + looks * 200),
        memory: (30 << 10, 60 << 10),
    }
}

impl Bench {
    fn new(init: Option<fn(&str) -> Vec<&'static str>>) -> Bench {
        Bench { session: Session::default(), shown: String::new(), init, woken: 0 }
    }

    fn types(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let mut wishes = self.session.input(bytes.as_ref());
        while !wishes.is_empty() {
            wishes = match wishes.remove(0) {
                Wish::LookAtNetwork => [self.session.network(Ok(network())), wishes].concat(),
                Wish::LookAtLeases => {
                    let leases: Vec<Lease> = serde_json::from_str(LEASES).unwrap();
                    [self.session.leases(Ok(leases), WallTime::from_unix(1_700_000_000)), wishes].concat()
                }
                Wish::LookAtFirewall => {
                    let found = Firewall {
                        connections: (12, 8_192),
                        offloaded: 3,
                        open: vec!["tcp 80 to 192.168.42.9, 80".into()],
                        refused: vec![("wan".into(), 40)],
                        rules: vec![("night".into(), 7)],
                    };
                    [self.session.firewall(Ok(found)), wishes].concat()
                }
                Wish::Ask(_, request) => match self.init {
                    Some(init) => {
                        for line in init(&request) {
                            wishes.extend(self.session.answer(line.as_bytes()));
                        }
                        wishes
                    }
                    None => [self.session.unreachable("no such file"), wishes].concat(),
                },
                Wish::LookAtProcesses(pids) => [self.session.processes(Ok(sample(&pids, self.woken))), wishes].concat(),
                Wish::LookAtInterfaces => {
                    let text = br#"{"interfaces":[{"name":"uplink0"},{"name":"lan0","addr":"192.168.42.1/24"}]}"#;
                    [self.session.interfaces(Path::new("interfaces.json"), Ok(Some(text.to_vec()))), wishes].concat()
                }
                Wish::Wake(_) if self.woken < 2 => {
                    self.woken += 1;
                    [wishes, self.session.wake()].concat()
                }
                Wish::HangUp | Wish::Wake(_) => wishes,
            };
        }
        let before = self.shown.len();
        while !self.session.output.is_empty() {
            let front = self.session.output.front().to_vec();
            self.shown.push_str(std::str::from_utf8(&front).unwrap());
            self.session.output.written(front.len());
        }
        self.shown[before..].to_owned()
    }
}

const LEASES: &str = r#"[
{"num":3,"addr":"192.168.42.5","hardware_addr":"52:54:00:aa:bb:01","hostname":"laptop","expiry":"2023-11-14T22:25:00Z"},
{"num":0,"addr":"192.168.42.2","hardware_addr":"52:54:00:aa:bb:02","hostname":"x","hostname_override":"printer-of-the-second-floor","expiry":"0001-01-01T00:00:00Z"},
{"num":7,"addr":"192.168.42.9","hardware_addr":"52:54:00:aa:bb:03","hostname":"","expiry":"2023-11-14T22:00:00Z"}]"#;

#[test]
fn nobody_there_nothing_said() {
    let mut bench = Bench::new(None);
    assert_eq!(bench.types(b"\x00\xff~noise\x1b[A"), "");
    assert_eq!(bench.types("\r\n"), "\nweir> ");
}

#[test]
fn transcript_of_help() {
    let mut bench = Bench::new(None);
    bench.types("\r");
    let want = format!("help\n{HELP}weir> ");
    assert_eq!(bench.types("help\r"), want);
}

#[test]
fn transcript_of_status() {
    let mut bench = Bench::new(Some(|request| {
        assert_eq!(request, "{\"op\":\"list\"}\n");
        vec![LIST]
    }));
    bench.types("\r");
    let want = "\
status
weir 0.1.0 (slot a), up 2 h 03 min, ready after 0.41 s
WAN    uplink0         10.0.2.15/24 via 10.0.2.2
LAN    lan0            192.168.42.1/24, 2001:db8:a::1/64
/perm  ext4
slot b was left: a core service could not stay up in it

service     state         pid          uptime  restarts      memory
netconfigd  running        71      2 h 03 min         0    1240 KiB
dhcp4       running        72      2 h 03 min         0     980 KiB
dhcp4d      running        73      2 h 03 min         0    1104 KiB
dnsd        waiting         -               -         3           -
            cannot stay up
            last end: killed by signal 9
console     running        75      1 min 01 s         1     812 KiB
weir> ";
    let shown = bench.types("status\r");
    assert_eq!(shown, want);
    assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
}

#[test]
fn the_time_and_whom_it_is_from() {
    let mut bench = Bench::new(Some(|request| {
        assert_eq!(request, "{\"op\":\"time\"}\n");
        vec![
            r#"{"time":"2026-11-26T18:00:00.25Z","right":true,"source":"192.0.2.1","stratum":3,"offset":-0.0012,"uncertainty":0.004}"#,
        ]
    }));
    bench.types("\r");
    let said = bench.types("clock\r");
    let line = "2026-11-26T18:00:00 UTC by 192.0.2.1 (stratum 3); was -1.200 ms off, 4.000 at most\n";
    assert!(said.contains(line), "{said}");
    let mut bench = Bench::new(Some(|_| vec![r#"{"time":"1970-01-01T00:00:09Z","right":false}"#]));
    bench.types("\r");
    let said = bench.types("clock\r");
    assert!(said.contains("1970-01-01T00:00:09 UTC, which no server has confirmed yet\n"), "{said}");
}

#[test]
fn leases_addresses_and_routes() {
    let mut bench = Bench::new(None);
    bench.types("\r");
    let want = "\
leases
name                      address          hardware address   expires in
printer-of-the-second-fl~ 192.168.42.2     52:54:00:aa:bb:02  never
laptop                    192.168.42.5     52:54:00:aa:bb:01  11 min 40 s
-                         192.168.42.9     52:54:00:aa:bb:03  expired
weir> ";
    assert_eq!(bench.types("leases\r"), want);
    assert!(bench.types("addresses\r").contains("lan0            52:54:00:12:34:56 mtu 1500\n    fe80::1/64\n"));
    assert_eq!(bench.types("routes\r"), "routes\ndefault via 10.0.2.2 dev uplink0\nweir> ");
}

#[test]
fn a_log_and_its_end_by_any_key() {
    let mut bench = Bench::new(Some(|request| {
        let lines = vec![r#"{"t_ms":412,"stream":"err","line":"dhcp4: bound \u001b[31mred"}"#];
        if request.contains("\"follow\":true") { lines } else { [lines, vec![r#"{"end":true}"#]].concat() }
    }));
    bench.types("\r");
    assert_eq!(bench.types("log dhcp4\r"), "log dhcp4\n[    0.412] dhcp4: bound ?[31mred\nweir> ");
    assert!(!bench.types("log dhcp4 -f\r").ends_with("weir> "));
    assert!(!bench.session.waits(), "a followed log has no deadline");
    assert_eq!(bench.session.input(b"q"), [Wish::HangUp]);
    assert_eq!(bench.types(""), "\nweir> ");
}

#[test]
fn what_pid_1_was_asked_to_do_is_confirmed() {
    let mut bench = Bench::new(Some(|_| vec![r#"{"ok":true}"#]));
    bench.types("\r");
    for (command, said) in [
        ("restart dnsd", "dnsd is being restarted"),
        ("signal dhcp4 usr2", "dhcp4 has been sent USR2"),
        ("trial", "starting the other slot"),
        ("reboot", "rebooting"),
        ("poweroff", "switching off"),
    ] {
        assert_eq!(bench.types(format!("{command}\r")), format!("{command}\n{said}\nweir> "));
    }
}

#[test]
fn without_pid_1_a_clear_sentence() {
    let mut bench = Bench::new(None);
    bench.types("\r");
    let sentence = "PID 1 does not answer on its control socket: no such file\nweir> ";
    for command in ["reboot", "poweroff", "dmesg", "restart dnsd", "log dnsd -f"] {
        assert_eq!(bench.types(format!("{command}\r")), format!("{command}\n{sentence}"));
    }
    let shown = bench.types("status\r");
    assert!(shown.contains("192.168.42.1/24") && shown.ends_with(sentence), "{shown}");
}

#[test]
fn what_is_typed_while_a_command_runs_is_read_afterwards() {
    let mut bench = Bench::new(None);
    bench.types("\r");
    assert_eq!(
        bench.session.input(b"restart dnsd\rhelp\rx"),
        [Wish::Ask(Peer::Init, "{\"name\":\"dnsd\",\"op\":\"restart\"}\n".into())]
    );
    assert!(bench.session.waits());
    assert_eq!(bench.session.answer(br#"{"ok":true}"#), [Wish::HangUp]);
    let shown = bench.types("");
    assert!(shown.contains("dnsd is being restarted\nweir> help\n") && shown.ends_with("weir> x"), "{shown}");
    bench.types("\x15reboot\r");
    assert_eq!(
        bench.session.input(b"reboot\r\x03"),
        [Wish::Ask(Peer::Init, "{\"op\":\"reboot\"}\n".into()), Wish::HangUp]
    );
}

#[test]
fn a_password_is_asked_for_twice_and_never_shown() {
    let mut bench = Bench::new(Some(|request| {
        assert_eq!(request, "{\"op\":\"set\",\"password\":\"correct horse\"}\n");
        vec![r#"{"ok":true}"#]
    }));
    bench.types("\r");
    let shown = bench.types("password\rcorrect horse\rcorrect horse\r");
    assert_eq!(shown, "password\nnew password (it is not shown): \nagain: \ndone\nweir> ");
    assert!(bench.types("password\rcorrect\rhorse\r").ends_with("nothing has changed\nweir> "));
    assert!(!format!("{:?}", bench.session).contains("horse"));
}

#[test]
fn a_token_is_shown_once() {
    let mut bench = Bench::new(Some(|_| vec![r#"{"ok":true,"said":"0123456789abcdef"}"#]));
    bench.types("\r");
    assert_eq!(bench.types("token\r"), "token\n0123456789abcdef\nweir> ");
}

proptest! {
    #[test]
    fn any_bytes_from_both_sides(steps in proptest::collection::vec((any::<bool>(), "[ -~\r\x03\x1b]{0,20}"), 0..30)) {
        let mut session = Session::default();
        let _ = session.input(b"\r");
        for (typed, text) in steps {
            let _ = if typed { session.input(text.as_bytes()) } else { session.answer(text.as_bytes()) };
        }
        prop_assert!(session.output.front().is_ascii());
    }
}

#[test]
fn files_are_taken_and_sent_to_configd() {
    fn configd(request: &str) -> Vec<&'static str> {
        let attempt =
            "{\"confirm\":60,\"files\":{\"time.json\":\"{\\\"zone\\\":\\n\\\"UTC0\\\"}\\n\"},\"op\":\"try\"}\n";
        match request {
            "{\"op\":\"keep\"}\n" => vec!["{\"error\":\"time.json:1:9: one\\ntwo\"}"],
            _ if request == attempt => vec!["{\"ok\":true,\"confirm\":60}"],
            _ => panic!("{request}"),
        }
    }
    let mut bench = Bench::new(Some(configd));
    let said = bench.types("\rapply 60\rtime.json\r{\"zone\":\r\"UTC0\"}\r.\r\r");
    assert!(said.ends_with("in force for 60 s: `keep` keeps it, `revert` takes it back\nweir> "), "{said}");
    assert_eq!(bench.types("keep\r"), "keep\nnothing has changed:\ntime.json:1:9: one\ntwo\nweir> ");
    assert!(bench.types("apply\rtime.json\r{\x03").ends_with("forgotten\nweir> "));
    bench.init = None;
    assert!(bench.types("revert\r").contains("configd does not answer on its control socket"));
}

#[test]
fn transcript_of_diag_and_ping() {
    fn diagd(request: &str) -> Vec<&'static str> {
        match request {
            "{\"op\":\"diag\"}\n" => vec![
                r#"{"first_error":"x","sentence":"uplink0 has had no carrier.","level":"broken","findings":[
                {"check":"carrier","level":"broken","sentence":"uplink0 has had no carrier."},
                {"check":"disk","level":"trouble","sentence":"/perm is full."}],
                "checks":{"name":"link/uplink0","state":"failed","status":"no carrier","children":[
                {"name":"dhcp4","state":"failed","status":"dependency link/uplink0 failed"},
                {"name":"dhcp6","state":"skipped","status":"the provider offers\u001b no IPv6"}]}}"#,
            ],
            "{\"op\":\"ping\",\"target\":\"a.example\"}\n" => {
                vec![
                    r#"{"line":"192.0.2.1 answers after 1.5 ms"}"#,
                    r#"{"line":"1 of 1 came back"}"#,
                    r#"{"end":true}"#,
                ]
            }
            "{\"op\":\"trace\",\"target\":\"-\"}\n" => vec![r#"{"error":"\"-\" is no name"}"#],
            _ => panic!("{request}"),
        }
    }
    let mut bench = Bench::new(Some(diagd));
    bench.types("\r");
    let want = "\
diag
uplink0 has had no carrier.
Also: /perm is full.
NO link/uplink0: no carrier
NO   dhcp4: dependency link/uplink0 failed
-    dhcp6: the provider offers? no IPv6
weir> ";
    assert_eq!(bench.types("diag\r"), want);
    let want = "ping a.example\n192.0.2.1 answers after 1.5 ms\n1 of 1 came back\nweir> ";
    assert_eq!(bench.types("ping a.example\r"), want);
    assert_eq!(bench.types("trace -\r"), "trace -\n\"-\" is no name\nweir> ");
    bench.init = None;
    assert!(bench.types("diag\r").contains("diagd does not answer on its control socket"));
}

#[test]
fn transcript_of_firewall() {
    let mut bench = Bench::new(None);
    bench.types("\r");
    let want = "\
firewall
connections  12 of 8192, 3 on the fast path
let in       tcp 80 to 192.168.42.9, 80
refused      wan                                       40 packets
rule         night                                      7 packets
weir> ";
    assert_eq!(bench.types("firewall\r"), want);
}

#[test]
fn transcript_of_top() {
    let mut bench = Bench::new(Some(|_| vec![LIST]));
    bench.types("\r");
    let want = "\
top
processors 30 % busy, 30 of 60 MiB of memory free

process           pid   processor        in all      memory
dhcp4d             73      25.0 %        1.50 s    1104 KiB
init                1       0.0 %        1.00 s           -
netconfigd         71       0.0 %        1.00 s    1240 KiB
dhcp4              72       0.0 %        1.00 s     980 KiB
console            75       0.0 %        1.00 s     812 KiB
weir> ";
    assert_eq!(bench.types("top\r"), want, "on pipes one table is enough");
    let mut bench = Bench::new(Some(|_| vec![LIST]));
    bench.session.is_terminal = true;
    bench.types("\r");
    let shown = bench.types("top\r");
    assert_eq!(shown.matches("\x1b[H\x1b[Jprocessors").count(), 2, "{shown}");
    assert!(shown.ends_with("\nany key ends this"), "{shown}");
    assert_eq!(bench.types("q"), "\nweir> ");
    assert_eq!(bench.session.wake(), [], "the last wake of one that has ended");
}

#[test]
fn transcript_of_lan() {
    let mut bench = Bench::new(Some(|request| {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        assert_eq!((&request["op"], &request["confirm"]), (&"try".into(), &60.into()));
        let file = request["files"]["interfaces.json"].as_str().unwrap();
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        assert_eq!(file["interfaces"][1]["addr"], "10.0.0.1/24");
        vec![r#"{"ok":true,"confirm":60}"#]
    }));
    bench.types("\r");
    let want = "\
lan 10.0.0.1/24
lan0 has 10.0.0.1/24 for 60 s: `keep` keeps it, `revert` takes it back; machines ask for another address by themselves
weir> ";
    assert_eq!(bench.types("lan 10.0.0.1/24\r"), want);
    assert!(bench.types("lan 10.0.0.0/24\r").contains("the router needs an address in it"));
    assert!(bench.types("lan\r").contains("wants an address with a length"));
}

#[test]
fn everything_is_erased_only_by_a_whole_yes() {
    let mut bench = Bench::new(Some(|request| {
        assert_eq!(request, "{\"op\":\"factory-reset\"}\n");
        vec![r#"{"ok":true}"#]
    }));
    bench.types("\r");
    assert!(bench.types("factory-reset\r").ends_with("type yes to erase it: "));
    assert_eq!(bench.types("y\r"), "y\nnothing has changed\nweir> ");
    bench.types("factory-reset\r");
    assert_eq!(bench.types("\x03"), "^C\nweir> ");
    bench.types("factory-reset\r");
    assert_eq!(bench.types("yes\r"), "yes\neverything is erased at the next start, which is now\nweir> ");
}

#[test]
fn transcript_of_an_installation() {
    let mut bench = Bench::new(Some(|request| {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        match request["op"].as_str().unwrap() {
            "disks" => vec![
                r#"{"running":"sdb","disks":[{"name":"sda","words":"sda (SSD, 16.0 GB)","over":"","refused":null},{"name":"sdb","words":"sdb (Stick, 1.3 GB)","over":"weir","refused":"weir runs from it"},{"name":"sdc","words":"sdc (HDD, 500.1 GB)","over":"NTFS (Windows)","refused":null}]}"#,
            ],
            "install" if request["disk"] == "sda" && request["over"] == "" && request["follow"] == true => {
                vec![r#"{"t_ms":1,"stream":"out","line":"writing sda: 10 %"}"#, r#"{"end":true}"#]
            }
            "install" => {
                assert_eq!((&request["disk"], &request["over"]), (&"sdc".into(), &"NTFS (Windows)".into()));
                vec![r#"{"error":"weir is being installed on sda"}"#]
            }
            other => panic!("{other}"),
        }
    }));
    bench.types("\r");
    let list = "\
install
sda (SSD, 16.0 GB): empty
sdb (Stick, 1.3 GB): weir (weir runs from it)
sdc (HDD, 500.1 GB): NTFS (Windows)
install DISK puts weir on one of them
weir> ";
    assert_eq!(bench.types("install\r"), list);
    assert!(bench.types("install sdz\r").contains("there is no disk \"sdz\"\nsda (SSD"));
    let said = "install sdb\nnothing has changed: sdb (Stick, 1.3 GB): weir runs from it\nweir> ";
    assert_eq!(bench.types("install sdb\r"), said);
    assert!(bench.types("install /dev/sda\r").ends_with("sda (SSD, 16.0 GB): it is empty.\nweir is written to it, the running slot into both slots, with a copy of all of /perm.\ntype yes to do it: "));
    assert_eq!(bench.types("yes\r"), "yes\nwriting sda: 10 %\nweir> ");
    let said = bench.types("install sdc\r");
    assert!(
        said.contains("on it is NTFS (Windows): ALL OF IT WILL BE LOST") && said.ends_with("type sdc to do it: "),
        "{said}"
    );
    assert_eq!(bench.types("yes\r"), "yes\nnothing has changed\nweir> ");
    bench.types("install sdc\r");
    assert_eq!(bench.types("sdc\r"), "sdc\nPID 1 refuses: weir is being installed on sda\nweir> ");
}

#[test]
fn transcript_of_capture() {
    let mut bench = Bench::new(Some(|request| {
        assert_eq!(request, "{\"op\":\"ring\"}\n");
        vec![r#"{"line":"lan0   7 control packets"}"#, r#"{"end":true}"#]
    }));
    bench.types("\r");
    assert_eq!(bench.types("capture\r"), "capture\nlan0   7 control packets\nweir> ");
    let mut bench = Bench::new(Some(|request| {
        assert_eq!(request, "{\"on\":false,\"op\":\"record\"}\n");
        vec![r#"{"line":"nothing is kept"}"#, r#"{"end":true}"#]
    }));
    bench.types("\r");
    assert_eq!(bench.types("capture off\r"), "capture off\nnothing is kept\nweir> ");
    assert!(bench.types("capture of\r").contains("capture does not take \"of\""));
}

/// What the manual's session types, and who answers what.
const SESSION: &[&str] = &[
    "help",
    "status",
    "clock",
    "leases",
    "firewall",
    "capture",
    "top",
    "lan 192.168.7.1/24",
    "keep",
    "factory-reset",
    "no",
];

fn manual() -> String {
    let mut bench = Bench::new(Some(|request| {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        match request["op"].as_str().unwrap() {
            "list" => vec![LIST],
            "time" => vec![
                r#"{"time":"2026-11-26T18:00:00.5Z","right":true,"source":"192.0.2.1","stratum":3,"offset":-0.0012,"uncertainty":0.004}"#,
            ],
            "ring" => vec![
                r#"{"line":"uplink0            412 control packets, the oldest of 604 min ago"}"#,
                r#"{"line":"lan0              1588 control packets, the oldest of 301 min ago"}"#,
                r#"{"line":"391 KiB are held; 0 packets had to make room for later ones"}"#,
                r#"{"line":"they and those to come:  weir capture ROUTER | wireshark -k -i -"}"#,
                r#"{"end":true}"#,
            ],
            "try" => vec![r#"{"ok":true,"confirm":60}"#],
            "keep" => vec![r#"{"ok":true}"#],
            other => panic!("{other}"),
        }
    }));
    let mut text = bench.types("\r").trim_start().to_owned();
    for line in SESSION {
        text.push_str(&bench.types(format!("{line}\r")));
    }
    text
}

#[test]
fn the_session_in_the_manual_is_what_the_console_shows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONSOLE.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let kept = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let session = manual();
    assert_eq!(kept.trim_end(), session.trim_end(), "docs/CONSOLE.md is to hold:\n{session}");
    // Every command has its line there, and every line is one.
    for line in HELP.lines() {
        let verb = line.split(' ').next().unwrap();
        assert!(page.contains(&format!("`{verb}")), "{verb} is not explained");
    }
}
