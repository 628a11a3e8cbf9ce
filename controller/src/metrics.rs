//! What is counted, and the text that `/metrics` answers with.
//!
//! Labels are kinds of objects only: no name of a tenant, host or data plane.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::trust::identity::Expiry;

/// All metrics of a controller; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Counted where streams are served.
    pub serving: Serving,
    status_writes: Counter,
    status_failures: Counter,
    events_written: Counter,
    events_dropped: Counter,
    data_planes: Gauge,
    data_planes_lagging: Gauge,
    oldest_unacknowledged: Gauge<f64, AtomicU64>,
    withheld_withdrawals: Gauge,
    leads: Gauge,
    replicas_reporting: Gauge,
    names_held: Gauge,
    synced: Gauge,
    objects: Family<ObjectLabels, Gauge>,
    /// Counted where connections and streams are refused.
    pub refusals: Refusals,
    certificate_expiry: Family<CertificateLabels, Gauge>,
}

/// Connections and streams that were not let in, by why; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Family<ReasonLabels, Counter>);

/// Why somebody was not let in at the snapshot port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No TLS.
    Plaintext,
    /// TLS that came to nothing: another CA, another name, no answer.
    Handshake,
    /// TLS, and no token accepted in time, or before too many others came.
    Idle,
    /// No token.
    NoToken,
    /// A token that is not accepted.
    Token,
    /// A token of an account that is not accepted.
    Account,
    /// The API server could not be asked.
    Unavailable,
}

impl Reason {
    fn labels(self) -> ReasonLabels {
        let reason = match self {
            Self::Plaintext => "plaintext",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::NoToken => "no_token",
            Self::Token => "token",
            Self::Account => "account",
            Self::Unavailable => "unavailable",
        };
        ReasonLabels { reason }
    }
}

impl Refusals {
    /// Counts one.
    pub fn count(&self, reason: Reason) {
        self.0.get_or_create(&reason.labels()).inc();
    }

    /// How many there were.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get_or_create(&reason.labels()).get()
    }
}

/// Handles of what streams count.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Units sent.
    pub units: Counter,
    /// Their size as encoded.
    pub unit_bytes: Counter,
    /// Snapshots that data planes refused.
    pub refusals: Counter,
    compile_seconds: Histogram,
}

