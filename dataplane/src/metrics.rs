//! What is counted, for Prometheus.
//!
//! Labels come from closed lists, never from a client's words: no host, no
//! consumer, no model. Handles on the path of a request are looked up once, at
//! the start. Names follow OpenTelemetry's conventions for generative AI where
//! they have one, else begin with `turnpike_`.

mod labels;
mod log_lines;
mod memory;
mod quotas;
mod snapshots;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use turnpike_protocol::Usage;

pub use labels::{
    DrainLabel, HandshakeLabel, OperationLabel, RefusalLabel, StatusClass, UpstreamFault,
};

use crate::budget::Budget;
use crate::quota::QuotaCounters;
use crate::store::Store;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Seconds; the steps that OpenTelemetry proposes for these two, to which the
/// minutes of a long answer are added.
const DURATIONS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
/// Tokens of one request; OpenTelemetry's steps.
const TOKENS: [f64; 12] = [
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0,
];

/// All that requests count, and the registry that shows it.
pub struct Metrics {
    registry: Registry,
    operations: [OperationMetrics; OperationLabel::ALL.len()],
    tokens: TokenMetrics,
    in_flight: Gauge,
    faults: [Counter; UpstreamFault::ALL.len()],
    handshakes: [Counter; HandshakeLabel::ALL.len()],
    connections: Gauge,
    refusals: [Counter; RefusalLabel::ALL.len()],
    accept_pauses: Counter,
    open_drains: Gauge,
    drains: [Counter; DrainLabel::ALL.len()],
}

struct OperationMetrics {
    requests: [Counter; StatusClass::ALL.len()],
    duration: Histogram,
    first_token: Histogram,
}

struct TokenMetrics {
    input: Counter,
    cached_input: Counter,
    output: Counter,
    reasoning: Counter,
    audio_input: Counter,
    audio_output: Counter,
    estimated: Counter,
    input_sizes: Histogram,
    output_sizes: Histogram,
}

