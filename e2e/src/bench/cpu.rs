//! CPU time of another process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The time that all threads of a process have run so far, in nanoseconds as the scheduler
/// counts them (`/proc/PID/task/TID/schedstat`, first field): `/proc/PID/stat` counts in 10 ms.
/// Threads that have ended are missing; the programs measured keep theirs.
pub(super) fn time_of(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut nanos = 0;
    for thread in std::fs::read_dir(&folder).context("listing threads")? {
        nanos += thread_nanos(&thread?.path())?;
    }
    ensure!(nanos > 0, "the kernel keeps no schedstat");
    Ok(Duration::from_nanos(nanos))
}

fn thread_nanos(thread: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(thread.join("schedstat")).context("reading schedstat")?;
    let first = text.split_whitespace().next().context("empty schedstat")?;
    first.parse().context("a number in schedstat")
}
