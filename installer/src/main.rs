//! PID 1 of a machine that `weir recover` has started from the network: it writes weir to the disk, reads every byte back,
//! tells how it goes on the console and on the network, and restarts the machine.
//!
//! Everything it writes came with the initramfs (`/install.runs`, the format of `layout::runs`), so nothing that becomes of
//! the cable can hurt the disk any more. It has no address: each of its words goes to everybody on every link, a line of JSON
//! in a UDP datagram to port 7774.
//!
//! Words of the kernel's command line: `weir.install.disk=sda` (that disk and no other), `weir.install.overwrite` (whatever is
//! on it), `weir.install.erase` (`/perm` as well), `weir.install.mac=MAC` (who we are).
#![forbid(unsafe_code)]
mod machine;
mod plan;
mod report;
mod words;

use installer::{disks, write};
use layout::runs::Runs;
use plan::Plan;
use report::Report;
use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::time::Duration;
use words::Words;

/// What is to be written.
const RUNS: &str = "/install.runs";
/// A machine that was not installed starts anew after this: who it waits for has read why.
const SHOWN: Duration = Duration::from_secs(60);
/// How often its last word is said again meanwhile.
const AGAIN: Duration = Duration::from_secs(5);

fn main() {
    if std::process::id() != 1 {
        eprintln!("installer: this is PID 1 of a machine that weir is being installed on, and nothing else");
        std::process::exit(1);
    }
    let troubles = machine::prepare();
    let words = Words::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let mut report = Report::open(words.mac.as_deref());
    for trouble in troubles {
        report.busy(&trouble);
    }
    match install(&words, &mut report) {
        Ok(said) => report.done(&said),
        Err(why) => {
            for _ in 0..SHOWN.as_secs() / AGAIN.as_secs() {
                report.failed(&why);
                std::thread::sleep(AGAIN);
            }
        }
    }
    machine::restart()
}

/// All of it; the words that end it.
fn install(words: &Words, report: &mut Report) -> Result<String, String> {
    let mut file = File::open(RUNS).map_err(|error| format!("{RUNS}: {error}"))?;
    let damaged = |damage: layout::runs::Damage| format!("{RUNS} {damage}: start the machine again");
    let total = write::measure(&mut Runs::open(BufReader::new(&file)).map_err(damaged)?)
        .map_err(|why| format!("{RUNS}: {why}: start the machine again"))?;
    report.busy("looking for the disk");
    let found = disks::wait(words.disk.as_deref());
    let Plan { disk, keeps_perm } = plan::choose(&found, words)?;
    let name = disk.name.clone();
    report.busy(&format!("writing {disk}; /perm {}", if keeps_perm { "stays as it is" } else { "is made anew" }));
    let target = File::options().read(true).write(true).open(format!("/dev/{name}"));
    let target = target.map_err(|error| format!("/dev/{name}: {error}"))?;
    let job = write::Job { target: &target, sectors: disk.sectors, keeps_perm, total };
    let again = |file: &mut File| -> io::Result<()> { file.rewind() };
    let trouble = |error: io::Error| format!("{RUNS}: {error}");
    again(&mut file).map_err(trouble)?;
    job.write(&mut Runs::open(BufReader::new(&file)).map_err(damaged)?, &mut |percent| {
        report.busy(&format!("writing {name}: {percent} %"));
    })?;
    again(&mut file).map_err(trouble)?;
    job.check(&mut Runs::open(BufReader::new(&file)).map_err(damaged)?, &mut |percent| {
        report.busy(&format!("checking {name}: {percent} %"));
    })?;
    Ok(format!("weir is on {name}, every byte checked; /perm {}", if keeps_perm { "was kept" } else { "is new" }))
}
