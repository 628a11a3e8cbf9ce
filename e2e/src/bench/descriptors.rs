//! How many files and sockets this process and its children may open.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Raises this process's limit, which children inherit, to at least so many.
pub(super) fn allow(needed: u64) -> Result<()> {
    let (soft, hard) = limits()?;
    if soft >= needed {
        return Ok(());
    }
    let wanted = hard.max(needed);
    let raised = Command::new("prlimit")
        .arg(format!("--pid={}", std::process::id()))
        .arg(format!("--nofile={wanted}:{wanted}"))
        .output()
        .context("running prlimit")?;
    if !raised.status.success() {
        bail!("{needed} descriptors are needed, {hard} are allowed: raise `ulimit -Hn`");
    }
    Ok(())
}

fn limits() -> Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/limits").context("reading limits")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut words = line.context("no limit of open files")?.split_whitespace();
    let mut next = || -> Result<u64> {
        let word = words.next().context("a short line of limits")?;
        match word {
            "unlimited" => Ok(u64::MAX),
            number => number.parse().context("a number in limits"),
        }
    };
    Ok((next()?, next()?))
}
