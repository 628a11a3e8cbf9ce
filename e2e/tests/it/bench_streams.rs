//! The benchmark of open streams in its short form: none is cut, however long anything takes.

use anyhow::{Result, ensure};
use turnpike_e2e::Scene;
use turnpike_e2e::bench::streams::{Options, measure};

#[test]
fn no_stream_is_cut_by_changes_of_what_it_runs_on() -> Result<()> {
    Scene::run(async |scene| {
        let options = Options {
            streams: 200,
            over_http2: 50,
            tenants: 4,
            changes: 200,
            writers: 4,
            rest: 0,
        };
        let fleet = scene.fleet;
        let data_plane = &fleet.data_planes[0];
        let measured = measure(
            scene.cluster,
            &fleet.controller,
            data_plane,
            &scene.folder,
            &options,
        );
        let report = measured.await?;
        ensure!(report.cut.is_empty(), "{:?}", report.cut);
        Ok(())
    })
}
