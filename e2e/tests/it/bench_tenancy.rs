//! The benchmark of tenancy in its short form: everything comes into force, however long it takes.

use anyhow::{Result, ensure};
use turnpike_e2e::Scene;
use turnpike_e2e::bench::tenancy::measure;

#[test]
fn whatever_is_taken_away_or_mistaken_shows_on_both_data_planes() -> Result<()> {
    Scene::run(async |scene| {
        let gateways = [scene.fleet.gateway(0), scene.fleet.gateway(1)];
        let report = measure(scene.cluster, gateways, 2).await?;
        ensure!(report.rows.len() == 7, "{report:?}");
        for row in &report.rows {
            ensure!(row.times.len() == 2, "{row:?}");
        }
        Ok(())
    })
}
