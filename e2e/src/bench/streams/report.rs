//! What was measured, and how it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bench::verdict::{self, Judged};

/// Memory is back when it is no more than so many times what it was.
const BACK: f64 = 1.1;
const MEGABYTE: f64 = 1e6;

/// All figures.
#[derive(Debug)]
pub struct Report {
    pub streams: usize,
    /// What was wrong with each stream that did not end as the model ended it.
    pub cut: Vec<String>,
    pub changes: usize,
    /// All changes, at the API server.
    pub took: Duration,
    /// From the last answer of the API server until everything was in force.
    pub in_force: Duration,
    pub memory: Memory,
}

/// Resident memory of the data plane, in bytes.
#[derive(Debug)]
pub struct Memory {
    /// Of a data plane that serves every tenant and has had no stream.
    pub fresh: u64,
    /// After as many streams came and went.
    pub before: u64,
    pub open: u64,
    /// After the changes, under the same streams.
    pub changed: u64,
    /// Once all have ended.
    pub after: u64,
}

impl Report {
    pub(super) fn print(&self) {
        let memory = &self.memory;
        let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
        let ratio = |one: u64, other: u64| one as f64 / other as f64;
        let each = memory.open.saturating_sub(memory.fresh) as f64 / self.streams as f64;
        let rate = self.changes as f64 / self.took.as_secs_f64();
        let rows = [
            Judged::told("open streams", self.streams as f64),
            Judged::told("changes meanwhile", self.changes as f64),
            Judged::told("  of them a second", rate),
            Judged::told(
                "  after the last, all in force and checked, ms",
                self.in_force.as_secs_f64() * 1e3,
            ),
            Judged::at_most("streams cut", self.cut.len() as f64, 0.0),
            Judged::told("memory without any stream, MB", megabytes(memory.fresh)),
            Judged::told("  before, MB", megabytes(memory.before)),
            Judged::told("  with the streams, MB", megabytes(memory.open)),
            Judged::told("  of what came to it, a stream, KB", each / 1e3),
            Judged::told("  after the changes, MB", megabytes(memory.changed)),
            Judged::at_most(
                "  in times that with the streams",
                ratio(memory.changed, memory.open),
                BACK,
            ),
            Judged::told("  after all have ended, MB", megabytes(memory.after)),
            Judged::at_most(
                "  in times that before",
                ratio(memory.after, memory.before),
                BACK,
            ),
        ];
        verdict::print("streams", &rows);
        for (reason, count) in self.reasons() {
            println!("{count} cut: {reason}");
        }
    }

    fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for reason in &self.cut {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
        reasons
    }
}
