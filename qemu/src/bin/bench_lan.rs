//! `make bench-lan`: what the LAN's services cost beside the programs that one would take instead, in the same run.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use lexopt::ValueExt;
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
bench_lan [--services FILE] [--quick] [--only dhcp|dns]
      --services FILE   target/appliance/bin/services
      --quick           few exchanges: to see that everything works
      --only HALF       dhcp or dns
      --echo ADDRESS    be the least that a server of DNS can be, for a run that measures it
Needs root and what 'make deps-bench' installs. The last line of standard output is one JSON object.
";

fn main() -> Result<(), lexopt::Error> {
    let mut services = PathBuf::from("target/appliance/bin/services");
    let (mut quick, mut only) = (false, None);
    let mut words = lexopt::Parser::from_env();
    while let Some(word) = words.next()? {
        match word {
            lexopt::Arg::Long("services") => services = words.value()?.into(),
            lexopt::Arg::Long("quick") => quick = true,
            lexopt::Arg::Long("only") => {
                only = Some(words.value()?.parse_with(|half| match half {
                    "dhcp" | "dns" => Ok(half.to_owned()),
                    _ => Err("neither dhcp nor dns"),
                })?)
            }
            lexopt::Arg::Long("echo") => {
                let address = words.value()?.parse()?;
                qemu::bench_dns::echo(address).unwrap_or_else(|error| panic!("{address}: {error}"));
                return Ok(());
            }
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected()),
        }
    }
    let services = services.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", services.display()));
    let wanted = |half: &str| only.as_deref().is_none_or(|only| only == half);
    let dhcp = wanted("dhcp").then(|| qemu::bench_dhcp::run(&services, quick));
    let dns = wanted("dns").then(|| qemu::bench_dns::run(&services, quick));
    println!("{}", json!({"dhcp": dhcp, "dns": dns}));
    Ok(())
}
