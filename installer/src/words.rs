//! The words that `weir recover` puts on the kernel's command line.

/// What they say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// `weir.install.disk=sda` or `/dev/sda`: this disk and no other.
    pub disk: Option<String>,
    /// `weir.install.overwrite`: a disk that another system uses is taken as well.
    pub overwrite: bool,
    /// `weir.install.erase`: `/perm` is made anew.
    pub erase: bool,
    /// `weir.install.mac=02:00:00:00:00:07`: the NIC that the machine was started by.
    pub mac: Option<String>,
}

impl Words {
    /// Reads the whole command line.
    pub fn parse(line: &str) -> Words {
        let mut words = Words::default();
        for word in line.split_ascii_whitespace().filter_map(|word| word.strip_prefix("weir.install.")) {
            match word.split_once('=').unwrap_or((word, "")) {
                ("disk", name) if !name.is_empty() => {
                    words.disk = Some(name.trim_start_matches("/dev/").to_owned());
                }
                ("overwrite", _) => words.overwrite = true,
                ("erase", _) => words.erase = true,
                ("mac", mac) if !mac.is_empty() => words.mac = Some(mac.to_ascii_lowercase()),
                _ => {}
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let line =
            "console=ttyS0 weir.install.disk=/dev/nvme0n1 weir.install.erase weir.install.mac=02:0A:00:00:00:07\n";
        let (disk, mac) = (Some("nvme0n1".to_owned()), Some("02:0a:00:00:00:07".to_owned()));
        assert_eq!(Words::parse(line), Words { disk, overwrite: false, erase: true, mac });
        assert!(Words::parse("weir.install.overwrite").overwrite);
        assert_eq!(Words::parse("weir.install.disk= weir.install.x=1 quiet"), Words::default());
    }
}