/// What is read at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Data planes connected.
    pub data_planes: usize,
    /// Those that have owed an acknowledgement for longer than status waits.
    pub data_planes_lagging: usize,
    /// The age of the oldest unit without an acknowledgement.
    pub oldest_unacknowledged: Duration,
    /// Withdrawals that the guard against mass deletion keeps back.
    pub withheld_withdrawals: usize,
    /// Whether this replica writes status.
    pub leads: bool,
    /// Other replicas that report to this one.
    pub replicas_reporting: usize,
    /// Names held, over all data planes.
    pub names_held: usize,
    /// Whether every kind has been listed once.
    pub is_synced: bool,
    /// Statuses written since the start.
    pub status_writes: u64,
    /// Attempts to write one that failed.
    pub status_failures: u64,
    /// Events written since the start.
    pub events_written: u64,
    /// Events that were too many, or refused.
    pub events_dropped: u64,
    /// How many objects there are of each kind.
    pub objects: Vec<(&'static str, usize)>,
    /// When the certificates of the snapshot port end, where it has some.
    pub certificates: Option<Expiry>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CertificateLabels {
    certificate: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabels {
    kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("turnpike_controller");
        let serving = Serving::register(&mut registry);
        let status_writes = counter(
            &mut registry,
            "status_writes",
            "Statuses written to the API server",
        );
        let status_failures = counter(
            &mut registry,
            "status_failures",
            "Attempts to write a status that failed and are repeated",
        );
        let events_written = counter(
            &mut registry,
            "events_written",
            "Events written to the API server",
        );
        let events_dropped = counter(
            &mut registry,
            "events_dropped",
            "Events not written, since there were too many or the API server refused them",
        );
        let data_planes = gauge(&mut registry, "data_planes", "Data planes connected");
        let data_planes_lagging = gauge(
            &mut registry,
            "data_planes_lagging",
            "Data planes that have owed an acknowledgement for 2 s or longer",
        );
        let oldest_unacknowledged = Gauge::default();
        registry.register_with_unit(
            "oldest_unacknowledged",
            "Age of the oldest unit that a data plane has not acknowledged",
            Unit::Seconds,
            oldest_unacknowledged.clone(),
        );
        let withheld_withdrawals = gauge(
            &mut registry,
            "withheld_withdrawals",
            "Withdrawals kept back as a mass deletion that nobody accepted",
        );
        let leads = gauge(&mut registry, "leads", "1 where status is written");
        let replicas_reporting = gauge(
            &mut registry,
            "replicas_reporting",
            "Other replicas that report their data planes to this one",
        );
        let names_held = gauge(
            &mut registry,
            "names_held",
            "Snapshots held, over all data planes",
        );
        let synced = gauge(&mut registry, "synced", "1 once every kind has been listed");
        let objects = Family::default();
        registry.register("objects", "Objects known, by kind", objects.clone());
        let refusals = Refusals::default();
        registry.register(
            "refused_connections",
            "Connections and streams not let in at the snapshot port, by why",
            refusals.0.clone(),
        );
        let certificate_expiry = Family::default();
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the certificates of the snapshot port end, since 1970",
            Unit::Seconds,
            certificate_expiry.clone(),
        );
        Self {
            registry: Arc::new(registry),
            serving,
            status_writes,
            status_failures,
            events_written,
            events_dropped,
            data_planes,
            data_planes_lagging,
            oldest_unacknowledged,
            withheld_withdrawals,
            leads,
            replicas_reporting,
            names_held,
            synced,
            objects,
            refusals,
            certificate_expiry,
        }
    }

    /// Gives the OpenMetrics text.
    pub fn encode(&self, census: &Census) -> Result<String, fmt::Error> {
        self.data_planes.set(count(census.data_planes));
        self.data_planes_lagging
            .set(count(census.data_planes_lagging));
        self.oldest_unacknowledged
            .set(census.oldest_unacknowledged.as_secs_f64());
        self.withheld_withdrawals
            .set(count(census.withheld_withdrawals));
        self.leads.set(i64::from(census.leads));
        self.replicas_reporting
            .set(count(census.replicas_reporting));
        self.names_held.set(count(census.names_held));
        self.synced.set(i64::from(census.is_synced));
        raise(&self.status_writes, census.status_writes);
        raise(&self.status_failures, census.status_failures);
        raise(&self.events_written, census.events_written);
        raise(&self.events_dropped, census.events_dropped);
        for &(kind, objects) in &census.objects {
            let labels = ObjectLabels { kind };
            self.objects.get_or_create(&labels).set(count(objects));
        }
        if let Some(expiry) = census.certificates {
            for (certificate, until) in [("serving", expiry.serving), ("ca", expiry.ca)] {
                let labels = CertificateLabels { certificate };
                self.certificate_expiry.get_or_create(&labels).set(until.0);
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Serving {
    fn register(registry: &mut Registry) -> Self {
        let serving = Self {
            units: Counter::default(),
            unit_bytes: Counter::default(),
            refusals: Counter::default(),
            // 10 µs to 2.6 s
            compile_seconds: Histogram::new(exponential_buckets(0.000_01, 4.0, 10)),
        };
        registry.register("units", "Units sent to data planes", serving.units.clone());
        registry.register_with_unit(
            "units_sent",
            "Size of the units sent to data planes",
            Unit::Bytes,
            serving.unit_bytes.clone(),
        );
        registry.register(
            "refusals",
            "Snapshots that data planes refused",
            serving.refusals.clone(),
        );
        registry.register_with_unit(
            "compile",
            "Time to compile one snapshot",
            Unit::Seconds,
            serving.compile_seconds.clone(),
        );
        serving
    }

    /// Notes how long a snapshot took to compile.
    pub fn compiled(&self, took: Duration) {
        self.compile_seconds.observe(took.as_secs_f64());
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// Brings a counter to what was counted elsewhere. Never lowers it, whatever two
/// scrapes at a time have read.
fn raise(counter: &Counter, total: u64) {
    counter.inner().fetch_max(total, Ordering::Relaxed);
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::moment::Moment;

    #[test]
    fn the_text_tells_what_was_counted_and_what_is_there() {
        let metrics = Metrics::new();
        metrics.serving.unit_bytes.inc_by(7);
        metrics.serving.compiled(Duration::from_micros(50));
        metrics.refusals.count(Reason::NoToken);
        let certificates = Expiry {
            serving: Moment(1_800_000_000),
            ca: Moment(1_900_000_000),
        };
        let census = Census {
            data_planes: 2,
            objects: vec![("AIRoute", 3)],
            certificates: Some(certificates),
            ..Census::default()
        };
        let text = metrics.encode(&census).unwrap();
        for line in [
            "turnpike_controller_units_sent_bytes_total 7",
            "turnpike_controller_compile_seconds_count 1",
            "turnpike_controller_data_planes 2",
            "turnpike_controller_synced 0",
            "turnpike_controller_objects{kind=\"AIRoute\"} 3",
            "turnpike_controller_refused_connections_total{reason=\"no_token\"} 1",
            "turnpike_controller_certificate_expiry_timestamp_seconds{certificate=\"ca\"} 1900000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
