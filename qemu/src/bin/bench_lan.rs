//! `make bench-lan`: what the LAN's services cost beside the programs that one would take instead, in the same run.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
bench_lan [--services FILE] [--quick]
      --services FILE   target/appliance/bin/services
      --quick           few exchanges: to see that everything works
Needs root and what 'make deps-bench' installs. The last line of standard output is one JSON object.
";

fn main() -> Result<(), lexopt::Error> {
    let mut services = PathBuf::from("target/appliance/bin/services");
    let mut quick = false;
    let mut words = lexopt::Parser::from_env();
    while let Some(word) = words.next()? {
        match word {
            lexopt::Arg::Long("services") => services = words.value()?.into(),
            lexopt::Arg::Long("quick") => quick = true,
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected()),
        }
    }
    let services = services.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", services.display()));
    let dhcp = qemu::bench_dhcp::run(&services, quick);
    let dns = qemu::bench_dns::run(&services, quick);
    println!("{}", json!({"dhcp": dhcp, "dns": dns}));
    Ok(())
}
