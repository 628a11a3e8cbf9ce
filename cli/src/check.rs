//! `turnpike check`: every fault in a directory, for people and for CI.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use turnpike_controller::config::PLATFORM_NAMESPACE;
use turnpike_controller::source::directory;

use crate::serve::check_directory;

/// The flags of `turnpike check`.
#[derive(Args)]
pub(crate) struct Flags {
    /// The directory of YAML files
    #[arg(
        short = 'f',
        long = "files",
        env = "TURNPIKE_FILES",
        value_name = "DIR"
    )]
    files: PathBuf,
}

/// Prints one fault a line: file, object, field, what to do. Exits with 0 if
/// there is none, with 1 if there is one, with 2 if there is no such directory.
pub(crate) fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    if let Err(mistake) = check_directory(&flags.files) {
        eprintln!("turnpike: {mistake}");
        return Ok(ExitCode::from(2));
    }
    let mut faults = directory::check(&flags.files, PLATFORM_NAMESPACE)
        .with_context(|| format!("checking {}", flags.files.display()))?;
    faults.sort();
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() {
        println!("{}: no faults", flags.files.display());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
