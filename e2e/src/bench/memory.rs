//! Resident memory of a process.

use anyhow::{Context, Result};

/// What the kernel says of a process's memory, in bytes (`/proc/PID/status`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Resident now: `VmRSS`.
    pub(super) now: u64,
    /// The most that was resident since its start: `VmHWM`.
    pub(super) peak: u64,
}

/// Reads the memory of a process.
pub(super) fn of(pid: u32) -> Result<Memory> {
    read(&format!("/proc/{pid}/status"))
}

/// Reads the memory of this process.
pub(super) fn own() -> Result<Memory> {
    read("/proc/self/status")
}

fn read(file: &str) -> Result<Memory> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    let bytes = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
        let kilobytes: u64 = kilobytes
            .with_context(|| format!("no {name} in {file}"))?
            .parse()?;
        Ok(kilobytes * 1024)
    };
    Ok(Memory {
        now: bytes("VmRSS:")?,
        peak: bytes("VmHWM:")?,
    })
}
