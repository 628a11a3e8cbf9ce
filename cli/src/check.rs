//! `turnpike check`: every fault in a directory, for people and for CI.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use turnpike_controller::config::PLATFORM_NAMESPACE;
use turnpike_controller::source::directory;

use crate::directory::Directory;

/// The flags of `turnpike check`.
#[derive(Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    directory: Directory,
}

/// Prints one fault a line: file, object, field, what to do. Exits with 0 if
/// there is none, with 1 if there is one.
pub(crate) fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let path = flags.directory.path()?;
    let mut faults = directory::check(path, PLATFORM_NAMESPACE)
        .with_context(|| format!("checking {}", path.display()))?;
    faults.sort();
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() {
        println!("{}: no faults", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
