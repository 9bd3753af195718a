//! The two files of dhcp4: `wire/lease.json` for the readers, `wire/ack` for itself.
//!
//! What cannot be written stays in memory, is said aloud and tried again every minute.
use super::message::{Answer, Kind, Lease};
use crate::perm::{WallTime, file, json};
use netstack::time::Instant;
use std::path::PathBuf;
use std::time::Duration;

const RETRY: Duration = Duration::from_secs(60);

/// Where the lease is kept.
#[derive(Debug)]
pub struct Files {
    lease: PathBuf,
    ack: PathBuf,
    /// What is still to be written: both files' bytes, and when it is tried again.
    pending: Option<(Vec<u8>, Vec<u8>, Instant)>,
}

impl Files {
    /// In the folder `wire` below `state`.
    pub fn new(state: PathBuf) -> Files {
        let wire = state.join("wire");
        Files { lease: wire.join("lease.json"), ack: wire.join("ack"), pending: None }
    }

    /// The lease of the ACK kept from before, if there is one and it can be used.
    pub fn stored(&self) -> Option<Lease> {
        let bytes = match file::read(&self.ack) {
            Ok(bytes) => bytes?,
            Err(error) => {
                log::warn!("{}: {error}: starting without it", self.ack.display());
                return None;
            }
        };
        let lease = Answer::parse(&bytes).filter(|answer| answer.kind == Kind::Ack).and_then(|answer| answer.lease);
        if lease.is_none() {
            log::warn!("{}: not a DHCPACK: starting without it", self.ack.display());
        }
        lease
    }

    /// Writes a lease down; says whether lease.json was replaced, so that its readers are to be told.
    pub fn write(&mut self, now: Instant, wall: WallTime, lease: &Lease) -> bool {
        self.pending = Some((json::write(&lease.file(wall)), lease.raw.clone(), now));
        self.retry(now)
    }

    /// Writes a former configuration down again, for the readers alone; says whether lease.json was replaced.
    pub fn restore(&mut self, now: Instant, wall: WallTime, lease: &Lease) -> bool {
        self.pending = Some((json::write(&lease.file(wall)), Vec::new(), now));
        self.retry(now)
    }

    /// When [`Files::retry`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|(_, _, at)| *at)
    }

    /// Writes what is pending, if its time has come; says whether lease.json was replaced.
    pub fn retry(&mut self, now: Instant) -> bool {
        let Some((lease, ack, at)) = self.pending.take() else { return false };
        if now < at {
            self.pending = Some((lease, ack, at));
            return false;
        }
        let replaced = file::replace(&self.lease, &lease);
        // A configuration without a lease has no ACK.
        let stored = if ack.is_empty() { Ok(false) } else { file::replace(&self.ack, &ack) };
        for (path, error) in [(&self.lease, replaced.as_ref().err()), (&self.ack, stored.as_ref().err())] {
            if let Some(error) = error {
                log::error!("{}: {error}: the lease is only in memory, next try in a minute", path.display());
            }
        }
        if replaced.is_err() || stored.is_err() {
            self.pending = Some((lease, ack, now + RETRY));
        }
        replaced.unwrap_or(false)
    }

    /// Forgets the ACK; lease.json and what follows from it stay.
    pub fn forget(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.ack)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("{}: {error}", self.ack.display());
        }
        // What was never written was never used either.
        self.pending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perm::file::tests::Folder;

    fn lease() -> Lease {
        let mut bytes = vec![2, 1, 6, 0];
        bytes.resize(236, 0);
        bytes[16..20].copy_from_slice(&[10, 0, 0, 9]);
        bytes.extend([99, 130, 83, 99, 53, 1, 5, 255]);
        Answer::parse(&bytes).unwrap().lease.unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = Folder::new();
        let mut files = Files::new(folder.0.clone());
        assert_eq!(files.stored(), None);
        assert!(files.write(Instant::from_secs(5), WallTime::from_unix(0), &lease()));
        assert_eq!(files.stored(), Some(lease()));
        assert_eq!(files.deadline(), None);
        let text = std::fs::read_to_string(folder.0.join("wire/lease.json")).unwrap();
        let want = r#"{"valid_until":"1970-01-01T00:05:00Z","client_ip":"10.0.0.9","subnet_mask":"255.0.0.0","router":"","dns":null}"#;
        assert_eq!(text, want);
        files.forget();
        assert_eq!(files.stored(), None);
        assert!(folder.0.join("wire/lease.json").exists());
    }

    #[test]
    fn a_full_disk_is_tried_again_every_minute() {
        let folder = Folder::new();
        // A folder in the temporary file's place makes the write fail as a full disk would.
        let obstacle = folder.0.join("wire/.lease.json.new");
        std::fs::create_dir_all(&obstacle).unwrap();
        let mut files = Files::new(folder.0.clone());
        let start = Instant::from_secs(5);
        assert!(!files.write(start, WallTime::from_unix(0), &lease()), "announced only when written");
        assert_eq!(files.deadline(), Some(start + RETRY));
        assert!(!files.retry(start + RETRY / 2));
        assert!(!files.retry(start + RETRY));
        std::fs::remove_dir(&obstacle).unwrap();
        assert!(files.retry(start + RETRY * 2));
        assert_eq!(files.deadline(), None);
    }

    #[test]
    fn a_damaged_ack_is_as_if_absent() {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("wire")).unwrap();
        for bytes in [&b""[..], b"nonsense", &[0; 300]] {
            std::fs::write(folder.0.join("wire/ack"), bytes).unwrap();
            assert_eq!(Files::new(folder.0.clone()).stored(), None);
        }
    }
}
