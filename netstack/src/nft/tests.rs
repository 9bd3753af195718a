//! Against the real kernel, in a namespace of the test's own: what `nft` lists must be what `nft -f` would have made.
use super::*;
use crate::testing::in_namespace;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

const REFERENCE: &str = r#"
table inet weir {
    counter refused { }
    map kept { type inet_proto . inet_service : ipv4_addr; flags interval; elements = { tcp . 100-200 : 192.168.1.1 }; }
    map moved {
        type inet_proto . inet_service : ipv4_addr . inet_service; flags interval;
        elements = { tcp . 8080 : 192.168.1.1 . 80, udp . 5000-5001 : 192.168.1.2 . 53 };
    }
    set pinholes { type ipv6_addr . inet_proto . inet_service; size 1; elements = { 2001:db8::1 . tcp . 22 }; }
    set bogons { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 11.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4 }; }
    set busy { type ipv4_addr; size 4096; flags dynamic; }
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 192.168.42.0/24 return
        fib daddr type local ip saddr 198.51.100.0/25 meta l4proto tcp th dport 80-90 dnat ip to 192.168.1.1:80
        fib daddr type local dnat ip to 192.168.1.3
        fib daddr type local meta l4proto tcp dnat ip to meta l4proto . th dport map @kept
        fib daddr type local meta l4proto tcp dnat ip addr . port to meta l4proto . th dport map @moved
    }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname "lo" accept
        iifname "lan*" accept
        iifname "uplink0" meta nfproto ipv4 udp sport 67 udp dport 68 accept
        icmp type echo-request limit rate 10/second burst 20 packets accept
        icmpv6 type nd-neighbor-solicit accept
        tcp dport 22 counter accept
        jump extra
        drop
    }
    chain extra {
        udp dport 53 accept
        ip6 saddr 2001:db8::/56 return
        ip6 saddr 2001:db8::/61 return
        meta nfproto ipv6 reject with icmpv6 type policy-fail
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        meta nfproto ipv4 ip saddr @bogons counter name "refused" drop
        iifname "lan*" ct state new meta nfproto ipv4 add @busy { ip saddr ct count over 100 } drop
        meta nfproto ipv6 ip6 daddr . meta l4proto . th dport @pinholes accept
        ct status dnat accept
        ct packets >= 8 accept
        fib saddr . iif oif missing drop
        limit rate 1/second burst 5 packets log prefix "refused: " level info
        oifname "uplink0" tcp flags syn tcp option maxseg size set rt mtu
        drop
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        meta nfproto ipv4 oifname "uplink0" masquerade
    }
}"#;

fn sets(table: Table) -> Table {
    let (tcp, udp) = (libc::IPPROTO_TCP as u8, libc::IPPROTO_UDP as u8);
    let at = |protocol, port| Value::new().protocol(protocol).port(port);
    let address = |last| Value::new().ipv4(Ipv4Addr::new(192, 168, 1, last));
    let kept = Element::range(at(tcp, 100), at(tcp, 200)).to(address(1));
    let moved = [
        Element::one(at(tcp, 8080)).to(address(1).port(80)),
        Element::range(at(udp, 5000), at(udp, 5001)).to(address(2).port(53)),
    ];
    let hole = Value::new().ipv6("2001:db8::1".parse().unwrap()).protocol(tcp).port(22);
    let bogons = ["127.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8", "240.0.0.0/4"];
    let bogons = bogons.iter().map(|net| Element::net(net.parse().unwrap())).collect();
    let service = [Field::Protocol, Field::Port];
    table
        .set(Set::map("kept", &service, &[Field::Ipv4], vec![kept]))
        .set(Set::map("moved", &service, &[Field::Ipv4, Field::Port], moved.to_vec()))
        .set(Set::ranges("pinholes", &[Field::Ipv6, Field::Protocol, Field::Port], vec![Element::one(hole)]))
        .set(Set::ranges("bogons", &[Field::Ipv4], bogons))
        .set(Set::by_rules("busy", &[Field::Ipv4], 4_096))
}

