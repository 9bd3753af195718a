//! Queueing disciplines as rtnetlink describes them: CAKE on what leaves an interface, and a way to lead what comes in
//! through another interface, so that it queues there.
use crate::netlink::builder::{Builder, Message, attributes, text, u32_at};

/// A discipline at the root of an interface, or at its entrance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// The interface.
    pub index: u32,
    /// `fq_codel`, `cake`, `ingress`, ...
    pub kind: String,
    /// Its own number; [`HANDLE`] says that we made it.
    pub handle: u32,
    /// Its options, when it is CAKE.
    pub cake: Option<Cake>,
    /// What it has seen since it was made.
    pub counts: Counts,
}

/// What a discipline has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Bytes sent.
    pub bytes: u64,
    /// Packets sent.
    pub packets: u32,
    /// Packets dropped.
    pub drops: u32,
    /// Bytes that wait.
    pub backlog: u32,
}

/// Options of CAKE; all others are as the kernel has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cake {
    /// Bytes in a second; 0 = as many as the interface takes.
    pub rate: u64,
    /// Who gets a fair share.
    pub fair: Fair,
    /// Whether hosts are told apart as they were before their addresses were translated.
    pub nat: bool,
    /// Whether it stands behind the narrow place: what it drops has passed there.
    pub behind: bool,
    /// Bytes that the line puts around an IP packet, -64 to 256; `None` = a packet counts as the interface sees it.
    pub overhead: Option<i32>,
    /// The least that a packet counts, in bytes.
    pub least: u32,
    /// How the line cuts packets.
    pub framing: Framing,
}

/// Who gets a fair share of the rate, then each of its flows of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fair {
    /// Each sender.
    Senders,
    /// Each receiver.
    Receivers,
}

/// How the line cuts packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Not at all.
    #[default]
    None,
    /// Into cells of 48 bytes, each sent as 53 (ADSL).
    Atm,
    /// Into blocks of 64 bytes, each sent as 65 (VDSL2).
    Ptm,
}

/// `TC_H_MAKE(0x7765 << 16, 0)`: the number of a discipline that we made, shown as `7765:`.
pub const HANDLE: u32 = 0x7765_0000;
const ROOT: u32 = 0xffff_ffff;
/// Parent and number of the discipline at the entrance.
const ENTRANCE: u32 = 0xffff_fff1;
const AT_ENTRANCE: u32 = 0xffff_0000;
pub(crate) const RTM_GETQDISC: u16 = 38;

/// linux/pkt_sched.h, the attributes of CAKE.
mod cake {
    pub const RATE: u16 = 2;
    pub const DIFFSERV: u16 = 3;
    pub const ATM: u16 = 4;
    pub const FLOWS: u16 = 5;
    pub const OVERHEAD: u16 = 6;
    pub const NAT: u16 = 11;
    pub const RAW: u16 = 12;
    pub const MPU: u16 = 14;
    pub const INGRESS: u16 = 15;
    /// Bulk, best effort, voice: by the packet's own mark.
    pub const THREE: u32 = 0;
    pub const DUAL_SOURCE: u32 = 5;
    pub const DUAL_DESTINATION: u32 = 6;
}

// tcmsg: family, padding, interface, handle, parent, info.
fn header(builder: &mut Builder, index: u32, handle: u32, parent: u32, info: u32) {
    builder.raw(&[0; 4]).raw(&index.to_ne_bytes()).raw(&handle.to_ne_bytes());
    builder.raw(&parent.to_ne_bytes()).raw(&info.to_ne_bytes());
}

const ACK: u16 = libc::NLM_F_ACK as u16;

