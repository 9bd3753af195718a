//! `make power-cut`: the power goes, a thousand times. One JSON object at the end.
use lexopt::prelude::*;

const HELP: &str = "\
Usage: power_cut [--cuts NUMBER] [--seed NUMBER]
  --cuts   how often the power goes (1000)
  --seed   the same number, the same choices (the time; it is printed)
";

fn main() -> Result<(), lexopt::Error> {
    let (mut cuts, mut seed) = (1_000, qemu::updates::now());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("cuts") => cuts = arguments.value()?.parse()?,
            Long("seed") => seed = arguments.value()?.parse()?,
            Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected()),
        }
    }
    let sum = qemu::power_cut::run(cuts, None, seed);
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "power-cut", "seed": seed, "cuts": cuts, "boots": sum.boots, "cuts_before_ready": sum.early,
            "cuts_in_updates": sum.in_updates, "updates_kept": sum.updates, "leases_acknowledged": sum.leases,
            "configurations_acknowledged": sum.configurations, "sectors_at_risk": sum.at_risk,
            "sectors_kept": sum.kept, "half_superblocks": sum.half_superblocks, "lost": 0,
        })
    );
    Ok(())
}
