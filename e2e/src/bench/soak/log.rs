//! The access log of a data plane, summed up.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What all lines say together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) count: u64,
    /// How often a request ended in each way, with its status.
    pub(super) ends: BTreeMap<String, u64>,
    /// Input and output, of all.
    pub(super) tokens: u64,
}

#[derive(Deserialize)]
struct Line {
    status: u16,
    end: String,
    tokens: Option<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    input: u64,
    output: u64,
}

impl Lines {
    /// What came after others.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut ends = self.ends.clone();
        for (end, count) in &mut ends {
            *count -= before.ends.get(end).copied().unwrap_or_default();
        }
        Self {
            count: self.count - before.count,
            tokens: self.tokens - before.tokens,
            ends,
        }
    }
}

/// Reads a log to its end.
pub(super) fn read(file: &Path) -> Result<Lines> {
    let log = File::open(file).context("opening the access log")?;
    let mut lines = Lines::default();
    for line in BufReader::new(log).lines() {
        let line: Line = serde_json::from_str(&line?).context("a line of the access log")?;
        lines.count += 1;
        let end = format!("{} {}", line.status, line.end);
        *lines.ends.entry(end).or_default() += 1;
        if let Some(tokens) = line.tokens {
            lines.tokens += tokens.input + tokens.output;
        }
    }
    Ok(lines)
}
