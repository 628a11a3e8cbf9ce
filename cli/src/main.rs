//! The `turnpike` command: the whole gateway in one process, checks of the files that it
//! runs from, and explanations of what it would do with a request.

mod check;
mod directory;
mod explain;
mod greeting;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use turnpike_dataplane::quota::redis::InvalidRedisUrl;

use crate::directory::NoDirectory;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Turnpike, an AI gateway.
#[derive(Parser)]
#[command(name = "turnpike", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole gateway in this process, from a directory of YAML
    Serve(serve::Flags),
    /// Tells every fault in a directory of YAML; exits with 1 if there is one
    Check(check::Flags),
    /// Tells what would become of a request, and why: exits with 1 if it would be refused
    Explain(explain::Flags),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(flags) => serve::run(flags),
        Command::Check(flags) => check::run(&flags),
        Command::Explain(flags) => explain::run(flags),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("turnpike: {error:#}");
        let is_mistake = error.is::<NoDirectory>()
            || error.is::<InvalidRedisUrl>()
            || error.is::<explain::Mistake>();
        match is_mistake {
            true => ExitCode::from(2),
            false => ExitCode::FAILURE,
        }
    })
}

#[cfg(test)]
mod tests {
    use turnpike_crds::ai_provider::{Protocol, Vendor};

    #[test]
    fn resources_offer_what_the_data_plane_speaks() {
        let presets = turnpike_protocol::PRESETS.iter().map(|one| one.name);
        let mut spoken: Vec<&str> = presets.collect();
        let mut offered: Vec<&str> = Vendor::ALL.iter().map(|one| one.as_str()).collect();
        spoken.sort_unstable();
        offered.sort_unstable();
        assert_eq!(offered, spoken);
        let spoken = turnpike_protocol::PROTOCOLS.iter().map(|one| one.as_str());
        let offered = Protocol::ALL.iter().map(|one| one.as_str());
        assert!(offered.eq(spoken));
    }
}
