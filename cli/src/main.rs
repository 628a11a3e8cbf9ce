//! The `turnpike` command: the whole gateway in one process, and checks of the
//! files that it runs from.

mod check;
mod directory;
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
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(flags) => serve::run(flags),
        Command::Check(flags) => check::run(&flags),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("turnpike: {error:#}");
        match error.is::<NoDirectory>() || error.is::<InvalidRedisUrl>() {
            true => ExitCode::from(2),
            false => ExitCode::FAILURE,
        }
    })
}
