//! Which disk becomes weir's: what is asked for, never what is assumed.
use crate::words::Words;
use installer::disks::{Disk, Holds};
use layout::{LEAST_SECTORS, SECTOR};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The disk.
    pub disk: Disk,
    /// Its `/perm` stays as it is.
    pub keeps_perm: bool,
}

/// Chooses among the disks that were found: the one that is asked for; else the one that is weir's or router7's already;
/// else the one that is empty; else none.
///
/// # Errors
/// Why none is taken, and what to say to have one taken.
pub fn choose(found: &[Disk], words: &Words) -> Result<Plan, String> {
    let large: Vec<&Disk> = found.iter().filter(|disk| disk.sectors >= LEAST_SECTORS).collect();
    let disk = match &words.disk {
        Some(name) => named(found, name)?,
        None if found.is_empty() => return Err("there is no disk: is one plugged in?".into()),
        None if large.is_empty() => {
            return Err(format!("no disk has the {} MB that weir wants: {}", mb(), list(found)));
        }
        None => match one_of(&large, Holds::Ours) {
            Some(disk) => disk?,
            None => match one_of(&large, Holds::Nothing) {
                Some(disk) => disk?,
                None if words.overwrite && large.len() == 1 => large[0],
                None => {
                    return Err(format!(
                        "something of another system is on every disk: {}; say weir recover --disk NAME --overwrite to lose it",
                        list(&large)
                    ));
                }
            },
        },
    };
    if disk.sectors < LEAST_SECTORS {
        return Err(format!("{disk} is too small: weir wants {} MB", mb()));
    }
    match disk.holds {
        Holds::Unreadable => return Err(format!("{disk} cannot be read: it is failing, or locked")),
        Holds::Others if !words.overwrite => {
            return Err(format!("something of another system is on {disk}; say --overwrite to lose it"));
        }
        Holds::Ours | Holds::Nothing | Holds::Others => {}
    }
    Ok(Plan { disk: disk.clone(), keeps_perm: disk.holds == Holds::Ours && !words.erase })
}

fn named<'a>(found: &'a [Disk], name: &str) -> Result<&'a Disk, String> {
    let is_it = |disk: &&Disk| disk.name == name;
    found.iter().find(is_it).ok_or_else(|| format!("there is no disk {name}; there are: {}", list(found)))
}

/// The one disk that holds this; one that stays in the machine before a stick.
fn one_of<'a>(disks: &[&'a Disk], holds: Holds) -> Option<Result<&'a Disk, String>> {
    for removable in [false, true] {
        let all: Vec<&&Disk> = disks.iter().filter(|disk| disk.holds == holds && disk.removable == removable).collect();
        match all[..] {
            [] => {}
            [one] => return Some(Ok(one)),
            _ => {
                let names = list(&all);
                return Some(Err(format!("which disk? {names}: say weir recover --disk NAME")));
            }
        }
    }
    None
}

fn list<D: std::fmt::Display>(disks: &[D]) -> String {
    let names: Vec<String> = disks.iter().map(ToString::to_string).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn mb() -> u64 {
    LEAST_SECTORS * SECTOR / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, holds: Holds) -> Disk {
        Disk { name: name.into(), model: String::new(), sectors: 1 << 23, removable: false, holds }
    }

    fn stick(name: &str, holds: Holds) -> Disk {
        Disk { removable: true, ..disk(name, holds) }
    }

    fn taken(found: &[Disk], words: &str) -> Result<(String, bool), String> {
        choose(found, &Words::parse(words)).map(|plan| (plan.disk.name, plan.keeps_perm))
    }

    #[test]
    fn ours_before_empty_before_none() {
        let (ours, empty, others) = (disk("sda", Holds::Ours), disk("sdb", Holds::Nothing), disk("sdc", Holds::Others));
        let all = [others.clone(), empty.clone(), ours.clone()];
        assert_eq!(taken(&all, ""), Ok(("sda".into(), true)));
        assert_eq!(taken(&all, "weir.install.erase"), Ok(("sda".into(), false)));
        assert_eq!(taken(&all[..2], ""), Ok(("sdb".into(), false)));
        assert!(taken(&all[..1], "").unwrap_err().contains("sdc (4.2 GB); say weir recover --disk NAME --overwrite"));
        assert_eq!(taken(&all[..1], "weir.install.overwrite"), Ok(("sdc".into(), false)));
    }

    #[test]
    fn of_two_that_would_do_none_is_guessed() {
        let two = [disk("sda", Holds::Nothing), disk("sdb", Holds::Nothing)];
        let why = taken(&two, "").unwrap_err();
        assert!(why.contains("which disk? sda (4.2 GB), sdb (4.2 GB)"), "{why}");
        assert_eq!(taken(&two, "weir.install.disk=sdb"), Ok(("sdb".into(), false)));
        let with_stick = [stick("sda", Holds::Nothing), disk("sdb", Holds::Nothing)];
        assert_eq!(taken(&with_stick, ""), Ok(("sdb".into(), false)), "what stays in the machine");
        let others = [disk("sda", Holds::Others), disk("sdb", Holds::Others)];
        assert!(taken(&others, "weir.install.overwrite").is_err());
    }

    #[test]
    fn somebodys_system_is_asked_for_by_name_and_word() {
        let found = [disk("sda", Holds::Others), disk("sdb", Holds::Nothing)];
        assert!(taken(&found, "weir.install.disk=sda").unwrap_err().contains("--overwrite"));
        assert_eq!(taken(&found, "weir.install.disk=sda weir.install.overwrite"), Ok(("sda".into(), false)));
        assert!(taken(&found, "weir.install.disk=sdz").unwrap_err().contains("there are: sda (4.2 GB), sdb (4.2 GB)"));
    }

    #[test]
    fn no_disk_a_small_one_and_a_dead_one_are_named() {
        assert!(taken(&[], "").unwrap_err().contains("there is no disk"));
        let small = Disk { sectors: LEAST_SECTORS - 1, ..disk("sda", Holds::Nothing) };
        assert!(taken(std::slice::from_ref(&small), "").unwrap_err().contains("no disk has the 1224 MB"));
        assert!(taken(&[small], "weir.install.disk=sda").unwrap_err().contains("too small"));
        let dead = [disk("sda", Holds::Unreadable)];
        assert!(taken(&dead, "weir.install.disk=sda").unwrap_err().contains("cannot be read"));
    }
}
