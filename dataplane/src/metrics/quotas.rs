//! The quota module's figures, read at each scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::quota::QuotaCounters;

pub(super) fn register(registry: &mut Registry, counters: Arc<QuotaCounters>) {
    registry.register_collector(Box::new(Quotas(counters)));
}

#[derive(Debug)]
struct Quotas(Arc<QuotaCounters>);

impl Collector for Quotas {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let QuotaCounters {
            journaled,
            replayed,
            dropped,
            queued,
            store_errors,
            breaker_open,
        } = &*self.0;
        for (name, help, count) in [
            (
                "turnpike_quota_settlements_journaled",
                "Settlements kept because the store could not take them",
                journaled,
            ),
            (
                "turnpike_quota_settlements_replayed",
                "Kept settlements that reached the store",
                replayed,
            ),
            (
                "turnpike_quota_settlements_dropped",
                "Settlements lost",
                dropped,
            ),
            (
                "turnpike_quota_store_errors",
                "Calls to the store that failed",
                store_errors,
            ),
        ] {
            let counter = ConstCounter::new(read(count));
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        for (name, help, count) in [
            (
                "turnpike_quota_settlements_queued",
                "Settlements kept now",
                queued,
            ),
            (
                "turnpike_quota_breaker_open",
                "1 while the store is not even tried",
                breaker_open,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(read(count)).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
