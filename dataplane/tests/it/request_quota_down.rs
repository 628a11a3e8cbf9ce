//! Counters that cannot be reached: what each quota's `onStoreFailure` makes of it.

use std::sync::Arc;

use turnpike_dataplane::quota::{QuotaCounters, RedisSettings, RedisStore, Store};
use turnpike_snapshot::quota::{Amount, OnStoreFailure};

use super::request_gateway::TestGateway;
use super::request_world::{World, echo, quota};

/// A gateway whose counters are at a port that nobody listens on.
async fn gateway(wanted: &[OnStoreFailure]) -> (TestGateway, Arc<QuotaCounters>) {
    let counts = Arc::new(QuotaCounters::default());
    let settings = RedisSettings::new("redis://127.0.0.1:1");
    let store = RedisStore::open(&settings, counts.clone()).unwrap();
    let mut world = World::with(echo());
    for wanted in wanted {
        let mut quota = quota(Amount::Tokens(1_000_000));
        quota.on_store_failure = *wanted;
        world = world.limited(quota);
    }
    let store = Store::Redis(Box::new(store));
    let gateway = TestGateway::with_counters(world.store(), store, counts.clone()).await;
    (gateway, counts)
}

#[tokio::test]
async fn deny_is_503_and_says_when_to_try_again() {
    let (gateway, _) = gateway(&[OnStoreFailure::Allow, OnStoreFailure::Deny]).await;
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "quota_store_unavailable".into())
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!answer.text().contains("127.0.0.1"));
}

#[tokio::test]
async fn allow_serves_and_keeps_the_usage_for_later() {
    let (gateway, counts) = gateway(&[OnStoreFailure::Allow]).await;
    let answer = gateway.chat_stream("x").await;
    assert_eq!(
        (answer.status, answer.header("x-ratelimit-limit-tokens")),
        (200, None)
    );
    gateway.settled().await;
    assert_eq!(
        counts.journaled.load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}