/// Puts CAKE at the root, or changes the one that we have put there; every option is said.
pub(crate) fn write_cake(builder: &mut Builder, index: u32, options: &Cake) {
    builder.message(libc::RTM_NEWQDISC, ACK | (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16);
    header(builder, index, HANDLE, ROOT, 0);
    builder.text(libc::TCA_KIND, "cake").nest(libc::TCA_OPTIONS, |inner| {
        let fair = match options.fair {
            Fair::Senders => cake::DUAL_SOURCE,
            Fair::Receivers => cake::DUAL_DESTINATION,
        };
        inner.bytes(cake::RATE, &options.rate.to_ne_bytes()).u32(cake::DIFFSERV, cake::THREE);
        inner.u32(cake::FLOWS, fair).u32(cake::NAT, options.nat.into()).u32(cake::INGRESS, options.behind.into());
        inner.u32(cake::ATM, options.framing as u32).u32(cake::MPU, options.least);
        inner.bytes(cake::OVERHEAD, &options.overhead.unwrap_or(0).to_ne_bytes());
        if options.overhead.is_none() {
            inner.u32(cake::RAW, 0);
        }
    });
}

/// Takes away what we have put at the root: the kernel's default comes back.
pub(crate) fn write_delete(builder: &mut Builder, index: u32) {
    builder.message(libc::RTM_DELQDISC, ACK);
    header(builder, index, HANDLE, ROOT, 0);
}

/// Makes the discipline at the entrance.
pub(crate) fn write_entrance(builder: &mut Builder, index: u32) {
    builder.message(libc::RTM_NEWQDISC, ACK | (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16);
    header(builder, index, AT_ENTRANCE, ENTRANCE, 0);
    builder.text(libc::TCA_KIND, "ingress");
}

/// Takes it away, with what leads away from it.
pub(crate) fn write_delete_entrance(builder: &mut Builder, index: u32) {
    builder.message(libc::RTM_DELQDISC, ACK);
    header(builder, index, AT_ENTRANCE, ENTRANCE, 0);
}

/// Leads everything that comes in by an interface through another one.
pub(crate) fn write_lead(builder: &mut Builder, index: u32, through: u32) {
    /// linux/pkt_cls.h, linux/tc_act/tc_mirred.h.
    const MATCHALL_ACTIONS: u16 = 2;
    const ACTION_KIND: u16 = 1;
    const ACTION_OPTIONS: u16 = 2;
    const PARAMETERS: u16 = 2;
    const STOLEN: u32 = 4;
    const REDIRECT: u32 = 1;
    builder.message(libc::RTM_NEWTFILTER, ACK | (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16);
    // Priority 1, every protocol.
    let info = 1 << 16 | u32::from((libc::ETH_P_ALL as u16).to_be());
    header(builder, index, 0, AT_ENTRANCE, info);
    builder.text(libc::TCA_KIND, "matchall").nest(libc::TCA_OPTIONS, |options| {
        options.nest(MATCHALL_ACTIONS, |actions| {
            actions.nest(1, |action| {
                action.text(ACTION_KIND, "mirred").nest(ACTION_OPTIONS, |mirred| {
                    // struct tc_mirred: number, capabilities, action, two counts, what is done, interface.
                    let words = [0, 0, STOLEN, 0, 0, REDIRECT, through];
                    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                    mirred.bytes(PARAMETERS, &bytes);
                });
            });
        });
    });
}

impl Qdisc {
    /// `None` for one that is neither at the root nor at the entrance.
    pub(crate) fn parse(message: &Message<'_>) -> Option<Qdisc> {
        if message.kind != libc::RTM_NEWQDISC {
            return None;
        }
        let (index, handle) = (u32_at(message.payload, 4)?, u32_at(message.payload, 8)?);
        if ![ROOT, ENTRANCE].contains(&u32_at(message.payload, 12)?) {
            return None;
        }
        let mut found = Qdisc { index, kind: String::new(), handle, cake: None, counts: Counts::default() };
        let mut options = None;
        for (kind, value) in attributes(message.payload.get(20..)?) {
            match kind {
                libc::TCA_KIND => found.kind = text(value),
                libc::TCA_OPTIONS => options = Some(value),
                libc::TCA_STATS2 => found.counts = Counts::parse(value),
                _ => (),
            }
        }
        found.cake = options.filter(|_| found.kind == "cake").and_then(Cake::parse);
        Some(found)
    }

    /// Whether it is CAKE that we have made.
    pub fn is_ours(&self) -> bool {
        self.handle == HANDLE && self.kind == "cake"
    }

    /// Whether it is the one at the entrance.
    pub fn is_entrance(&self) -> bool {
        self.handle == AT_ENTRANCE && self.kind == "ingress"
    }
}

impl Counts {
    // struct gnet_stats_basic: bytes, packets. struct gnet_stats_queue: length, backlog, drops, requeues, overlimits.
    fn parse(value: &[u8]) -> Counts {
        const BASIC: u16 = 1;
        const QUEUE: u16 = 3;
        let mut counts = Counts::default();
        for (kind, value) in attributes(value) {
            let number = |at| u32_at(value, at).unwrap_or_default();
            match kind {
                BASIC => {
                    let bytes = value.get(..8).and_then(|bytes| bytes.try_into().ok());
                    (counts.bytes, counts.packets) = (bytes.map_or(0, u64::from_ne_bytes), number(8));
                }
                QUEUE => (counts.backlog, counts.drops) = (number(4), number(8)),
                _ => (),
            }
        }
        counts
    }
}

impl Cake {
    fn parse(options: &[u8]) -> Option<Cake> {
        let mut found = Cake {
            rate: 0,
            fair: Fair::Senders,
            nat: false,
            behind: false,
            overhead: Some(0),
            least: 0,
            framing: Framing::None,
        };
        let mut raw = false;
        for (kind, value) in attributes(options) {
            let number = || u32_at(value, 0);
            match kind {
                cake::RATE => found.rate = u64::from_ne_bytes(value.try_into().ok()?),
                cake::FLOWS => {
                    found.fair = match number()? {
                        cake::DUAL_SOURCE => Fair::Senders,
                        cake::DUAL_DESTINATION => Fair::Receivers,
                        _ => return None,
                    }
                }
                cake::NAT => found.nat = number()? != 0,
                cake::INGRESS => found.behind = number()? != 0,
                cake::OVERHEAD => found.overhead = Some(i32::from_ne_bytes(value.try_into().ok()?)),
                cake::RAW => raw = true,
                cake::MPU => found.least = number()?,
                cake::ATM => {
                    found.framing = match number()? {
                        0 => Framing::None,
                        1 => Framing::Atm,
                        2 => Framing::Ptm,
                        _ => return None,
                    }
                }
                _ => (),
            }
        }
        found.overhead = found.overhead.filter(|_| !raw);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::builder::messages;
    use proptest::prelude::*;

    fn written(options: &Cake) -> Vec<u8> {
        let mut builder = Builder::new(1);
        write_cake(&mut builder, 3, options);
        builder.done().to_vec()
    }

    #[test]
    fn options_that_are_written_are_read() {
        let plain = Cake {
            rate: 2_500_000,
            fair: Fair::Senders,
            nat: true,
            behind: false,
            overhead: None,
            least: 0,
            framing: Framing::None,
        };
        let adsl = Cake { fair: Fair::Receivers, overhead: Some(-4), least: 96, framing: Framing::Atm, ..plain };
        for options in [plain, adsl, Cake { behind: true, framing: Framing::Ptm, overhead: Some(0), ..plain }] {
            let bytes = written(&options);
            let found = Qdisc::parse(&messages(&bytes).next().unwrap()).unwrap();
            assert_eq!((found.index, found.cake, found.is_ours()), (3, Some(options), true));
        }
    }

    #[test]
    fn only_what_stands_at_an_end_is_seen() {
        let mut builder = Builder::new(1);
        write_entrance(&mut builder, 3);
        builder.message(libc::RTM_NEWQDISC, 0);
        header(&mut builder, 3, 0, 0x1_0001, 0);
        let bytes = builder.done().to_vec();
        let all: Vec<_> = messages(&bytes).map(|message| Qdisc::parse(&message)).collect();
        assert!(all[0].as_ref().unwrap().is_entrance() && !all[0].as_ref().unwrap().is_ours());
        assert_eq!(all[1], None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_met(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Qdisc::parse(&Message { kind: libc::RTM_NEWQDISC, flags: 0, sequence: 0, payload: &payload });
            let _ = Cake::parse(&payload);
            let _ = Counts::parse(&payload);
        }
    }
}
