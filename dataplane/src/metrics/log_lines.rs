//! The access log's lost lines, read at each scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

pub(super) fn register(registry: &mut Registry, dropped: Arc<AtomicU64>) {
    registry.register_collector(Box::new(LogLines(dropped)));
}

#[derive(Debug)]
struct LogLines(Arc<AtomicU64>);

impl Collector for LogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counter = ConstCounter::new(self.0.load(Ordering::Relaxed));
        let name = "turnpike_access_log_lines_dropped";
        let help = "Access-log lines lost because the writer was too slow";
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }
}
