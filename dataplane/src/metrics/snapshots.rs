//! What the store holds, counted at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::Labels;
use crate::store::{Link, Store};

pub(super) fn register(registry: &mut Registry, store: Store) {
    registry.register_collector(Box::new(Snapshots(store)));
}

struct Snapshots(Store);

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshots")
    }
}

impl Collector for Snapshots {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let connected = ConstGauge::new(i64::from(self.0.link() == Link::Up));
        let name = "turnpike_snapshot_stream_connected";
        let help = "1 while a controller sends changes";
        connected.encode(encoder.encode_descriptor(
            name,
            help,
            None,
            connected.metric_type(),
        )?)?;

        let names = names(&self.0);
        let help = "Names known to the store, by what is known of them";
        let name = "turnpike_store_names";
        names.encode(encoder.encode_descriptor(name, help, None, names.metric_type())?)?;

        let bytes = ConstGauge::new(i64::try_from(self.0.bytes()).unwrap_or(i64::MAX));
        let name = "turnpike_store_bytes";
        let help = "What all that is held takes in memory, estimated";
        bytes.encode(encoder.encode_descriptor(name, help, None, bytes.metric_type())?)?;

        let activity = self.0.activity();
        let evictions = by(
            "reason",
            [
                ("idle", activity.evicted_idle),
                ("budget", activity.evicted_over_budget),
            ],
        );
        let name = "turnpike_store_evictions";
        let help = "Domains and keys forgotten, by why";
        let kind = evictions.metric_type();
        evictions.encode(encoder.encode_descriptor(name, help, None, kind)?)?;

        let refused = by(
            "kind",
            [
                ("domain", activity.refused_domains),
                ("credential", activity.refused_credentials),
            ],
        );
        let name = "turnpike_store_lookups_refused";
        let help = "Look-ups refused to who asks for too much that does not exist";
        let kind = refused.metric_type();
        refused.encode(encoder.encode_descriptor(name, help, None, kind)?)?;

        for (name, help, count) in [
            (
                "turnpike_snapshot_changes_applied",
                "Changes put into force",
                activity.applied,
            ),
            (
                "turnpike_snapshot_changes_refused",
                "Changes that this build could not put into force",
                activity.refused,
            ),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

fn by<const N: usize>(
    label: &'static str,
    counts: [(&'static str, u64); N],
) -> Family<Labels<1>, Counter> {
    let family: Family<Labels<1>, Counter> = Family::default();
    for (value, count) in counts {
        family.get_or_create_owned(&[(label, value)]).inc_by(count);
    }
    family
}

fn names(store: &Store) -> Family<Labels<2>, Gauge> {
    let census = store.census();
    let names: Family<Labels<2>, Gauge> = Family::default();
    for (state, kind, count) in [
        ("held", "domain", census.domains),
        ("alias", "domain", census.aliases),
        ("held", "credential", census.credentials),
        ("held", "dependency", census.dependencies),
        ("missing", "any", census.misses),
        ("pending", "any", census.pending),
    ] {
        let gauge = names.get_or_create_owned(&[("state", state), ("kind", kind)]);
        gauge.set(count as i64);
    }
    names
}