/// Counts a request, a connection or a drain as open for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Metrics {
    /// Registers everything; the store, the quotas, the count of lost access-log
    /// lines and the memory budget are read at each scrape.
    pub fn new(
        store: Store,
        quotas: Arc<QuotaCounters>,
        log_lines_dropped: Arc<AtomicU64>,
        budget: Budget,
    ) -> Self {
        let mut registry = Registry::default();
        log_lines::register(&mut registry, log_lines_dropped);
        memory::register(&mut registry, budget);
        snapshots::register(&mut registry, store);
        quotas::register(&mut registry, quotas);
        Self {
            operations: operations(&mut registry),
            tokens: TokenMetrics::register(&mut registry),
            in_flight: gauge(
                &mut registry,
                "turnpike_requests_in_flight",
                "Requests being served",
            ),
            faults: faults(&mut registry),
            handshakes: handshakes(&mut registry),
            connections: gauge(
                &mut registry,
                "turnpike_connections",
                "Connections of callers that are open",
            ),
            refusals: refusals(&mut registry),
            accept_pauses: counter(
                &mut registry,
                "turnpike_accept_pauses",
                "Times that callers had to wait until a descriptor was free for a connection",
            ),
            open_drains: gauge(
                &mut registry,
                "turnpike_drains_open",
                "Answers that are read on after their callers have gone",
            ),
            drains: drains(&mut registry),
            registry,
        }
    }

    /// Notes that a request began.
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Notes how a request ended. The status is the one that was really reached,
    /// even if the client had been told another before.
    pub fn finished(&self, operation: OperationLabel, status: u16, duration: Duration) {
        let metrics = &self.operations[operation as usize];
        metrics.requests[StatusClass::of(status) as usize].inc();
        metrics.duration.observe(duration.as_secs_f64());
    }

    /// Notes how long the first content of an answer took.
    pub fn first_token(&self, operation: OperationLabel, duration: Duration) {
        let metrics = &self.operations[operation as usize];
        metrics.first_token.observe(duration.as_secs_f64());
    }

    /// Notes what a request used; `is_estimated`: the provider did not say.
    pub fn tokens(&self, usage: &Usage, is_estimated: bool) {
        self.tokens.add(usage, is_estimated);
    }

    /// Notes that an attempt failed.
    pub fn upstream_fault(&self, fault: UpstreamFault) {
        self.faults[fault as usize].inc();
    }

    /// Notes how a TLS handshake with a caller ended.
    pub fn handshake(&self, label: HandshakeLabel) {
        self.handshakes[label as usize].inc();
    }

    /// Notes that a connection is open.
    pub fn connected(&self) -> InFlight {
        self.connections.inc();
        InFlight(self.connections.clone())
    }

    /// Notes why a connection was not taken, or not gone on with.
    pub fn refused(&self, label: RefusalLabel) {
        self.refusals[label as usize].inc();
    }

    /// Notes that no connection can be taken until another one has ended.
    pub fn accept_paused(&self) {
        self.accept_pauses.inc();
    }

    /// Notes that an answer is read on although its caller has gone.
    pub fn drains(&self) -> InFlight {
        self.open_drains.inc();
        InFlight(self.open_drains.clone())
    }

    /// Notes how that ended.
    pub fn drained(&self, label: DrainLabel) {
        self.drains[label as usize].inc();
    }

    /// Shows everything in the OpenMetrics text format.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    /// Counts requests alone, without a store or quotas behind: what a test needs.
    fn default() -> Self {
        let store = Store::with_snapshots(Vec::new(), Vec::new());
        Self::new(store, Arc::default(), Arc::default(), Budget::default())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl TokenMetrics {
    fn register(registry: &mut Registry) -> Self {
        let tokens: Family<Labels<1>, Counter> = Family::default();
        registry.register("turnpike_tokens", "Tokens used, by kind", tokens.clone());
        let sizes: Family<Labels<1>, Histogram> =
            Family::new_with_constructor(|| Histogram::new(TOKENS));
        registry.register(
            "gen_ai_client_token_usage",
            "Tokens of a request",
            sizes.clone(),
        );
        let kind = |kind| tokens.get_or_create_owned(&[("kind", kind)]);
        let size = |kind| sizes.get_or_create_owned(&[("gen_ai_token_type", kind)]);
        Self {
            input: kind("input"),
            cached_input: kind("cached_input"),
            output: kind("output"),
            reasoning: kind("reasoning"),
            audio_input: kind("audio_input"),
            audio_output: kind("audio_output"),
            estimated: counter(
                registry,
                "turnpike_requests_estimated",
                "Requests whose usage had to be estimated",
            ),
            input_sizes: size("input"),
            output_sizes: size("output"),
        }
    }

    fn add(&self, usage: &Usage, is_estimated: bool) {
        for (counter, tokens) in [
            (&self.input, usage.input),
            (&self.cached_input, usage.cached_input),
            (&self.output, usage.output),
            (&self.reasoning, usage.reasoning),
            (&self.audio_input, usage.audio_input),
            (&self.audio_output, usage.audio_output),
        ] {
            counter.inc_by(tokens.unwrap_or(0));
        }
        for (sizes, tokens) in [
            (&self.input_sizes, usage.input),
            (&self.output_sizes, usage.output),
        ] {
            if let Some(tokens) = tokens {
                sizes.observe(tokens as f64);
            }
        }
        self.estimated.inc_by(u64::from(is_estimated));
    }
}

fn operations(registry: &mut Registry) -> [OperationMetrics; OperationLabel::ALL.len()] {
    let requests: Family<Labels<2>, Counter> = Family::default();
    registry.register("turnpike_requests", "Requests answered", requests.clone());
    let duration = durations(
        registry,
        "gen_ai_server_request_duration_seconds",
        "From a request's head to the end of its answer",
    );
    let first_token = durations(
        registry,
        "gen_ai_server_time_to_first_token_seconds",
        "From a request's head to the first content of its answer",
    );
    OperationLabel::ALL.map(|operation| {
        let name = operation.as_str();
        let labels = |class: StatusClass| [("operation", name), ("status", class.as_str())];
        let by_operation = [("gen_ai_operation_name", name)];
        OperationMetrics {
            requests: StatusClass::ALL.map(|class| requests.get_or_create_owned(&labels(class))),
            duration: duration.get_or_create_owned(&by_operation),
            first_token: first_token.get_or_create_owned(&by_operation),
        }
    })
}

fn faults(registry: &mut Registry) -> [Counter; UpstreamFault::ALL.len()] {
    let faults: Family<Labels<1>, Counter> = Family::default();
    registry.register(
        "turnpike_upstream_faults",
        "Attempts that failed",
        faults.clone(),
    );
    UpstreamFault::ALL.map(|fault| faults.get_or_create_owned(&[("fault", fault.as_str())]))
}

fn handshakes(registry: &mut Registry) -> [Counter; HandshakeLabel::ALL.len()] {
    let handshakes: Family<Labels<1>, Counter> = Family::default();
    registry.register(
        "turnpike_tls_handshakes",
        "TLS handshakes with callers, by how they ended",
        handshakes.clone(),
    );
    HandshakeLabel::ALL.map(|label| handshakes.get_or_create_owned(&[("end", label.as_str())]))
}

fn refusals(registry: &mut Registry) -> [Counter; RefusalLabel::ALL.len()] {
    let refusals: Family<Labels<1>, Counter> = Family::default();
    registry.register(
        "turnpike_connections_refused",
        "Connections of callers that were not taken, or ended, by the reason",
        refusals.clone(),
    );
    RefusalLabel::ALL.map(|label| refusals.get_or_create_owned(&[("reason", label.as_str())]))
}

fn drains(registry: &mut Registry) -> [Counter; DrainLabel::ALL.len()] {
    let drains: Family<Labels<1>, Counter> = Family::default();
    registry.register(
        "turnpike_drains",
        "Answers whose callers had gone and that were to be read on, by how that ended",
        drains.clone(),
    );
    DrainLabel::ALL.map(|label| drains.get_or_create_owned(&[("end", label.as_str())]))
}

fn durations(registry: &mut Registry, name: &str, help: &str) -> Family<Labels<1>, Histogram> {
    let family = Family::<Labels<1>, Histogram>::new_with_constructor(|| Histogram::new(DURATIONS));
    registry.register(name, help, family.clone());
    family
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_operation_and_class() {
        let metrics = Metrics::default();
        let open = metrics.begin();
        metrics.finished(OperationLabel::Chat, 429, Duration::from_millis(5));
        let text = metrics.encode().unwrap();
        assert!(text.contains("turnpike_requests_total{operation=\"chat\",status=\"4xx\"} 1"));
        assert!(text.contains("turnpike_requests_in_flight 1"));
        drop(open);
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains("turnpike_requests_in_flight 0")
        );
    }

    #[test]
    fn tokens_are_counted_by_kind_and_estimates_marked() {
        let metrics = Metrics::default();
        let usage = Usage {
            input: Some(7),
            output: Some(0),
            ..Usage::default()
        };
        metrics.tokens(&usage, true);
        let text = metrics.encode().unwrap();
        assert!(text.contains("turnpike_tokens_total{kind=\"input\"} 7"));
        assert!(text.contains("gen_ai_client_token_usage_count{gen_ai_token_type=\"output\"} 1"));
        assert!(text.contains("turnpike_requests_estimated_total 1"));
    }

    #[test]
    fn the_store_and_the_quotas_are_shown() {
        let text = Metrics::default().encode().unwrap();
        for name in [
            "turnpike_snapshot_stream_connected 0",
            "turnpike_store_names{state=\"held\",kind=\"domain\"} 0",
            "turnpike_quota_settlements_dropped_total 0",
            "turnpike_access_log_lines_dropped_total 0",
            "turnpike_memory_held_bytes 0",
            "turnpike_memory_refusals_total 0",
            "turnpike_upstream_faults_total{fault=\"timeout\"} 0",
            "turnpike_tls_handshakes_total{end=\"unknown_name\"} 0",
            "turnpike_connections 0",
            "turnpike_connections_refused_total{reason=\"address\"} 0",
            "turnpike_accept_pauses_total 0",
            "turnpike_drains_open 0",
            "turnpike_drains_total{end=\"full\"} 0",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
    }
}
