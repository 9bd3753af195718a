//! What the session has brought, for the readers and for the next boot; and which session it is.
use crate::perm::lease4::{Lease4, Route};
use crate::perm::{Mac, file, json};
use ipnet::Ipv4Net;
use netstack::time::Instant;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const RETRY: Duration = Duration::from_secs(60);
/// The copy that is there after a boot.
const KEPT: &str = "/perm/pppoe/lease.json";
const SESSION: &str = "/perm/pppoe/session.json";

/// A session at its concentrator.
#[derive(Serialize, Deserialize)]
struct Open {
    concentrator: Mac,
    session: u16,
}

/// The three files.
#[derive(Debug)]
pub struct Files {
    published: PathBuf,
    kept: PathBuf,
    session: PathBuf,
    /// What is still to be written, and when that is tried again.
    pending: Option<(Vec<u8>, Instant)>,
}

/// The lease of a session: one address, and everything lies behind it. There is no gateway on a line with two ends.
pub fn lease(address: Ipv4Addr, dns: &[Ipv4Addr], mtu: u16) -> Vec<u8> {
    let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
    json::write(&Lease4 {
        client_ip: address.to_string(),
        subnet_mask: Ipv4Addr::BROADCAST.to_string(),
        dns: Some(dns).filter(|dns| !dns.is_empty()),
        mtu: mtu.into(),
        routes: vec![Route { destination: Ipv4Net::default(), gateway: Ipv4Addr::UNSPECIFIED }],
        ..Lease4::default()
    })
}

impl Files {
    /// Under a root.
    pub fn new(root: &Path) -> Files {
        let path = |absolute: &str| root.join(absolute.trim_start_matches('/'));
        Files { published: path(rights::LEASE_PPPOE), kept: path(KEPT), session: path(SESSION), pending: None }
    }

    /// Shows the readers what the last session has brought, until there is another; says whether they are to be told.
    pub fn restore(&mut self) -> bool {
        let kept = match file::read(&self.kept) {
            Ok(Some(bytes)) if !self.published.exists() => bytes,
            Ok(_) => return false,
            Err(error) => {
                log::warn!("{}: {error}: starting without it", self.kept.display());
                return false;
            }
        };
        file::replace(&self.published, &kept).unwrap_or_else(|error| {
            log::error!("{}: {error}", self.published.display());
            false
        })
    }

    /// Writes a lease down; says whether the readers are to be told.
    pub fn write(&mut self, now: Instant, lease: Vec<u8>) -> bool {
        self.pending = Some((lease, now));
        self.retry(now)
    }

    /// When [`Files::retry`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|(_, at)| *at)
    }

    /// Writes what is pending, if its time has come; says whether the readers are to be told.
    pub fn retry(&mut self, now: Instant) -> bool {
        let Some((lease, at)) = self.pending.take() else { return false };
        if now < at {
            self.pending = Some((lease, at));
            return false;
        }
        let published = file::replace(&self.published, &lease);
        let kept = file::replace(&self.kept, &lease);
        for (path, error) in [(&self.published, published.as_ref().err()), (&self.kept, kept.as_ref().err())] {
            if let Some(error) = error {
                log::error!("{}: {error}: next try in a minute", path.display());
            }
        }
        if published.is_err() || kept.is_err() {
            self.pending = Some((lease, now + RETRY));
        }
        published.unwrap_or(false)
    }

    /// The session that an earlier life has left open.
    pub fn stale(&self) -> Option<(Mac, u16)> {
        let bytes = file::read(&self.session).ok()??;
        let open: Open = json::parse(&self.session, &bytes).map_err(|refusal| log::warn!("{refusal}")).ok()?;
        Some((open.concentrator, open.session))
    }

    /// Notes which session is open.
    pub fn remember(&self, session: Option<(Mac, u16)>) {
        let done = match session {
            Some((concentrator, session)) => {
                file::replace(&self.session, &json::write(&Open { concentrator, session })).map(drop)
            }
            None => std::fs::remove_file(&self.session),
        };
        if let Err(error) = done
            && error.kind() != io::ErrorKind::NotFound
        {
            // Without the note the concentrator finds out by itself, later.
            log::warn!("{}: {error}", self.session.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;
    use crate::perm::lease4;

    #[test]
    fn the_lease_is_read_as_dhcp4s_is_and_is_there_after_a_boot() {
        let folder = Folder::new();
        let mut files = Files::new(&folder.0);
        assert!(!files.restore());
        let written = lease([198, 51, 100, 7].into(), &[[9, 9, 9, 9].into()], 1492);
        assert!(files.write(Instant::from_secs(1), written.clone()));
        assert!(!files.write(Instant::from_secs(2), written), "nothing is new");
        let published = folder.0.join("run/pppoe/lease.json");
        let read = lease4::read(&published).unwrap().unwrap();
        assert_eq!((read.address, read.router, read.mtu), (([198, 51, 100, 7].into(), 32), None, Some(1492)));
        assert_eq!((read.routes.len(), read.dns.len()), (1, 1));
        std::fs::remove_dir_all(folder.0.join("run")).unwrap();
        assert!(Files::new(&folder.0).restore(), "the boot after");
        assert!(published.exists() && !Files::new(&folder.0).restore(), "a restart");
    }

    #[test]
    fn the_session_is_noted_and_forgotten() {
        let folder = Folder::new();
        let files = Files::new(&folder.0);
        assert_eq!(files.stale(), None);
        files.remember(None);
        let open = Some((Mac([2, 0, 0, 0, 0, 9]), 77));
        files.remember(open);
        assert_eq!(files.stale(), open);
        files.remember(None);
        assert_eq!(files.stale(), None);
        std::fs::write(folder.0.join("perm/pppoe/session.json"), "rubbish").unwrap();
        assert_eq!(files.stale(), None);
    }
}
