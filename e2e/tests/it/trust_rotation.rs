//! The CA of the snapshot port is replaced under a connected data plane, and nothing is lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use secrecy::ExposeSecret;
use turnpike_controller::trust::certificate::Ca;
use turnpike_controller::trust::moment::{Life, Moment};
use turnpike_controller::trust::rotation::{Authority, Certificate, LIFETIME};
use turnpike_e2e::accounts::Account;
use turnpike_e2e::fleet::{Controller, Credentials, DataPlane};
use turnpike_e2e::kubernetes::{Cluster, PLATFORM_NAMESPACE};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, FileScene, Gateway, eventually, resources};

const HOST: &str = "rotated.test";
const KEY: &str = "tk-rotated-4f1d0c62b7a94e15";
const NAME: &str = "turnpike-snapshot-ca";
/// Between two requests, so that the rest of a small machine gets its turn.
const PACE: Duration = Duration::from_millis(10);

#[test]
fn a_new_ca_is_published_then_signs_and_nothing_is_lost() -> Result<()> {
    FileScene::run(async |scene| {
        let state = scene.folder.join("cluster");
        let place = state.clone();
        let cluster = tokio::task::spawn_blocking(move || Cluster::start_at(&place)).await??;
        let tenant = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", KEY)
            + &resources::route("main", HOST, "echo");
        cluster
            .kubectl_with_input(&["apply", "-f", "-"], &tenant)
            .await?;
        // Three quarters of its life are over: time for a successor.
        let old = put_old_ca(&cluster).await?;
        let controller = Controller::start_secured(&scene.folder, &cluster, &[]).await?;
        let bundle = published(&cluster).await?;
        ensure!(
            bundle.starts_with(&old),
            "not signed by the old CA: {bundle}"
        );
        let next = bundle.trim_start_matches(old.as_str());
        ensure!(next.contains("BEGIN CERTIFICATE"), "no next CA: {bundle}");

        let account = Account::create(&cluster, &state, "turnpike-dataplane").await?;
        let token = write(&scene.folder, "token", &account.token().await?)?;
        let credentials = |name: &str, text: &str| -> Result<Credentials> {
            let ca = write(&scene.folder, name, text)?;
            let token = token.clone();
            Ok(Credentials { ca, token })
        };
        let both = credentials("both.crt", &bundle)?;
        let start =
            async |name| DataPlane::start_secured(&scene.folder, name, &controller, &both).await;
        let data_plane = start("connected").await?;
        let call = Call::say(HOST, "echo", "hi").key(KEY);
        await_answer(data_plane.gateway(), call.clone()).await?;
        let load = Load::start(data_plane.gateway().clone());

        // As if it had been published a day ago.
        let patch = r#"{"stringData": {"next.published": "2026-01-01T00:00:00Z"}}"#;
        kubectl(&cluster, &["patch", "secret", NAME, "-p", patch]).await?;
        let promoted = eventually("the next CA signs", async || {
            let bundle = published(&cluster).await?;
            ensure!(bundle.starts_with(next), "{bundle}");
            Ok(bundle)
        })
        .await?;
        ensure!(
            promoted.ends_with(&old),
            "the old CA is not trusted: {promoted}"
        );

        // Who trusts the new one alone gets in, and who trusts the old one alone does not.
        let new_alone = credentials("new.crt", next)?;
        let joined = DataPlane::start_secured(&scene.folder, "new", &controller, &new_alone);
        await_answer(joined.await?.gateway(), call.clone()).await?;
        let old_alone = credentials("old.crt", &old)?;
        let flags = [
            ("--controller-ca", &*old_alone.ca.display().to_string()),
            ("--controller-token-file", &*token.display().to_string()),
        ];
        let left_behind = DataPlane::launch(&scene.folder, "old", &controller.url(), &flags)?;
        eventually("the old CA alone is not enough", async || {
            let log = left_behind.process().stderr();
            let words = "signed by none of the CAs in";
            log.contains(words).then_some(()).context(log)
        })
        .await?;

        // The connected one comes back to a controller that shows the new CA alone.
        controller.process().kill();
        controller.start_again().await?;
        eventually("the data plane is connected again", async || {
            let log = data_plane.process().stderr();
            let opened = log.matches("snapshot stream open").count();
            ensure!(opened >= 2, "{log}");
            Ok(())
        })
        .await?;
        let (sent, failed) = load.stop();
        ensure!(
            failed == 0 && sent > 0,
            "{failed} of {sent} requests failed"
        );
        println!("{sent} requests over the rotation, none failed");
        Ok(())
    })
}

/// Requests one after the other, all the time.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Load {
    fn start(gateway: Gateway) -> Self {
        let load = Self {
            stop: Arc::default(),
            sent: Arc::default(),
            failed: Arc::default(),
        };
        let (stop, sent, failed) = (load.stop.clone(), load.sent.clone(), load.failed.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let call = Call::say(HOST, "echo", "hi").key(KEY);
                let answer = gateway.send(call).await;
                let is_good = answer.is_ok_and(|answer| answer.status == 200);
                sent.fetch_add(1, Ordering::Relaxed);
                failed.fetch_add(usize::from(!is_good), Ordering::Relaxed);
                tokio::time::sleep(PACE).await;
            }
        });
        load
    }

    fn stop(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.sent), count(&self.failed))
    }
}

async fn put_old_ca(cluster: &Cluster) -> Result<String> {
    let until = Moment::now().plus(LIFETIME / 4);
    let life = Life {
        from: until.minus(LIFETIME),
        until,
    };
    let ca = Ca::make_for(life)?;
    let pem = ca.certificate().pem();
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": NAME, "namespace": PLATFORM_NAMESPACE},
        "stringData": {"ca.crt": pem, "ca.key": ca.key().expose_secret()}
    });
    let apply = ["create", "-f", "-"];
    cluster
        .kubectl_with_input(&apply, &secret.to_string())
        .await?;
    Ok(pem.to_owned())
}

/// The bundle that data planes mount.
async fn published(cluster: &Cluster) -> Result<String> {
    let get = ["get", "configmap", NAME, "-o", "jsonpath={.data.ca\\.crt}"];
    Ok(kubectl(cluster, &get).await? + "\n")
}

async fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let here = [&["--namespace", PLATFORM_NAMESPACE], arguments].concat();
    cluster.kubectl(&here).await
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    std::fs::write(&file, text).context("writing a file for a program")?;
    Ok(file)
}
