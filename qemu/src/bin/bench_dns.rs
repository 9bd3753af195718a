//! The DNS half of `make bench-lan` alone: `bench_dns SERVICES [--quick]`, the binary as it is shipped. The last line of standard
//! output is one JSON object.
#![forbid(unsafe_code)]
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(services) = std::env::args_os().nth(1).map(PathBuf::from).filter(|path| path.is_file()) else {
        eprintln!("bench_dns SERVICES [--quick]: the router's binary, such as target/appliance/bin/services");
        return ExitCode::FAILURE;
    };
    println!("{}", qemu::bench_dns::run(&services, std::env::args_os().any(|word| word == "--quick")));
    ExitCode::SUCCESS
}
