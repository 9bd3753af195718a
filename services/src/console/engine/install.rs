//! `install`: which disks there are, and what is asked before one of them is written.
use super::answer::{Disk, Disks};
use super::command::Command;
use super::tables::clean;

/// What is typed to have it done: `yes` where nothing but room is taken, the disk's name where something is lost.
pub fn word(command: &Command) -> &str {
    match command {
        Command::Install { disk, over } if !over.is_empty() => disk,
        _ => "yes",
    }
}

/// The command that is to be confirmed, and the question.
///
/// # Errors
/// The text to be shown when nothing is to be asked: the list, or why not.
pub fn asked(disks: &Disks, wanted: Option<&str>) -> Result<(Command, String), String> {
    let Some(name) = wanted else { return Err(list(disks)) };
    let Some(disk) = disks.disks.iter().find(|disk| disk.name == name) else {
        return Err(format!("there is no disk {name:?}\n{}", list(disks)));
    };
    if let Some(why) = &disk.refused {
        return Err(format!("nothing has changed: {}: {}\n", clean(&disk.words), clean(why)));
    }
    let command = Command::Install { disk: disk.name.clone(), over: disk.over.clone() };
    let lost = if disk.over.is_empty() {
        "it is empty".to_owned()
    } else {
        format!("on it is {}: ALL OF IT WILL BE LOST", clean(&disk.over))
    };
    let question = format!(
        "{}: {lost}.\nweir is written to it, the running slot into both slots, with a copy of all of /perm.\n\
         type {} to do it: ",
        clean(&disk.words),
        clean(word(&command))
    );
    Ok((command, question))
}

fn list(disks: &Disks) -> String {
    if disks.disks.is_empty() {
        return "there is no disk\n".into();
    }
    let line = |disk: &Disk| {
        let there = if disk.over.is_empty() { "empty" } else { &disk.over };
        let why = disk.refused.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{}: {}{}\n", clean(&disk.words), clean(there), clean(&why))
    };
    disks.disks.iter().map(line).collect::<String>() + "install DISK puts weir on one of them\n"
}
