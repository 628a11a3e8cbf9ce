//! What was measured, and how it is told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{quantile, table};

/// Each change is in force by then, at the 99th percentile.
const TARGET: Duration = Duration::from_secs(2);

/// All figures.
#[derive(Debug)]
pub struct Report {
    pub rows: Vec<Row>,
}

/// One kind of change.
#[derive(Debug)]
pub struct Row {
    pub what: &'static str,
    /// Of each change, from the API server's answer.
    pub times: Vec<Duration>,
}

impl Report {
    pub(super) fn print(&self) {
        let target = format!("p99 ≤ {:.0}", millis(TARGET));
        let rows = self.rows.iter().map(|row| {
            let figures = [0.5, 0.99, 1.0].map(|share| quantile(&row.times, share));
            let figures = figures.map(|time| format!("{:.1}", millis(time)));
            let verdict = match quantile(&row.times, 0.99) <= TARGET {
                true => "ok",
                false => "MISSED",
            };
            let head = [row.what.to_owned(), target.clone()];
            let tail = [row.times.len().to_string(), verdict.to_owned()];
            [head.as_slice(), &figures, &tail].concat()
        });
        let headings = ["tenancy, ms", "target", "p50", "p99", "max", "samples", ""];
        println!();
        table::print(&headings, &rows.collect::<Vec<_>>());
    }

    /// Everything, for other programs: milliseconds.
    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let times: Vec<f64> = row.times.iter().copied().map(millis).collect();
            json!({"what": row.what, "ms": times})
        });
        rows.collect()
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
