//! The benchmarks' own program in one of its hidden roles, and which core a process runs on.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::places;
use crate::process::{Process, Program};

/// Where what is measured runs while its CPU time is.
pub(super) const MEASURED: &str = "0";
/// Where everything else runs meanwhile.
pub(super) const LOAD: &str = "1";

/// Starts `turnpike-bench ROLE --listen ADDRESS`, with more flags.
pub(super) fn start(
    folder: &Path,
    role: &str,
    listen: SocketAddr,
    more: &[(&str, &Path)],
) -> Result<Process> {
    let mut arguments: Vec<OsString> = vec![role.into(), "--listen".into()];
    arguments.push(listen.to_string().into());
    for (flag, value) in more {
        arguments.extend([OsString::from(flag), OsString::from(value)]);
    }
    let program = places::program("turnpike-bench")?;
    Process::spawn(folder, Program::new(role, program, arguments))
}

/// Moves all threads that a process has so far to a core; those that they start inherit it.
pub(super) fn pin(pid: u32, core: &str) -> Result<()> {
    let pid = pid.to_string();
    let done = Command::new("taskset")
        .args(["-a", "-c", "-p", core, &pid])
        .output()
        .context("running taskset")?;
    ensure!(done.status.success(), "taskset did not move {pid}");
    Ok(())
}
