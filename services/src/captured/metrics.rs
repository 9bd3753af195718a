//! What captured shows at `/metrics`.
use crate::metrics::Exposition;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Clients that were shown something.
    pub shown: u64,
    /// Clients that were not let in.
    pub refused: u64,
}

impl Counts {
    /// The page: `faces` with packets seen and lost, `ring` with bytes held and packets pushed out.
    pub fn page(&self, faces: &[(String, u64, u64)], (held, pushed_out): (usize, u64), clients: usize) -> Vec<u8> {
        let mut page = Exposition::default();
        page.metric("weir_capture_packets_total", "counter", "Control packets that were seen.");
        for (name, seen, _) in faces {
            page.value("weir_capture_packets_total", &[("interface", name)], seen);
        }
        page.metric(
            "weir_capture_lost_packets_total",
            "counter",
            "Control packets that came faster than they were taken.",
        );
        for (name, _, lost) in faces {
            page.value("weir_capture_lost_packets_total", &[("interface", name)], lost);
        }
        page.metric("weir_capture_ring_bytes", "gauge", "What the last packets take.");
        page.value("weir_capture_ring_bytes", &[], held);
        page.metric("weir_capture_pushed_out_packets_total", "counter", "Packets that made room for later ones.");
        page.value("weir_capture_pushed_out_packets_total", &[], pushed_out);
        page.metric("weir_capture_clients", "gauge", "Clients that are connected.");
        page.value("weir_capture_clients", &[], clients);
        page.metric("weir_capture_clients_total", "counter", "Clients, by what came of them.");
        for (result, count) in [("shown", self.shown), ("refused", self.refused)] {
            page.value("weir_capture_clients_total", &[("result", result)], count);
        }
        page.into_bytes()
    }
}
