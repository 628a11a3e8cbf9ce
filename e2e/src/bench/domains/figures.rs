//! What was measured, by number of tenants, and how it is told: one table with targets, and JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{median, quantile, table};

/// A figure holds its ratio also when it is no more than this above the other.
const SLACK_MS: f64 = 10.0;
/// At more tenants a time may be so many times that at fewer.
const GROWTH: f64 = 1.2;

/// Figures of all worlds.
#[derive(Debug, Default)]
pub(super) struct Figures {
    by_size: BTreeMap<usize, BTreeMap<String, f64>>,
    /// Of each round, for ratios: medians of these are compared.
    rounds: BTreeMap<usize, BTreeMap<String, Vec<f64>>>,
    samples: BTreeMap<usize, BTreeMap<String, Vec<Duration>>>,
}

/// When a figure is good.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// At most so much at the first size; at the next ones at most [`GROWTH`] times the first.
    Grows(f64),
    /// At most so much, at each size.
    AtMost(f64),
    /// At most so much at the last size alone.
    AtLast(f64),
    /// At most the first at the first size and the second at the others.
    Each(f64, f64),
    /// At most so much, or so many times another figure.
    Or(f64, f64, &'static str),
    /// For comparison.
    Info,
}

struct Row {
    what: &'static str,
    figure: &'static str,
    rule: Rule,
}

const fn row(what: &'static str, figure: &'static str, rule: Rule) -> Row {
    Row { what, figure, rule }
}

const ROWS: &[Row] = &[
    row(
        "route created → first 200, p50, ms",
        "create.p50",
        Rule::Grows(50.0),
    ),
    row(
        "route created → first 200, p99, ms",
        "create.p99",
        Rule::Grows(250.0),
    ),
    row(
        "  the API server's own write → watch, p50, ms",
        "create.watch.p50",
        Rule::Info,
    ),
    row(
        "  the API server's own write → watch, p99, ms",
        "create.watch.p99",
        Rule::Info,
    ),
    row(
        "route changed → in force, p50, ms",
        "change.p50",
        Rule::Info,
    ),
    row(
        "route changed → in force, p99, ms",
        "change.p99",
        Rule::Grows(250.0),
    ),
    row(
        "  the API server's own write → watch, p99, ms",
        "change.watch.p99",
        Rule::Info,
    ),
    row(
        "cold domain, added p99, small body, ms",
        "cold.small.added",
        Rule::Grows(20.0),
    ),
    row(
        "cold domain, added p99, 10 MB body, ms",
        "cold.large.added",
        Rule::Grows(20.0),
    ),
    row(
        "  10 MB body on a loaded domain, p99, ms",
        "cold.large.loaded",
        Rule::Info,
    ),
    row("loaded domains, p99, ms", "loaded.p99", Rule::Info),
    row(
        "loaded domains, p99 against few tenants, times",
        "loaded.ratio",
        Rule::Each(1.1, 1.2),
    ),
    row(
        "controller memory, steady, MB",
        "controller.steady",
        Rule::AtLast(500.0),
    ),
    row(
        "controller memory, peak at start, MB",
        "controller.peak",
        Rule::AtLast(750.0),
    ),
    row(
        "data plane memory, few active, MB",
        "dataplane.active",
        Rule::AtLast(60.0),
    ),
    row(
        "data plane memory, each further active, KB",
        "dataplane.further",
        Rule::AtLast(8.0),
    ),
    row(
        "controller start → serving, s",
        "start.controller",
        Rule::Or(20.0, 1.3, "start.list"),
    ),
    row(
        "  a bare list of the same objects, s",
        "start.list",
        Rule::Info,
    ),
    row(
        "data plane start → ready, s",
        "start.dataplane",
        Rule::AtMost(1.0),
    ),
    row(
        "fleet-wide quota attached, messages a stream",
        "quota.messages",
        Rule::AtMost(3.0),
    ),
    row(
        "fleet-wide quota attached, in force, ms",
        "quota.ms",
        Rule::AtMost(500.0),
    ),
    row(
        "template changed, messages a stream",
        "template.messages",
        Rule::AtMost(3.0),
    ),
    row(
        "template changed, in force, ms",
        "template.ms",
        Rule::AtMost(500.0),
    ),
    row(
        "many edits: controller memory after / before",
        "edits.controller",
        Rule::AtMost(1.1),
    ),
    row(
        "many edits: data plane memory after / before",
        "edits.dataplane",
        Rule::AtMost(1.1),
    ),
    row("many edits: edits a second", "edits.rate", Rule::Info),
];

impl Figures {
    pub(super) fn set(&mut self, size: usize, figure: &str, value: f64) {
        let figures = self.by_size.entry(size).or_default();
        figures.insert(figure.to_owned(), value);
    }

    /// Adds the figure of one round; what is told is their median.
    pub(super) fn add_round(&mut self, size: usize, figure: &str, value: f64) {
        let figures = self.rounds.entry(size).or_default();
        let rounds = figures.entry(figure.to_owned()).or_default();
        rounds.push(value);
        let middle = median(rounds);
        self.set(size, figure, middle);
    }

