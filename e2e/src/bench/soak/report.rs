//! What was measured, and how it is told.

use std::time::Duration;

use super::load::Failures;
use super::samples::{Sample, Samples};
use super::world::Left;
use crate::bench::trend::{Trend, fit, parts};
use crate::bench::verdict::{self, Judged};

/// A slope of no more than so many standard errors is zero within noise.
const NOISE: f64 = 2.0;
/// Parts of a run whose means a line is laid through.
const PARTS: usize = 30;
const MEBIBYTE: f64 = (1 << 20) as f64;
const MILLION: f64 = 1e6;
const HOUR: f64 = 3600.0;

/// All figures.
#[derive(Debug)]
pub struct Report {
    pub requests: u64,
    /// What went wrong at the callers, and how often.
    pub failures: Failures,
    pub took: Duration,
    /// Of the configuration.
    pub changes: usize,
    pub warm_up: Duration,
    pub samples: Samples,
    pub left: Left,
}

impl Report {
    /// How memory grows with each million of requests, in MiB.
    pub fn by_requests(&self) -> Option<Trend> {
        self.trend(|sample| sample.requests as f64 / MILLION)
    }

    /// How memory grows with each hour, in MiB.
    pub fn by_hours(&self) -> Option<Trend> {
        self.trend(|sample| sample.at.as_secs_f64() / HOUR)
    }

    fn trend(&self, place: impl Fn(&Sample) -> f64) -> Option<Trend> {
        let samples = self.samples.0.iter();
        let warm = samples.filter(|sample| sample.at >= self.warm_up);
        let points: Vec<_> = warm
            .map(|sample| (place(sample), sample.resident as f64 / MEBIBYTE))
            .collect();
        fit(&parts(&points, PARTS))
    }

    pub(super) fn print(&self) {
        let left = &self.left;
        let failed: usize = self.failures.values().sum();
        let missing = self.requests as f64 - left.lines as f64;
        let rate = self.requests as f64 / self.took.as_secs_f64();
        let mut rows = vec![
            Judged::told("requests", self.requests as f64),
            Judged::told("  of them a second", rate),
            Judged::told("changes meanwhile", self.changes as f64),
            Judged::at_most("requests that failed", failed as f64, 0.0),
            Judged::at_most("requests less lines in the log", missing.abs(), 0.0),
            Judged::at_most("  lines dropped", left.lines_dropped as f64, 0.0),
            Judged::at_most("requests in flight at the end", left.in_flight as f64, 0.0),
            Judged::at_most(
                "tokens reserved at the end",
                left.reserved.unsigned_abs() as f64,
                0.0,
            ),
            Judged::at_most("settlements lost", left.settlements_dropped as f64, 0.0),
        ];
        rows.extend(self.memory());
        verdict::print("soak", &rows);
        for (reason, count) in &self.failures {
            println!("{count} failed: {reason}");
        }
        for (end, count) in &left.ends {
            println!("{count} ended: {end}");
        }
    }

    fn memory(&self) -> Vec<Judged> {
        let samples = self.samples.0.iter();
        let mut warm = samples.filter(|sample| sample.at >= self.warm_up);
        let mebibytes = |sample: &Sample| sample.resident as f64 / MEBIBYTE;
        let first = warm.next();
        let ends = [("first, MiB", first), ("last, MiB", warm.next_back())];
        let mut rows: Vec<_> = ends
            .into_iter()
            .filter_map(|(what, sample)| {
                let what = format!("memory after the warm-up, {what}");
                Some(Judged::told(what, mebibytes(sample?)))
            })
            .collect();
        let trends = [
            ("a million requests", self.by_requests()),
            ("an hour", self.by_hours()),
        ];
        for (what, trend) in trends {
            let Some(trend) = trend else {
                println!("too short for a slope of memory: less warm-up, or more minutes");
                return rows;
            };
            rows.push(Judged::told(format!("slope, MiB {what}"), trend.slope));
            rows.push(Judged::told("  its standard error", trend.standard_error));
            // What never changed has no slope, and no error either.
            let errors = match trend.slope {
                0.0 => 0.0,
                slope => slope / trend.standard_error,
            };
            rows.push(Judged::at_most("  in standard errors", errors, NOISE));
        }
        rows
    }
}
