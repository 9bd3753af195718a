//! Every service of the router, for the one static binary `services` and for whoever checks files as they do.
//!
//! `services NAME --root DIR [flags]` runs one; `services --list` names them. PID 1 runs each under its row of the
//! table (`rights`); by hand, any of them runs against a folder of its own and needs no PID 1.
mod backupd;
mod blocklist;
mod captured;
pub mod check;
mod configd;
mod console;
mod deviced;
mod dhcp4;
mod dhcp4d;
mod dhcp6;
mod diagd;
mod dnsd;
mod dyndns;
#[cfg(feature = "hostile")]
pub mod hostile;
mod house;
mod install;
mod listd;
mod logd;
mod mend;
mod metrics;
mod netconfigd;
mod ntpd;
mod panel;
pub mod password;
mod perm;
mod pppoe;
mod radvd;
pub mod restore;
pub mod update;
mod updated;
mod web;
mod webd;

use house::{Failure, House};
use std::process::ExitCode;

/// What a service does until it ends.
type Run = fn(House) -> Result<(), Failure>;

/// One row per service: its name in the table of rights and its entry.
const ENTRIES: &[(&str, Run)] = &[
    ("netconfigd", netconfigd::run),
    ("configd", configd::run),
    ("dhcp4", dhcp4::run),
    ("pppoe", pppoe::run),
    ("dhcp6", dhcp6::run),
    ("radvd", radvd::run),
    ("dhcp4d", dhcp4d::run),
    ("deviced", deviced::run),
    ("dnsd", dnsd::run),
    ("diagd", diagd::run),
    ("webd", webd::run),
    ("backupd", backupd::run),
    ("captured", captured::run),
    ("dyndns", dyndns::run),
    ("listd", listd::run),
    ("ntpd", ntpd::run),
    ("logd", logd::run),
    ("updated", updated::run),
    ("panel", panel::run),
    ("console", console::run),
];

/// Gives up all rights but a service's, as the service itself does before anything else: for who wants to see what is left.
///
/// # Errors
/// When there is no such service, or the kernel takes nothing of the kind.
pub fn confine(name: &str, root: &std::path::Path) -> Result<(), String> {
    let row = rights::service(name).ok_or_else(|| format!("no service is called {name:?}"))?;
    let words = ["--root".into(), root.as_os_str().to_owned()];
    let house = House::open(words.into_iter()).map_err(|failure| failure.to_string())?;
    house::sandbox::enter(row, &house).map_err(|failure| failure.to_string())
}

const USAGE: &str = "usage: services NAME --root DIR [flags of the service]\n       services --list";

/// `services`: the words of the command line say which one.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let name = words.next().and_then(|word| word.into_string().ok()).unwrap_or_default();
    if name == "--list" {
        for service in rights::SERVICES {
            println!("{}", service.name);
        }
        return ExitCode::SUCCESS;
    }
    if name == "mend" {
        return mend::main(words);
    }
    if name == "install" {
        return install::main(words);
    }
    let Some((name, run)) = ENTRIES.iter().find(|(entry, _)| *entry == name) else {
        eprintln!("services: no service is called {name:?}\n{USAGE}");
        return ExitCode::from(2);
    };
    house::log_to_stderr(name);
    let result = House::open(words).and_then(|house| {
        match perm::levels::of(house.root(), name) {
            Ok(level) => log::set_max_level(level),
            Err(words) => log::error!("{words}"),
        }
        let row = rights::service(name).ok_or_else(|| Failure::new("no row in the table of rights"))?;
        house::sandbox::enter(row, &house)?;
        run(house)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_of_the_table_has_an_entry() {
        let entries: Vec<_> = super::ENTRIES.iter().map(|(name, _)| *name).collect();
        let rows: Vec<_> = rights::SERVICES.iter().map(|service| service.name).collect();
        assert_eq!(entries, rows);
    }
}
