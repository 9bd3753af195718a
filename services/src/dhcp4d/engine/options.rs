//! The options of an answer: those that the client asked for, in its order, as router7 does; then what has to go back.
use super::Settings;
use crate::dhcp4d::message::{Outgoing, Query};
use std::time::Duration;

/// What a client gets that did not say what it wants.
const ALL: &[u8] = &[1, 3, 6, 15, 119, 58, 59];

/// A length of time as an option has it.
pub fn seconds(duration: Duration) -> Vec<u8> {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).to_be_bytes().to_vec()
}

/// Half of a lease: when the client asks its server for more.
pub fn renewal(lease: Duration) -> Duration {
    lease / 2
}

/// Seven eighths of a lease: when it asks any server.
pub fn rebinding(lease: Duration) -> Duration {
    lease * 7 / 8
}

/// Adds them; `lease` for the answers that promise one.
pub fn add(settings: &Settings, query: &Query, lease: Option<Duration>, message: &mut Outgoing) {
    let options = &mut message.options;
    if let Some(lease) = lease {
        options.push((51, seconds(lease)));
    }
    for code in query.parameters.as_deref().unwrap_or(ALL) {
        if options.iter().any(|(there, _)| there == code) {
            continue;
        }
        let value = match (code, lease) {
            (58, Some(lease)) => seconds(renewal(lease)),
            (59, Some(lease)) => seconds(rebinding(lease)),
            (code, _) => match settings.values.get(code) {
                Some(value) => value.clone(),
                None => continue,
            },
        };
        options.push((*code, value));
    }
    if let Some((server, file)) = &settings.boot {
        message.siaddr = *server;
        message.file.clone_from(file);
    }
}

/// Adds what came with the query and goes back: the client's identifier, and last what the relay said.
pub fn echo(query: &Query, message: &mut Outgoing) {
    if let Some(id) = &query.id {
        message.options.push((61, id.clone()));
    }
    if let Some(relay) = &query.relay {
        message.options.push((82, relay.clone()));
    }
}
