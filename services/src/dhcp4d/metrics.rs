//! What dhcp4d shows at `/metrics`: router7's gauge, and what it counts besides.
use super::engine::{Engine, table::Record};
use super::message::Kind;
use crate::metrics::Exposition;
use netstack::time::Instant;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages of clients that were understood.
    pub received: u64,
    /// Datagrams that were none.
    pub refused: u64,
    /// OFFER, ACK and NAK.
    pub sent: [u64; 3],
    /// Replies that the kernel did not take.
    pub lost: u64,
    /// The same of DHCPv6: messages, datagrams that were none, replies, and those lost.
    pub six: [u64; 4],
}

impl Counts {
    /// One more reply.
    pub fn sent(&mut self, kind: Kind) {
        match kind {
            Kind::Offer => self.sent[0] += 1,
            Kind::Ack => self.sent[1] += 1,
            _ => self.sent[2] += 1,
        }
    }
}

/// The page.
pub fn page(now: Instant, engine: &Engine, counts: &Counts, commits: u64, in_memory: bool) -> Vec<u8> {
    let (mut running, mut fixed) = (0u64, 0u64);
    let mut count = |record: &Record| {
        running += u64::from(!record.expired(now));
        fixed += u64::from(record.expiry.is_none());
    };
    engine.walk(&mut super::engine::Cursor::default(), usize::MAX, |_, _, record| count(record));
    let mut page = Exposition::default();
    page.metric("non_expired_leases", "gauge", "Leases that have not run out.").value(
        "non_expired_leases",
        &[],
        running,
    );
    page.metric("weir_dhcp4d_static_leases", "gauge", "Leases that never run out.");
    page.value("weir_dhcp4d_static_leases", &[], fixed);
    page.metric("weir_dhcp4d_received_total", "counter", "Messages of clients.");
    page.value("weir_dhcp4d_received_total", &[], counts.received);
    page.metric("weir_dhcp4d_refused_total", "counter", "Datagrams that are no message of a client.");
    page.value("weir_dhcp4d_refused_total", &[], counts.refused);
    page.metric("weir_dhcp4d_sent_total", "counter", "Replies, by what they are.");
    for (kind, count) in ["offer", "ack", "nak"].into_iter().zip(counts.sent) {
        page.value("weir_dhcp4d_sent_total", &[("kind", kind)], count);
    }
    page.metric("weir_dhcp4d_lost_total", "counter", "Replies that the kernel did not take.");
    page.value("weir_dhcp4d_lost_total", &[], counts.lost);
    let bindings = engine.six.entries().filter(|given| given.expiry > super::engine::table::stamp(now)).count();
    page.metric("weir_dhcp6d_bindings", "gauge", "Clients of DHCPv6 that have addresses.");
    page.value("weir_dhcp6d_bindings", &[], bindings);
    page.metric("weir_dhcp6d_messages_total", "counter", "Messages of DHCPv6, by what became of them.");
    for (kind, count) in ["received", "refused", "sent", "lost"].into_iter().zip(counts.six) {
        page.value("weir_dhcp6d_messages_total", &[("kind", kind)], count);
    }
    page.metric("weir_dhcp4d_commits_total", "counter", "Times that promises were brought onto the disk.");
    page.value("weir_dhcp4d_commits_total", &[], commits);
    page.metric("weir_dhcp4d_from_memory", "gauge", "1 while the disk takes no promises.");
    page.value("weir_dhcp4d_from_memory", &[], u8::from(in_memory));
    page.into_bytes()
}
