//! The simulation of a fleet in its short form: what must hold however long anything takes.

use anyhow::Result;
use turnpike_e2e::bench::fleet::{Options, simulate};

#[tokio::test(flavor = "multi_thread")]
async fn simulated_fleet_sends_each_change_once_to_its_holders_and_nothing_twice() -> Result<()> {
    let options = Options {
        domains: 2000,
        streams: 20,
        interest: 50,
        changes: 20,
        deliveries: 5,
        rounds: 5,
        redrawn: 10,
        edits: 50,
        plain: false,
        seed: 1,
        json: None,
    };
    let report = simulate(&options).await?;
    assert_eq!(report.subscribed.streams, 20);
    for delivered in &report.deliveries {
        assert_eq!(delivered.units.len(), 5, "{}", delivered.kind);
        assert_eq!(delivered.strays, 0, "{}", delivered.kind);
        for (units, holders) in delivered.units.iter().zip(&delivered.holders) {
            // What lost its last reference is dropped by units of its own: with a route the
            // tenant and its provider, with a key its consumer.
            let most = match delivered.kind {
                "route deleted" => 3,
                "key revoked" => 2,
                _ => 1,
            };
            let is_right = *units >= *holders && *units <= most * holders;
            assert!(is_right, "{}: {units} units to {holders}", delivered.kind);
        }
    }
    assert_eq!(report.churn.changes, 250);
    assert!(report.churn.compared > 20 * 50);
    assert_eq!(report.churn.different, 0);
    assert_eq!(report.reconnected.names, report.churn.compared);
    assert_eq!(report.reconnected.units, 0);
    Ok(())
}
