//! What a simulation showed, and how it is told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{micros, quantile, table};

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Report {
    /// Sizes of the index while it grew.
    pub index: Vec<IndexSize>,
    /// What the index and compiling do for one change, by its kind.
    pub changes: Vec<ChangeCost>,
    /// How the streams were when all had subscribed.
    pub subscribed: Subscribed,
    /// What one change costs and how long it takes with all streams connected, by its kind.
    pub deliveries: Vec<Delivered>,
    /// Many changes and changing interests at once.
    pub churn: Churned,
    /// All streams broken and connected again.
    pub reconnected: Reconnected,
}

/// The index with so many domains.
#[derive(Debug)]
pub struct IndexSize {
    pub domains: u32,
    /// Resident memory of it, over the process without it.
    pub bytes: u64,
    pub took: Duration,
}

/// One kind of change, without streams.
#[derive(Debug)]
pub struct ChangeCost {
    pub kind: &'static str,
    /// To apply it to the index.
    pub apply: Vec<Duration>,
    /// To compile all names that it touched.
    pub compile: Vec<Duration>,
    /// Names that one change touches at the most.
    pub names: usize,
}

/// All streams with what they asked for.
#[derive(Debug, Default)]
pub struct Subscribed {
    pub streams: usize,
    /// Names that a data plane holds, over all streams.
    pub names: usize,
    pub units: u64,
    pub bytes: u64,
    /// Resident memory of it, without what the simulated data planes remember themselves.
    pub memory: u64,
    pub took: Duration,
}

/// One kind of change, with streams.
#[derive(Debug)]
pub struct Delivered {
    pub kind: &'static str,
    /// Streams that hold what changed, one figure a change.
    pub holders: Vec<u64>,
    /// Units sent for it, one figure a change.
    pub units: Vec<u64>,
    /// Units that went to streams that hold nothing of what changed, over all changes.
    pub strays: u64,
    /// Bytes of all these units.
    pub bytes: u64,
    /// Until the last holder had it.
    pub converged: Vec<Duration>,
}

/// What came of the churn.
#[derive(Debug, Default)]
pub struct Churned {
    pub changes: u64,
    /// Names that streams gave up and asked for.
    pub redrawn: u64,
    pub units: u64,
    pub bytes: u64,
    pub took: Duration,
    /// From the last change until nothing was sent any more.
    pub settled: Duration,
    /// Names held by data planes that were compared with the index.
    pub compared: usize,
    /// Of these, the ones that differed.
    pub different: usize,
}

/// What came of the reconnection.
#[derive(Debug, Default)]
pub struct Reconnected {
    pub names: usize,
    /// Units sent; none is right.
    pub units: u64,
    /// Snapshots that were compiled to compare versions.
    pub compiled: u64,
    /// Until the controller had forgotten all streams that broke.
    pub left: Duration,
    pub took: Duration,
}

impl Report {
    /// Prints all tables.
    pub fn print(&self) {
        self.print_index();
        self.print_changes();
        self.print_deliveries();
        let Subscribed {
            streams,
            names,
            units,
            bytes,
            memory,
            took,
        } = &self.subscribed;
        let figures = [
            ("streams", streams.to_string()),
            ("names held, over all streams", names.to_string()),
            ("  units to get there", units.to_string()),
            ("  bytes a unit", divided(*bytes, *units)),
            (
                "  bytes of controller memory a name and stream",
                divided(*memory, *names as u64),
            ),
            ("  s until all had them", seconds(*took)),
            ("churn: changes", self.churn.changes.to_string()),
            (
                "  names given up and asked for",
                self.churn.redrawn.to_string(),
            ),
            ("  units", self.churn.units.to_string()),
            (
                "  bytes a unit",
                divided(self.churn.bytes, self.churn.units),
            ),
            ("  s it took", seconds(self.churn.took)),
            (
                "  s until nothing was sent any more",
                seconds(self.churn.settled),
            ),
            (
                "  held names compared with the index",
                self.churn.compared.to_string(),
            ),
            ("  of these different", self.churn.different.to_string()),
            (
                "all streams reconnected: names stated",
                self.reconnected.names.to_string(),
            ),
            ("  units sent again", self.reconnected.units.to_string()),
            (
                "  snapshots compiled to compare",
                self.reconnected.compiled.to_string(),
            ),
            (
                "  s until the broken ones were forgotten",
                seconds(self.reconnected.left),
            ),
            (
                "  s until all were compared",
                seconds(self.reconnected.took),
            ),
        ];
        let rows = figures.map(|(name, figure)| vec![name.to_owned(), figure]);
        println!();
        table::print(&["streams", ""], &rows);
    }

