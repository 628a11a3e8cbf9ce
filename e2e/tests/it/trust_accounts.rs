//! Who gets snapshots: a data plane that trusts the controller's CA and shows a token of the
//! right account, for the right audience. Nobody else, and nobody else learns anything.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use turnpike_controller::trust::certificate::Ca;
use turnpike_controller::trust::moment::Moment;
use turnpike_controller::trust::rotation::{Authority, Certificate};
use turnpike_e2e::accounts::Account;
use turnpike_e2e::fleet::{Controller, Credentials, DataPlane};
use turnpike_e2e::gateway::get;
use turnpike_e2e::kubernetes::{Cluster, PLATFORM_NAMESPACE};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, FileScene, eventually, resources};

const HOST: &str = "trusted.test";
const KEY: &str = "tk-canary-trusted-4f1d0c62b7a94e15";

/// A cluster of its own, with a secured controller and a tenant.
struct World {
    folder: PathBuf,
    state: PathBuf,
    cluster: Cluster,
}

impl World {
    async fn start(folder: &Path) -> Result<Self> {
        let state = folder.join("cluster");
        let place = state.clone();
        let cluster = tokio::task::spawn_blocking(move || Cluster::start_at(&place)).await??;
        let tenant = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", KEY)
            + &resources::route("main", HOST, "echo");
        cluster
            .kubectl_with_input(&["apply", "-f", "-"], &tenant)
            .await?;
        Ok(Self {
            folder: folder.to_owned(),
            state,
            cluster,
        })
    }

    async fn account(&self, name: &str) -> Result<Account<'_>> {
        Account::create(&self.cluster, &self.state, name).await
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        std::fs::write(&file, text).context("writing a file for a program")?;
        Ok(file)
    }

    /// What the controller publishes.
    async fn ca(&self) -> Result<PathBuf> {
        let bundle = ["get", "configmap", "turnpike-snapshot-ca"];
        let bundle = [&bundle[..], &["-n", PLATFORM_NAMESPACE, "-o"]].concat();
        let bundle = [&bundle[..], &["jsonpath={.data.ca\\.crt}"]].concat();
        self.write("ca.crt", &self.cluster.kubectl(&bundle).await?)
    }

    /// A data plane that is refused with these words, and has learnt nothing.
    async fn refused(
        &self,
        name: &str,
        controller: &str,
        more: &[(&str, &str)],
        words: &str,
    ) -> Result<String> {
        let data_plane = DataPlane::launch(&self.folder, name, controller, more)?;
        eventually(&format!("{name} is told: {words}"), async || {
            data_plane.process().check_runs()?;
            let log = data_plane.process().stderr();
            log.contains(words).then_some(()).context(log)
        })
        .await?;
        let ready = get(data_plane.admin(), "/readyz").await?;
        ensure!(ready.status == 503, "{name} is ready: {}", ready.text()?);
        let held = data_plane.held("").await?;
        ensure!(held.is_empty(), "{name} holds {held:?}");
        Ok(data_plane.process().stderr())
    }
}

#[test]
fn only_an_accepted_account_over_tls_gets_snapshots() -> Result<()> {
    FileScene::run(async |scene| {
        let world = World::start(&scene.folder).await?;
        let own = world.account("turnpike-controller").await?.token().await?;
        let token_file = world.write("controller.token", &own)?;
        let token_file = token_file.display().to_string();
        let flags = [("--token-file", token_file.as_str())];
        let controller = Controller::start_secured(&world.folder, &world.cluster, &flags).await?;

        let account = world.account("turnpike-dataplane").await?;
        let token = account.token().await?;
        let credentials = Credentials {
            ca: world.ca().await?,
            token: world.write("token", &token)?,
        };
        let data_plane =
            DataPlane::start_secured(&world.folder, "trusted", &controller, &credentials).await?;
        await_answer(data_plane.gateway(), Call::say(HOST, "echo", "hi").key(KEY)).await?;

        let mut logs = refuse_others(&world, &controller, &credentials, &account).await?;
        let metrics = controller.metrics().await?;
        for reason in ["plaintext", "handshake", "no_token", "token", "account"] {
            let line =
                format!("turnpike_controller_refused_connections_total{{reason=\"{reason}\"}}");
            ensure!(metrics.contains(&line), "{line} in {metrics}");
        }
        let line = "turnpike_controller_certificate_expiry_timestamp_seconds{certificate=\"ca\"}";
        ensure!(metrics.contains(line), "{line} in {metrics}");

        logs.push(metrics);
        logs.push(controller.process().stderr());
        logs.push(data_plane.process().stderr());
        for log in logs {
            for secret in [token.as_str(), own.as_str(), "PRIVATE KEY", KEY] {
                ensure!(!log.contains(secret), "{secret} in {log}");
            }
        }
        Ok(())
    })
}

