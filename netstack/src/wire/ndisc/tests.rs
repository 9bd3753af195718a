//! What is written is read, by us and by smoltcp; any bytes are met; real messages from the corpus.
use super::*;
use proptest::prelude::*;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn net(text: &str) -> Ipv6Net {
    text.parse().unwrap()
}

fn full() -> Advertisement {
    let prefix = |text: &str, valid| Prefix { prefix: net(text), on_link: true, autonomous: true, valid, preferred: 7 };
    Advertisement {
        hop_limit: 64,
        managed: false,
        other_config: true,
        router_lifetime: 1_800,
        items: vec![
            Item::Rdnss(vec![ROUTER, "2001:db8::53".parse().unwrap()], 1_800),
            Item::Prefix(prefix("2001:db8:a::/64", 5_400)),
            Item::Prefix(prefix("fd00:1:2:3::/64", u32::MAX)),
            Item::Dnssl(vec!["lan".into(), "home.example".into()], 1_200),
            Item::Mtu(1_492),
            Item::SourceLink([2, 0, 0, 0, 0, 9]),
            Item::Route(net("2001:db8:a::/56"), 600),
            Item::Route(net("2001:db8:b:c:d::/80"), 600),
            Item::Route(net("::/0"), 0),
            Item::Pref64(net("64:ff9b::/96"), 1_800),
            Item::CaptivePortal("https://example.org/api".into()),
        ],
    }
}

#[test]
fn what_is_written_is_read() {
    let bytes = full().emit();
    assert_eq!(Advertisement::parse(&bytes, ROUTER, 255), Some(full()));
    assert_eq!(bytes.len() % 8, 0);
    assert_eq!(Advertisement::parse(&bytes, ROUTER, 64), None, "forwarded");
    assert_eq!(Advertisement::parse(&bytes, "2001:db8::1".parse().unwrap(), 255), None, "not link-local");
}

#[test]
fn smoltcp_reads_what_we_write() {
    use smoltcp::wire::{Icmpv6Packet, NdiscRepr};
    let prefix = full().items.remove(1);
    let bytes =
        Advertisement { items: vec![Item::SourceLink([2, 0, 0, 0, 0, 9]), Item::Mtu(1_492), prefix], ..full() }.emit();
    let packet = Icmpv6Packet::new_checked(&bytes[..]).unwrap();
    let NdiscRepr::RouterAdvert { hop_limit, router_lifetime, mtu, prefix_info, .. } =
        NdiscRepr::parse(&packet).unwrap()
    else {
        panic!("no advertisement")
    };
    assert_eq!((hop_limit, router_lifetime.secs(), mtu), (64, 1_800, Some(1_492)));
    assert_eq!(prefix_info.unwrap().valid_lifetime.secs(), 5_400);
}

#[test]
fn a_solicitation_is_taken_as_the_rfc_has_it() {
    let host: Ipv6Addr = "fe80::7".parse().unwrap();
    let bare = [133, 0, 0, 0, 0, 0, 0, 0];
    let with_link = [&bare[..], &[1, 1, 2, 0, 0, 0, 0, 7]].concat();
    assert_eq!(Solicitation::parse(&bare, host, 255), Some(Solicitation { source: host }));
    assert!(Solicitation::parse(&with_link, host, 255).is_some());
    assert!(Solicitation::parse(&bare, Ipv6Addr::UNSPECIFIED, 255).is_some());
    for (bytes, source, hop_limit) in [
        (&bare[..], host, 254),
        (&bare[..7], host, 255),
        (&[133, 1, 0, 0, 0, 0, 0, 0][..], host, 255),
        (&with_link[..], Ipv6Addr::UNSPECIFIED, 255),
        (&[133, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], host, 255),
        (&with_link[..15], host, 255),
        (&bare[..], ALL_NODES, 255),
    ] {
        assert_eq!(Solicitation::parse(bytes, source, hop_limit), None, "{bytes:?} from {source}");
    }
}

/// A real message; `corpus/ndisc` holds whole ICMPv6 messages as Debian's programs sent them.
fn real(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/ndisc");
    std::fs::read(folder.join(name).with_extension("bin")).unwrap()
}

#[test]
fn real_routers_are_read() {
    let [radvd, farewell, dnsmasq] = ["radvd-advertisement", "radvd-farewell", "dnsmasq-advertisement"].map(|name| {
        let bytes = real(name);
        for end in 0..bytes.len() {
            let _ = Advertisement::parse(&bytes[..end], ROUTER, 255);
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[end] ^= 1 << bit;
                let _ = Advertisement::parse(&damaged, ROUTER, 255);
            }
        }
        Advertisement::parse(&bytes, ROUTER, 255).unwrap_or_else(|| panic!("{name}"))
    });
    let servers = vec!["2001:db8:1::53".parse().unwrap(), "2001:db8:1::54".parse().unwrap()];
    // radvd's third flag of a prefix says that the field holds the router's address: host bits that count for nothing.
    let first =
        Prefix { prefix: net("2001:db8:1::/64"), on_link: true, autonomous: true, valid: 86_400, preferred: 14_400 };
    let second = Prefix { prefix: net("fd00:1::/64"), valid: 7_200, preferred: 0, ..first };
    assert!(radvd.managed && radvd.other_config && radvd.router_lifetime == 12, "{radvd:?}");
    assert_eq!(
        radvd.items,
        [
            Item::Prefix(first),
            Item::Prefix(second),
            Item::Route(net("2001:db8:ff::/48"), 600),
            Item::Route(net("::/0"), 60),
            Item::Rdnss(servers.clone(), 60),
            Item::Dnssl(vec!["example.org".into(), "lan".into()], 60),
            Item::Mtu(1_492),
            Item::SourceLink([0x72, 0xa8, 1, 0x5c, 0x8d, 0x0e]),
        ]
    );
    assert_eq!(farewell.router_lifetime, 0);
    assert!(farewell.items.contains(&Item::Rdnss(servers, 0)), "{farewell:?}");
    assert_eq!((dnsmasq.router_lifetime, dnsmasq.hop_limit, dnsmasq.managed), (600, 64, false));
    assert!(dnsmasq.items.contains(&Item::Prefix(Prefix { valid: 300, preferred: 300, ..first })), "{dnsmasq:?}");
    assert!(dnsmasq.items.contains(&Item::Mtu(1_480)), "{dnsmasq:?}");
}

#[test]
fn real_hosts_are_heard() {
    let host: Ipv6Addr = "fe80::7".parse().unwrap();
    for name in ["linux-solicitation", "rdisc6-solicitation"] {
        assert_eq!(Solicitation::parse(&real(name), host, 255), Some(Solicitation { source: host }), "{name}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_met_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        for kind in [SOLICITATION, ADVERTISEMENT] {
            if let [first, second, ..] = &mut bytes[..] {
                (*first, *second) = (kind, 0);
            }
            let _ = Solicitation::parse(&bytes, ROUTER, 255);
            if let Some(advertisement) = Advertisement::parse(&bytes, ROUTER, 255) {
                let again = Advertisement::parse(&advertisement.emit(), ROUTER, 255);
                prop_assert_eq!(again.map(|again| again.items.len()), Some(advertisement.items.len()));
            }
        }
    }

    #[test]
    fn a_full_one_cut_or_changed_is_met_without_panic(end in 0usize..300, at in 0usize..300, byte in any::<u8>()) {
        let mut bytes = full().emit();
        bytes.truncate(end.max(1));
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Advertisement::parse(&bytes, ROUTER, 255);
    }
}