    /// Adds the times of one round: p50 and p99 are told over all, and kept of each round.
    pub(super) fn add_times(&mut self, size: usize, figure: &str, times: &[Duration]) {
        let samples = self.samples.entry(size).or_default();
        let samples = samples.entry(figure.to_owned()).or_default();
        samples.extend(times);
        let samples = samples.clone();
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let name = format!("{figure}.{name}");
            self.add_round(size, &name, millis(quantile(times, share)));
            self.set(size, &name, millis(quantile(&samples, share)));
        }
    }

    pub(super) fn find(&self, size: usize, figure: &str) -> Option<f64> {
        self.by_size.get(&size)?.get(figure).copied()
    }

    pub(super) fn print(&self, title: &str, sizes: &[usize]) {
        let heads: Vec<String> = sizes.iter().map(|size| format!("at {size}")).collect();
        let mut headings = vec![title, "target"];
        headings.extend(heads.iter().map(String::as_str));
        headings.extend(["ratio", ""]);
        let rows = ROWS.iter().filter_map(|row| self.row(row, sizes));
        println!();
        table::print(&headings, &rows.collect::<Vec<_>>());
    }

    /// Everything, for other programs.
    pub(super) fn json(&self) -> Value {
        let samples = self.samples.iter().map(|(size, figures)| {
            let counts = figures.iter().map(|(name, times)| (name, times.len()));
            (size, counts.collect::<BTreeMap<_, _>>())
        });
        json!({
            "figures": self.by_size,
            "rounds": self.rounds,
            "samples": samples.collect::<BTreeMap<_, _>>(),
        })
    }

    fn row(&self, row: &Row, sizes: &[usize]) -> Option<Vec<String>> {
        let values: Vec<Option<f64>> = sizes
            .iter()
            .map(|size| self.find(*size, row.figure))
            .collect();
        values.iter().flatten().next()?;
        let ratio = match row.rule {
            Rule::Info | Rule::Grows(_) if sizes.len() > 1 => self.ratio(row.figure, sizes),
            _ => None,
        };
        let mut cells = vec![row.what.to_owned(), row.rule.to_string()];
        cells.extend(
            values
                .iter()
                .map(|value| value.map_or("-".to_owned(), told)),
        );
        cells.push(ratio.map_or("-".to_owned(), told));
        cells.push(match self.holds(row, sizes) {
            None => String::new(),
            Some(true) => "ok".to_owned(),
            Some(false) => "MISSED".to_owned(),
        });
        Some(cells)
    }

    /// The last size's figure over the first one's, of medians of rounds where there are rounds.
    fn ratio(&self, figure: &str, sizes: &[usize]) -> Option<f64> {
        let first = self.median_of_rounds(*sizes.first()?, figure)?;
        let last = self.median_of_rounds(*sizes.last()?, figure)?;
        Some(last / first)
    }

    /// The median of a figure's rounds; where it has none, the figure itself.
    pub(super) fn median_of_rounds(&self, size: usize, figure: &str) -> Option<f64> {
        let rounds = self.rounds.get(&size).and_then(|all| all.get(figure));
        match rounds {
            Some(rounds) => Some(median(rounds)),
            None => self.find(size, figure),
        }
    }

    /// `None`: there is nothing to hold.
    fn holds(&self, row: &Row, sizes: &[usize]) -> Option<bool> {
        let of = |size: &usize| self.find(*size, row.figure);
        let all = |most: f64| sizes.iter().filter_map(of).all(|value| value <= most);
        let first = sizes.first()?;
        let last = sizes.last()?;
        Some(match row.rule {
            Rule::Info => return None,
            Rule::AtMost(most) => all(most),
            Rule::AtLast(most) => of(last)? <= most,
            Rule::Each(at_first, later) => of(first)? <= at_first && all(later.max(at_first)),
            Rule::Or(most, times, other) => sizes.iter().all(|size| {
                let bound = self.find(*size, other).unwrap_or_default() * times;
                of(size).is_none_or(|value| value <= most.max(bound))
            }),
            Rule::Grows(most) => {
                let base = self.median_of_rounds(*first, row.figure)?;
                let allowed = (base * GROWTH).max(base + SLACK_MS);
                let mut later = sizes[1..]
                    .iter()
                    .filter_map(|size| self.median_of_rounds(*size, row.figure));
                of(first)? <= most && later.all(|value| value <= allowed)
            }
        })
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rule::Info => Ok(()),
            Rule::AtMost(most) => write!(f, "≤ {most}"),
            Rule::AtLast(most) => write!(f, "≤ {most} at the most"),
            Rule::Each(first, later) => write!(f, "≤ {first}, ≤ {later}"),
            Rule::Or(most, times, _) => write!(f, "≤ {most} or {times}×"),
            Rule::Grows(most) => write!(f, "≤ {most}, then {GROWTH}×"),
        }
    }
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn told(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