async fn refuse_others(
    world: &World,
    controller: &Controller,
    credentials: &Credentials,
    account: &Account<'_>,
) -> Result<Vec<String>> {
    let url = controller.url();
    let clear = url.replace("https://", "http://");
    let by_name = url.replace("127.0.0.1", "localhost");
    let stranger = world.account("stranger").await?.token().await?;
    let other = account.token_for("somebody-else").await?;
    let expired = account.token_until(-1).await?;
    let good = std::fs::read_to_string(&credentials.token)?;
    let forged = format!("{}x", &good[..good.len() - 4]);
    let foreign = Ca::make(Moment::now())?;
    let foreign = world.write("foreign.crt", foreign.certificate().pem())?;
    let foreign = foreign.display().to_string();
    let ca = credentials.ca.display().to_string();

    let mut logs = vec![
        world
            .refused("in-the-clear", &clear, &[], "this port speaks TLS")
            .await?,
    ];
    let ca_flag = [("--controller-ca", ca.as_str())];
    let words = "asks for a service-account token";
    logs.push(world.refused("no-token", &url, &ca_flag, words).await?);
    for (name, url, ca, token, words) in [
        (
            "other-audience",
            &url,
            &ca,
            &other,
            "it is for somebody-else, not for turnpike-controller",
        ),
        (
            "other-account",
            &url,
            &ca,
            &stranger,
            "token of turnpike-system/stranger is not accepted: its account is not one of",
        ),
        ("expired", &url, &ca, &expired, "it has expired"),
        (
            "forged",
            &url,
            &ca,
            &forged,
            "is not accepted: the API server",
        ),
        (
            "other-ca",
            &url,
            &foreign,
            &good,
            "signed by none of the CAs in",
        ),
        (
            "other-name",
            &by_name,
            &ca,
            &good,
            "is not for localhost; give --controller by one of its names",
        ),
    ] {
        let token_file = world.write(&format!("{name}.token"), token)?;
        let token_file = token_file.display().to_string();
        let flags = [
            ("--controller-ca", ca.as_str()),
            ("--controller-token-file", token_file.as_str()),
        ];
        let log = world.refused(name, url, &flags, words).await?;
        ensure!(!log.contains(token), "its token in {log}");
        logs.push(log);
    }
    Ok(logs)
}

#[test]
fn a_stream_ends_with_its_token_and_goes_on_with_the_next() -> Result<()> {
    FileScene::run(async |scene| {
        let world = World::start(&scene.folder).await?;
        let own = world.account("turnpike-controller").await?.token().await?;
        let token_file = world.write("controller.token", &own)?;
        let token_file = token_file.display().to_string();
        let flags = [("--token-file", token_file.as_str())];
        let leader = Controller::start_secured(&world.folder, &world.cluster, &flags).await?;
        let folder = world.folder.join("second");
        let second = Controller::start_secured(&folder, &world.cluster, &flags).await?;
        eventually("the second controller reports over TLS", async || {
            let metrics = leader.metrics().await?;
            let line = "turnpike_controller_replicas_reporting 1";
            let is_there = metrics.lines().any(|found| found == line);
            is_there.then_some(()).context(second.process().stderr())
        })
        .await?;

        let account = world.account("turnpike-dataplane").await?;
        let short = account.token_until(12).await?;
        let credentials = Credentials {
            ca: world.ca().await?,
            token: world.write("token", &short)?,
        };
        let data_plane =
            DataPlane::start_secured(&world.folder, "renewed", &leader, &credentials).await?;
        let call = Call::say(HOST, "echo", "hi").key(KEY);
        await_answer(data_plane.gateway(), call.clone()).await?;
        world.write("token", &account.token().await?)?;

        let mut requests = 0;
        eventually("the stream is renewed", async || {
            data_plane.gateway().send(call.clone()).await?.expect_ok()?;
            requests += 1;
            let log = data_plane.process().stderr();
            let opened = log.matches("snapshot stream open").count();
            ensure!(opened >= 2, "{opened} streams after {requests} requests");
            Ok(())
        })
        .await?;
        let log = data_plane.process().stderr();
        ensure!(log.contains("its token has expired"), "{log}");
        ensure!(!log.contains("not connected"), "{log}");
        println!("{requests} requests while the token was renewed, none failed");
        Ok(())
    })
}
