//! What is sent in which state.
use super::exchange::Exchange;
use super::{Bindings, Engine, State};
use crate::dhcp6::message::{For, Item};
use netstack::time::Instant;
use netstack::wire::dhcpv6::{self, Kind, Option6, code};

/// Asked for in every message that may.
const REQUESTED: [u16; 5] =
    [code::DNS_SERVERS, code::DOMAIN_LIST, code::SNTP_SERVERS, code::NTP_SERVER, code::SOL_MAX_RT];
/// Asked for by an INFORMATION-REQUEST besides.
const OF_INFORMATION: [u16; 2] = [code::INFORMATION_REFRESH_TIME, code::INF_MAX_RT];

fn request(codes: &[u16]) -> Option6 {
    (code::ORO, codes.iter().flat_map(|code| code.to_be_bytes()).collect())
}

/// An association with leases; their lifetimes are the server's business (RFC 9915, sections 21.6 and 21.22).
fn association(is_for: For, iaid: u32, items: impl Iterator<Item = Item>) -> Option6 {
    let lease = |item: Item| match is_for {
        For::Address => dhcpv6::address(item.net.addr(), (0, 0)),
        For::Prefix => dhcpv6::prefix(item.net, (0, 0)),
    };
    let code = if is_for == For::Address { code::IA_NA } else { code::IA_PD };
    dhcpv6::association(code, iaid, (0, 0), &items.map(lease).collect::<Vec<_>>())
}

impl Engine {
    /// The message of the present state.
    pub(super) fn message(&self, exchange: &Exchange, now: Instant) -> Vec<u8> {
        let mut options = vec![(code::CLIENT_ID, self.identity.duid.clone())];
        let kind = match self.state {
            State::Requesting => Kind::Request,
            State::Renewing => Kind::Renew,
            State::Rebinding => Kind::Rebind,
            State::Confirming => Kind::Confirm,
            State::Releasing => Kind::Release,
            State::Soliciting | State::Bound | State::Off => Kind::Solicit,
        };
        let server = match self.state {
            State::Requesting => self.offer.as_ref().map(|offer| offer.server.clone()),
            State::Renewing => Some(self.bindings.server.clone()),
            State::Releasing => Some(self.released.server.clone()),
            _ => None,
        };
        options.extend(server.filter(|server| !server.is_empty()).map(|server| (code::SERVER_ID, server)));
        options.push((code::ELAPSED_TIME, exchange.elapsed(now).to_be_bytes().to_vec()));
        if !matches!(kind, Kind::Confirm | Kind::Release) {
            options.push(request(&REQUESTED));
        }
        if kind == Kind::Solicit && self.wishes.rapid_commit {
            options.push((code::RAPID_COMMIT, Vec::new()));
        }
        options.extend(self.associations(kind, now));
        dhcpv6::emit(kind, exchange.xid, &options)
    }

    fn associations(&self, kind: Kind, now: Instant) -> Vec<Option6> {
        let held = if kind == Kind::Release { &self.released } else { &self.bindings };
        let mut all = Vec::new();
        for (is_for, iaid, hint) in self.wishes.associations(self.identity.iaid) {
            let offered = self.offer.as_ref().filter(|_| kind == Kind::Request).map(|offer| {
                let of_iaid = offer.ias.iter().filter(|ia| (ia.is_for, ia.iaid) == (is_for, iaid));
                of_iaid.flat_map(|ia| ia.items.iter().copied()).collect::<Vec<_>>()
            });
            let items = offered.unwrap_or_else(|| leases(held, is_for, iaid, now));
            let bare = items.is_empty();
            match kind {
                // One that holds nothing has nothing to confirm or to give back.
                Kind::Confirm if is_for == For::Prefix || bare => {}
                Kind::Release if bare => {}
                Kind::Solicit if bare => {
                    let hint = hint.map(|net| Item { net, preferred: 0, valid: 0 });
                    all.push(association(is_for, iaid, hint.into_iter()));
                }
                _ => all.push(association(is_for, iaid, items.into_iter())),
            }
        }
        all
    }

    /// An INFORMATION-REQUEST.
    pub(super) fn ask_information(&self, exchange: &Exchange, now: Instant) -> Vec<u8> {
        let codes: Vec<u16> = REQUESTED.into_iter().chain(OF_INFORMATION).collect();
        let options = [
            (code::CLIENT_ID, self.identity.duid.clone()),
            (code::ELAPSED_TIME, exchange.elapsed(now).to_be_bytes().to_vec()),
            request(&codes),
        ];
        dhcpv6::emit(Kind::InformationRequest, exchange.xid, &options)
    }
}

fn leases(held: &Bindings, is_for: For, iaid: u32, now: Instant) -> Vec<Item> {
    let of_iaid = held.all.iter().filter(|binding| (binding.is_for, binding.iaid) == (is_for, iaid));
    let items = of_iaid.flat_map(|binding| &binding.items).filter(|item| item.is_valid(now));
    items.map(|item| Item { net: item.value, preferred: 0, valid: 0 }).collect()
}