    /// Everything, for other programs.
    pub fn json(&self) -> Value {
        let index = self.index.iter().map(|size| {
            json!({
                "domains": size.domains, "bytes": size.bytes,
                "seconds": size.took.as_secs_f64(),
            })
        });
        let changes = self.changes.iter().map(|cost| {
            json!({
                "kind": cost.kind, "names": cost.names, "changes": cost.apply.len(),
                "applyMicros": of(&cost.apply), "compileMicros": of(&cost.compile),
            })
        });
        let deliveries = self.deliveries.iter().map(|delivered| {
            json!({
                "kind": delivered.kind, "holders": delivered.holders, "units": delivered.units,
                "strays": delivered.strays,
                "bytes": delivered.bytes, "convergedMicros": of(&delivered.converged),
            })
        });
        json!({
            "index": index.collect::<Vec<_>>(),
            "changes": changes.collect::<Vec<_>>(),
            "deliveries": deliveries.collect::<Vec<_>>(),
            "subscribed": {
                "streams": self.subscribed.streams, "names": self.subscribed.names,
                "units": self.subscribed.units, "bytes": self.subscribed.bytes,
                "memory": self.subscribed.memory,
                "seconds": self.subscribed.took.as_secs_f64(),
            },
            "churn": {
                "changes": self.churn.changes, "redrawn": self.churn.redrawn,
                "units": self.churn.units, "bytes": self.churn.bytes,
                "seconds": self.churn.took.as_secs_f64(),
                "settledSeconds": self.churn.settled.as_secs_f64(),
                "compared": self.churn.compared, "different": self.churn.different,
            },
            "reconnected": {
                "names": self.reconnected.names, "units": self.reconnected.units,
                "compiled": self.reconnected.compiled,
                "leftSeconds": self.reconnected.left.as_secs_f64(),
                "seconds": self.reconnected.took.as_secs_f64(),
            },
        })
    }

    fn print_index(&self) {
        let rows = self.index.iter().map(|size| {
            vec![
                size.domains.to_string(),
                format!("{:.0}", size.bytes as f64 / 1e6),
                divided(size.bytes, u64::from(size.domains)),
                seconds(size.took),
                format!("{:.1}", micros(size.took) / f64::from(size.domains)),
            ]
        });
        let headings = [
            "domains in the index",
            "MB",
            "bytes each",
            "s to build",
            "µs each",
        ];
        println!();
        table::print(&headings, &rows.collect::<Vec<_>>());
    }

    fn print_changes(&self) {
        let rows = self.changes.iter().map(|cost| {
            let [apply, compile] = [&cost.apply, &cost.compile].map(|times| of(times));
            vec![
                cost.kind.to_owned(),
                cost.names.to_string(),
                format!("{:.1} / {:.1}", apply[0], apply[1]),
                format!("{:.1} / {:.1}", compile[0], compile[1]),
            ]
        });
        let headings = [
            "a change, alone",
            "names",
            "apply p50 / p99, µs",
            "compile p50 / p99, µs",
        ];
        println!();
        table::print(&headings, &rows.collect::<Vec<_>>());
    }

    fn print_deliveries(&self) {
        let rows = self.deliveries.iter().map(|delivered| {
            let holders: u64 = delivered.holders.iter().sum();
            let units: u64 = delivered.units.iter().sum();
            let [p50, p99] = of(&delivered.converged).map(|time| time / 1e3);
            vec![
                delivered.kind.to_owned(),
                delivered.holders.len().to_string(),
                divided(holders, delivered.holders.len() as u64),
                format!("{:.2}", units as f64 / holders as f64),
                delivered.strays.to_string(),
                divided(delivered.bytes, units),
                format!("{p50:.2} / {p99:.2}"),
            ]
        });
        let headings = [
            "a change, streams connected",
            "changes",
            "holders",
            "units a holder",
            "to others",
            "bytes a unit",
            "converged p50 / p99, ms",
        ];
        println!();
        table::print(&headings, &rows.collect::<Vec<_>>());
    }
}

/// p50 and p99 in microseconds.
fn of(times: &[Duration]) -> [f64; 2] {
    [0.5, 0.99].map(|share| micros(quantile(times, share)))
}

fn divided(sum: u64, by: u64) -> String {
    match by {
        0 => "-".to_owned(),
        by => format!("{:.0}", sum as f64 / by as f64),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}
