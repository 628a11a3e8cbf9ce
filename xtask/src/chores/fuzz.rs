//! `fuzz`: the properties over damaged bytes, many times, each time from another seed.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::workspace::Workspace;

/// Cases of each property in one round.
const CASES: &str = "2000";

/// Runs rounds until the time is over; the first failure ends it and tells its seed.
pub(crate) fn run(workspace: &Workspace, seconds: u64) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = 1_u64;
    while seed == 1 || Instant::now() < end {
        println!("seed {seed}");
        let tests = [
            "test",
            "--package",
            "turnpike-protocol",
            "--test",
            "it",
            "--",
            "fuzz",
        ];
        let mut command = cargo(workspace);
        command.args(tests).env("PROPTEST_CASES", CASES);
        command.env("PROPTEST_RNG_SEED", seed.to_string());
        run_command(&mut command)?;
        seed += 1;
    }
    println!("{} rounds of {CASES} cases each, nothing found", seed - 1);
    Ok(())
}
