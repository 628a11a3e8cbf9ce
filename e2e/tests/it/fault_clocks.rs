//! Two controllers whose clocks are an hour apart: one leads, steadily, and is replaced when it
//! is killed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use turnpike_e2e::fleet::{Controller, Source};
use turnpike_e2e::kubernetes::PLATFORM_NAMESPACE;
use turnpike_e2e::{Scene, eventually, resources};

/// How often the Lease is renewed while nobody may take it.
const RENEWALS: usize = 8;

const LEADS: &str = "turnpike_controller_leads 1";

#[test]
fn controllers_with_opposite_clocks_do_not_fight() -> Result<()> {
    Scene::run_alone(async |scene| {
        scene.fleet.controller.process().kill();
        let outcome = with_opposite_clocks(scene).await;
        scene.fleet.controller.start_again().await?;
        outcome
    })
}

async fn with_opposite_clocks(scene: &Scene) -> Result<()> {
    let early = start(scene, "early", "-30m").await?;
    early.await_metric(LEADS).await?;
    let late = start(scene, "late", "+30m").await?;

    let before = lease(scene).await?;
    let (mut renewed, mut last) = (0, before.renewed.clone());
    eventually("the Lease is renewed again and again", async || {
        let now = lease(scene).await?;
        ensure!(now.holder == before.holder, "taken: {now:?}");
        if now.renewed != last {
            renewed += 1;
            last = now.renewed;
        }
        ensure!(renewed >= RENEWALS, "renewed {renewed} times");
        Ok(())
    })
    .await?;
    let after = lease(scene).await?;
    ensure!(
        after.transitions == before.transitions,
        "{before:?} {after:?}"
    );

    scene.apply(&resources::echo_provider("first")).await?;
    let accepted = async |name: &str| {
        let condition = scene.await_condition("aiprovider", name, "Accepted", "True");
        condition.await.map(drop)
    };
    accepted("first").await?;
    early.process().kill();
    scene.apply(&resources::echo_provider("second")).await?;
    accepted("second").await?;
    late.await_metric(LEADS).await?;

    // The other way round: a clock of the past beside a leader of the future.
    early.start_again().await?;
    late.process().kill();
    scene.apply(&resources::echo_provider("third")).await?;
    accepted("third").await?;
    early.await_metric(LEADS).await
}

#[derive(Debug)]
struct Lease {
    holder: String,
    renewed: String,
    transitions: i64,
}

async fn lease(scene: &Scene) -> Result<Lease> {
    let arguments = ["get", "lease", "turnpike-controller", "-o", "json"];
    let arguments = [&["--namespace", PLATFORM_NAMESPACE], arguments.as_slice()].concat();
    let text = scene.cluster.kubectl(&arguments).await?;
    let lease: serde_json::Value = serde_json::from_str(&text)?;
    let text = |field: &str| lease["spec"][field].as_str().map(str::to_owned);
    Ok(Lease {
        holder: text("holderIdentity").context("no holder")?,
        renewed: text("renewTime").context("never renewed")?,
        transitions: lease["spec"]["leaseTransitions"].as_i64().unwrap_or(0),
    })
}

/// A controller that takes its wall clock for so much earlier or later than it is.
async fn start(scene: &Scene, name: &str, offset: &str) -> Result<Controller> {
    let environment = [
        ("LD_PRELOAD", faketime()?.into_os_string()),
        ("FAKETIME", offset.into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ];
    let environment = environment
        .into_iter()
        .map(|(name, value)| (OsString::from(name), value))
        .collect();
    let folder = scene.folder.join(name);
    let source = Source::Cluster(scene.cluster);
    Controller::start_in(&folder, source, &[("--hostname-policy", "*")], environment).await
}

/// Debian's libfaketime, under the folder of whichever architecture this is.
fn faketime() -> Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").context("reading /usr/lib")?;
    let mut files = folders
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let file = files.find(|file| Path::exists(file));
    file.context(
        "libfaketime is missing; `cargo xtask e2e` installs it, or apt-get install libfaketime",
    )
}