fn sample() -> Table {
    let input = Chain::base("input", Kind::Filter, Hook::Input, 0, Policy::Drop)
        .rule(Rule::new().ct_state(state::ESTABLISHED | state::RELATED).accept())
        .rule(Rule::new().ct_state(state::INVALID).drop())
        .rule(Rule::new().iifname("lo").accept())
        .rule(Rule::new().iifname("lan*").accept())
        .rule(Rule::new().iifname("uplink0").ipv4().udp(67, 68).accept())
        .rule(Rule::new().icmp(8).limit_per_second(10, 20).accept())
        .rule(Rule::new().icmpv6(135).accept())
        .rule(Rule::new().tcp_to(22).counter().accept())
        .rule(Rule::new().jump("extra"))
        .rule(Rule::new().drop());
    let forward = Chain::base("forward", Kind::Filter, Hook::Forward, 0, Policy::Drop)
        .rule(Rule::new().ipv4().in_set(&[Part::SourceIpv4], "bogons").count_in("refused").drop())
        .rule(
            Rule::new()
                .iifname("lan*")
                .ct_state(state::NEW)
                .ipv4()
                .over_connections(&[Part::SourceIpv4], "busy", 100)
                .drop(),
        )
        .rule(Rule::new().ipv6().in_set(&[Part::DestinationIpv6, Part::Protocol, Part::Port], "pinholes").accept())
        .rule(Rule::new().forwarded().accept())
        .rule(Rule::new().packets_from(8).accept())
        .rule(Rule::new().no_way_back().drop())
        .rule(Rule::new().limit_per_second(1, 5).log("refused: "))
        .rule(Rule::new().oifname("uplink0").tcp_syn().clamp_mss())
        .rule(Rule::new().drop());
    let postrouting = Chain::base("postrouting", Kind::Nat, Hook::Postrouting, 100, Policy::Accept)
        .rule(Rule::new().ipv4().oifname("uplink0").masquerade());
    let extra = Chain::plain("extra").rule(Rule::new().udp_to(53).accept());
    let source = |net: &str| Rule::new().source(net.parse().unwrap()).back();
    let extra =
        extra.rule(source("2001:db8::/56")).rule(source("2001:db8::/61")).rule(Rule::new().ipv6().reject_icmpv6(5));
    let service = [Part::Protocol, Part::Port];
    let net = |text: &str| text.parse().unwrap();
    let prerouting = Chain::base("prerouting", Kind::Nat, Hook::Prerouting, -100, Policy::Accept)
        .rule(Rule::new().destination(net("192.168.42.0/24")).back())
        .rule(
            Rule::new()
                .to_us()
                .source(net("198.51.100.0/25"))
                .protocol(libc::IPPROTO_TCP)
                .ports(80, 90)
                .dnat(Ipv4Addr::new(192, 168, 1, 1), Some(80)),
        )
        .rule(Rule::new().to_us().dnat(Ipv4Addr::new(192, 168, 1, 3), None))
        .rule(Rule::new().to_us().protocol(libc::IPPROTO_TCP).dnat_by(&service, "kept", false))
        .rule(Rule::new().to_us().protocol(libc::IPPROTO_TCP).dnat_by(&service, "moved", true));
    sets(Table::new("weir").counter("refused"))
        .chain(prerouting)
        .chain(input)
        .chain(extra)
        .chain(forward)
        .chain(postrouting)
}

