//! The soak in its short form: nothing is left behind, however long anything takes.

use anyhow::{Result, ensure};
use turnpike_e2e::FileScene;
use turnpike_e2e::bench::soak::{Options, measure};

#[test]
fn a_mixed_load_under_changes_leaves_nothing_behind() -> Result<()> {
    FileScene::run(async |scene| {
        let options = Options {
            minutes: 60.0,
            requests: Some(2000),
            connections: 8,
            cancelled: 10,
            big: 5,
            largest: 2,
            warm_up: 0,
            churn: 200,
            redis: false,
            seed: 1,
        };
        let report = measure(&scene.folder, &options).await?;
        ensure!(report.failures.is_empty(), "{:?}", report.failures);
        ensure!(report.requests == 2000, "{}", report.requests);
        let left = &report.left;
        let is_clean = left.lines == report.requests
            && left.lines_dropped == 0
            && left.in_flight == 0
            && left.reserved == 0
            && left.settlements_dropped == 0;
        ensure!(is_clean, "{left:?}");
        Ok(())
    })
}
