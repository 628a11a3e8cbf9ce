//! A run of named steps: progress while they go, a summary of all and the sum of tests at the end.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Adds a line of a test program's output, if it is the summary of its tests:
    /// `test result: ok. 5 passed; 1 failed; 0 ignored; …`.
    pub(crate) fn read(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

/// How one step ended.
struct Outcome {
    name: String,
    took: Duration,
    error: Option<String>,
}

/// The steps of one run. A failed step does not stop the later ones.
pub(crate) struct Steps {
    total: usize,
    started: Instant,
    outcomes: Vec<Outcome>,
    tally: Tally,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            total,
            started: Instant::now(),
            outcomes: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Runs one step and tells whether it succeeded; its tests are added to the sum.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce(&mut Tally) -> Result<()>) -> bool {
        let number = self.outcomes.len() + 1;
        announce(&format!("[{number}/{}] {name}", self.total), BOLD);
        let started = Instant::now();
        let error = work(&mut self.tally).err().map(|e| format!("{e:#}"));
        let took = started.elapsed();
        match &error {
            None => announce(&format!("      {name}: ok, {}", seconds(took)), GREEN),
            Some(e) => announce(
                &format!("      {name}: failed, {}: {e}", seconds(took)),
                RED,
            ),
        }
        let succeeded = error.is_none();
        let name = name.to_owned();
        self.outcomes.push(Outcome { name, took, error });
        succeeded
    }

    /// Counts a step as failed that cannot run.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.step(name, |_| anyhow::bail!("not run: {reason}"));
    }

    /// Prints the summary; its last line is `N passed, N failed`.
    pub(crate) fn finish(self) -> ExitCode {
        println!();
        for outcome in &self.outcomes {
            let Outcome { name, took, error } = outcome;
            let (word, colour) = match error {
                None => ("ok", GREEN),
                Some(_) => ("FAILED", RED),
            };
            announce(&format!("{name:<22} {:>8}  {word}", seconds(*took)), colour);
            if let Some(error) = error {
                println!("    {error}");
            }
        }
        println!("{:<22} {:>8}", "all", seconds(self.started.elapsed()));
        let Tally { passed, failed } = self.tally;
        println!("{passed} passed, {failed} failed");
        let broken = failed > 0 || self.outcomes.iter().any(|o| o.error.is_some());
        ExitCode::from(u8::from(broken))
    }
}

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "31";

fn announce(text: &str, colour: &str) {
    if std::io::stdout().is_terminal() {
        println!("\x1b[{colour}m{text}\x1b[0m");
    } else {
        println!("{text}");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_sums_the_result_lines_only() {
        let mut tally = Tally::default();
        tally.read("running 3 tests");
        tally.read("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally
            .read("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out");
        tally.read("9 passed; 9 failed");
        let expected = Tally {
            passed: 7,
            failed: 2,
        };
        assert_eq!(tally, expected);
    }
}