fn nft(words: &[&str], input: &str) -> String {
    let mut child = Command::new("nft").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft {words:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_kernel_holds_what_nft_would_have_made() {
    in_namespace(|| {
        nft(&["-f", "-"], REFERENCE);
        let reference = nft(&["list", "ruleset"], "");
        nft(&["flush", "ruleset"], "");
        sample().replace().unwrap();
        assert_eq!(nft(&["list", "ruleset"], ""), reference);
    });
}

#[test]
fn replacing_leaves_other_tables_alone_and_a_refusal_changes_nothing() {
    in_namespace(|| {
        nft(&["-f", "-"], "table ip other { chain a { tcp dport 1 accept; }; }");
        sample().replace().unwrap();
        sample().replace().unwrap();
        let before = nft(&["list", "ruleset"], "");
        assert!(before.contains("table ip other"), "{before}");
        assert_eq!(before.matches("chain forward").count(), 1);

        let wrong =
            Table::new("weir").chain(Chain::plain("a").rule(Rule::new().drop()).rule(Rule::new().jump("missing")));
        let error = wrong.replace().unwrap_err();
        assert_eq!(error.errno, Errno::ENOENT);
        assert!(error.to_string().contains("table inet weir, chain a, rule 2"), "{error}");
        assert_eq!(nft(&["list", "ruleset"], ""), before);

        Table::new("weir").replace().unwrap();
        assert!(!nft(&["list", "ruleset"], "").contains("chain forward"));
    });
}

#[test]
fn a_thousand_rules_are_one_transaction() {
    in_namespace(|| {
        let chain = (1..=1000).fold(Chain::plain("many"), |chain, port| chain.rule(Rule::new().tcp_to(port).accept()));
        Table::new("weir").chain(chain).replace().unwrap();
        assert_eq!(nft(&["list", "ruleset"], "").matches("tcp dport").count(), 1000);
    });
}

#[test]
fn what_counts_and_what_stands_at_a_hook_stays() {
    in_namespace(|| {
        // Left by an earlier version: another chain, a chain at another priority, a set of another shape, a count.
        let earlier = "table inet weir {
            counter refused { packets 5 bytes 700; }; counter old { };
            set busy { type ipv4_addr; size 4096; flags dynamic; elements = { 192.0.2.1 ct count over 100 }; };
            map kept { type inet_service : ipv4_addr; elements = { 80 : 192.0.2.2 }; }; set gone { type mark; };
            chain input { type filter hook input priority filter; policy drop; jump other; }; chain other { accept; };
            chain forward { type filter hook forward priority 7; }; }";
        nft(&["-f", "-"], earlier);
        let handle = |chain: &str| {
            let all = nft(&["-a", "list", "chain", "inet", "weir", chain], "");
            let line = all.lines().find(|line| line.contains("chain")).unwrap();
            line.rsplit(' ').next().unwrap().to_owned()
        };
        let before = (handle("input"), handle("forward"));
        sample().replace().unwrap();
        let rules = handles("weir").unwrap().unwrap();
        assert!(rules.len() > 20 && handles("wier").unwrap().is_none());
        nft(&["flush", "chain", "inet", "weir", "extra"], "");
        assert_ne!(handles("weir").unwrap().unwrap(), rules, "a chain was emptied");
        sample().replace().unwrap();
        assert_eq!(handle("input"), before.0, "the chain stays at its hook");
        assert_ne!(handle("forward"), before.1, "another priority");
        let known = counters("weir").unwrap();
        assert_eq!(known.into_iter().collect::<Vec<_>>(), [("refused".into(), Count { packets: 5, bytes: 700 })]);
        let all = nft(&["list", "ruleset"], "");
        assert!(all.contains("192.0.2.1 ct count over 100"), "{all}");
        assert!(!all.contains("gone") && !all.contains("chain other") && !all.contains("192.0.2.2"), "{all}");
        // Again, with other elements: those of before are gone.
        let one = Element::one(Value::new().protocol(17).port(53)).to(Value::new().ipv4(Ipv4Addr::new(192, 0, 2, 3)));
        let map = Set::map("kept", &[Field::Protocol, Field::Port], &[Field::Ipv4], vec![one]);
        Table::new("weir").counter("refused").set(map).chain(Chain::plain("extra")).replace().unwrap();
        let all = nft(&["list", "ruleset"], "");
        assert!(all.contains("udp . 53 : 192.0.2.3") && !all.contains("192.168.1.1"), "{all}");
    });
}

#[test]
fn ten_thousand_elements_are_one_transaction() {
    in_namespace(|| {
        let at = |number: u16| Value::new().protocol(6).port(number);
        let to = Value::new().ipv4(Ipv4Addr::new(192, 168, 1, 1)).port(80);
        let elements = (1..=10_000).map(|number| Element::one(at(number)).to(to)).collect();
        let map = Set::map("many", &[Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port], elements);
        Table::new("weir").set(map).replace().unwrap();
        assert_eq!(nft(&["list", "ruleset"], "").matches("tcp . ").count(), 10_000);
    });
}
