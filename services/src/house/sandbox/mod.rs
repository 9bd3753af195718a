//! What a service keeps of its rights before it does anything: of the kernel's calls those of its rows, of files and TCP
//! ports its own (`rights`). Nothing switches it off. As it comes before the first byte from outside, whoever takes over a
//! parser finds himself in here.
//!
//! PID 1 has taken uid, groups and capabilities before. By hand, with `--root`, there is no PID 1, and the same filter.
mod filter;

use super::{Failure, House};
use netstack::confine::{Access, Ruleset, filter_calls, no_new_rights, tell_refused_call};
use rights::Service;
use rights::places::{Connects, connects, listens, nodes, places};
use std::io;
use std::path::Path;

/// Gives up everything else, for good.
///
/// # Errors
/// When the kernel has no seccomp, or refuses what should be allowed. Without Landlock that is said, and the rest holds.
pub fn enter(service: &'static Service, house: &House) -> Result<(), Failure> {
    if house.root() != Path::new("/") {
        prepare(service, house);
    }
    no_new_rights().map_err(Failure::during("no new rights"))?;
    match Ruleset::new(connects(service) != Connects::Any) {
        Ok(ruleset) => enclose(service, house, ruleset).map_err(Failure::during("Landlock"))?,
        Err(error) => log::warn!("this kernel has no Landlock, files and ports are not narrowed: {error}"),
    }
    tell_refused_call(service.name, rights::names::name).map_err(Failure::during("SIGSYS"))?;
    filter_calls(&filter::program(service)).map_err(Failure::during("seccomp"))
}

/// What PID 1 makes before it starts a service: its folders, and the link to its socket.
fn prepare(service: &Service, house: &House) {
    let own = format!("/perm/{}", service.name);
    let has_own = rights::calls::calls(service).any(|call| call.name == "mkdir");
    for folder in service.run.iter().copied().chain(has_own.then_some(own.as_str())) {
        // A folder that cannot be made is missed by who wants to write there, and said then.
        let _ = std::fs::create_dir_all(house.path(folder));
    }
    if rights::SERVICES.iter().any(|other| other.asks.contains(&service.name)) {
        let link = house.path(&format!("/run/{}.sock", service.name));
        let _ = std::os::unix::fs::symlink(format!("{}/sock", service.name), link);
    }
}

fn enclose(service: &Service, house: &House, ruleset: Ruleset) -> io::Result<()> {
    let own = format!("/perm/{}", service.name);
    for folder in service.run.iter().copied().chain([own.as_str()]) {
        ruleset.allow(&house.path(folder), Access::Change)?;
    }
    for place in places(service) {
        let access = if place.change { Access::Change } else { Access::Read };
        // The kernel's own files are where they are, whatever the root is.
        if place.path.starts_with("/proc") || place.path.starts_with("/sys") || place.path.starts_with("/dev") {
            let place = ruleset.allow(Path::new(place.path), access)?;
            // The kernel forgets what nobody holds of /proc/sys, and makes it anew when it is asked for: then the rule would
            // be for what is not there any more.
            std::mem::forget(place.filter(|_| access == Access::Change));
        } else {
            ruleset.allow(&house.path(place.path), access)?;
        }
    }
    for node in nodes(service) {
        ruleset.allow(&house.path(node), Access::Device)?;
    }
    for port in listens(service) {
        ruleset.allow_listening(*port)?;
    }
    if let Connects::To(ports) = connects(service) {
        for port in ports {
            ruleset.allow_connecting(*port)?;
        }
    }
    ruleset.enforce()
}
