//! A look at the firewall: what the files let in, and what netconfigd's page says of refused packets and rules. Its socket is
//! the kernel's business alone; the page is what everybody at home may see.
use super::engine::Firewall;
use crate::perm::file;
use crate::perm::forwardings::{Forwardings, Host};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// netconfigd's page.
const PAGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8066);
/// How long netconfigd may take: it is on the same machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// More of the page is not read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Looks.
///
/// # Errors
/// When netconfigd does not answer.
pub fn look(root: &Path) -> io::Result<Firewall> {
    let mut stream = TcpStream::connect_timeout(&PAGE, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(LARGEST).read_to_end(&mut bytes)?;
    let mut found = read(&String::from_utf8_lossy(&bytes));
    let path = file::in_force(root, rights::FORWARDINGS);
    let text = file::read(&path)?.unwrap_or_default();
    found.open = match Forwardings::parse(&path, &text) {
        Ok(forwardings) if !text.is_empty() => open(&forwardings),
        // netconfigd says what is wrong with it.
        _ => Vec::new(),
    };
    Ok(found)
}

fn open(all: &Forwardings) -> Vec<String> {
    let protocol = |number: u8| if number == 6 { "tcp" } else { "udp" };
    let ports = |(first, last): (u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let from = |net: Option<String>| net.map_or_else(String::new, |net| format!(" from {net}"));
    let forwards = all.forwards.iter().map(|forward| {
        let source = from(forward.source.map(|net| net.to_string()));
        format!(
            "{} {} to {}, {}{source}",
            protocol(forward.protocol),
            ports(forward.ports),
            forward.to,
            ports(forward.to_ports)
        )
    });
    let pinholes = all.pinholes.iter().map(|pinhole| {
        let host = match &pinhole.host {
            Host::Suffix(suffix) => suffix.to_string(),
            Host::Device(device) => device.to_string(),
        };
        let source = from(pinhole.source.map(|net| net.to_string()));
        format!("{} {} to IPv6 {host} on {}{source}", protocol(pinhole.protocol), ports(pinhole.ports), pinhole.lan)
    });
    forwards.chain(pinholes).collect()
}

/// The figures of a page of metrics.
fn read(page: &str) -> Firewall {
    let mut found = Firewall::default();
    for line in page.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.trim().parse::<u64>() else { continue };
        let label = || series.split('"').nth(1).unwrap_or_default().to_owned();
        match series.split('{').next() {
            Some("weir_dropped_packets_total") => found.refused.push((label(), value)),
            Some("weir_rule_packets_total") => found.rules.push((label(), value)),
            Some("weir_connections") => found.connections.0 = value,
            Some("weir_connections_limit") => found.connections.1 = value,
            Some("weir_connections_offloaded") => found.offloaded = value,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_and_openings_are_read() {
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n# HELP weir_connections x\nweir_connections 12\n\
            weir_connections_limit 8192\nweir_connections_offloaded 3\nweir_dropped_packets_total{cause=\"wan\"} 40\n\
            weir_rule_packets_total{rule=\"night\"} 7\nweir_rule_packets_total{rule=\"x\"} much\n";
        let found = read(page);
        assert_eq!((found.connections, found.offloaded), ((12, 8_192), 3));
        assert_eq!((found.refused, found.rules), (vec![("wan".into(), 40)], vec![("night".into(), 7)]));
        let text = r#"{"forwardings":[{"port":"80-82","dest_addr":"192.168.42.9"}],
            "pinholes":[{"port":"22","proto":"tcp","suffix":"::9","lan":"lan0","source":"2001:db8::/32"}]}"#;
        let forwardings = Forwardings::parse(Path::new("portforwardings.json"), text.as_bytes()).unwrap();
        let want = ["tcp 80-82 to 192.168.42.9, 80-82", "tcp 22 to IPv6 ::9 on lan0 from 2001:db8::/32"];
        assert_eq!(open(&forwardings), want, "{:?}", forwardings.refused);
    }

    proptest! {
        #[test]
        fn any_page_is_met(page in "[a-z_{}\"= \n0-9]{0,200}") {
            let _ = read(&page);
        }
    }
}
