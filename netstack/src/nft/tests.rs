//! Against the real kernel, in a namespace of the test's own: what `nft` lists must be what `nft -f` would have made.
use super::*;
use crate::testing::in_namespace;
use std::io::Write;
use std::process::{Command, Stdio};

const REFERENCE: &str = r#"
table inet weir {
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
        oifname "uplink0" tcp flags syn tcp option maxseg size set rt mtu
        drop
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        meta nfproto ipv4 oifname "uplink0" masquerade
    }
}"#;

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
        .rule(Rule::new().oifname("uplink0").tcp_syn().clamp_mss())
        .rule(Rule::new().drop());
    let postrouting = Chain::base("postrouting", Kind::Nat, Hook::Postrouting, 100, Policy::Accept)
        .rule(Rule::new().ipv4().oifname("uplink0").masquerade());
    let extra = Chain::plain("extra").rule(Rule::new().udp_to(53).accept());
    let source = |net: &str| Rule::new().ipv6_source(net.parse().unwrap()).back();
    let extra =
        extra.rule(source("2001:db8::/56")).rule(source("2001:db8::/61")).rule(Rule::new().ipv6().reject_icmpv6(5));
    Table::new("weir").chain(input).chain(extra).chain(forward).chain(postrouting)
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
