//! The memory budget, read at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::budget::Budget;

pub(super) fn register(registry: &mut Registry, budget: Budget) {
    registry.register_collector(Box::new(Memory(budget)));
}

#[derive(Debug)]
struct Memory(Budget);

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = [
            (
                "turnpike_memory_held_bytes",
                "Bodies and answers held, in bytes",
                Some(self.0.held()),
            ),
            (
                "turnpike_memory_budget_bytes",
                "Bytes of bodies and answers that may be held; absent: any number",
                self.0.bound(),
            ),
        ];
        for (name, help, bytes) in gauges {
            if let Some(bytes) = bytes {
                let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
                gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
            }
        }
        let counter = ConstCounter::new(self.0.refused());
        let name = "turnpike_memory_refusals";
        let help = "Times that no more memory was given to a request";
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }
}
