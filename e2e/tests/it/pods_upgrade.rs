//! Five hundred tenants, a thousand objects, carried from the previous chart to this one under load,
//! then deleted with their namespace.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use turnpike_e2e::pods::{PodCluster, tell};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Gateway, eventually, places, resources};

use crate::chart_render::chart;
use crate::pods_chart::{KEY, SYSTEM, TENANT, VALUES, await_ready, tenant};
use crate::pods_load::{Load, Target};

const CROWD: &str = "crowd";
const TENANTS: usize = 500;
/// Of how many tenants one is asked before and after the upgrade.
const ASKED: usize = 10;

#[test]
fn the_previous_chart_becomes_this_one_with_a_thousand_objects() -> Result<()> {
    PodCluster::run(async |pods| {
        install(pods).await?;
        let target = tenant(pods).await?;
        let gateway = Gateway::at(target.gateway);
        crowd(pods).await?;
        await_crowd(pods).await?;
        ask(&gateway).await?;
        let before = generations(pods).await?;
        upgrade(pods, &target).await?;
        await_crowd(pods).await?;
        ask(&gateway).await?;
        ensure!(generations(pods).await? == before, "a spec was written");
        delete_namespace(pods, &gateway).await
    })
}

/// The one chart that the folder of the previous version holds.
fn previous_chart() -> Result<String> {
    let folder = places::root()?.join("e2e/previous");
    let entries = std::fs::read_dir(&folder)?;
    let files: Vec<_> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let mut charts = files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "tgz"));
    let chart = charts.next().context("no previous chart")?;
    ensure!(
        charts.next().is_none(),
        "more than one in {}",
        folder.display()
    );
    Ok(chart.display().to_string())
}

async fn install(pods: &PodCluster) -> Result<()> {
    let chart = previous_chart()?;
    let release = ["install", "turnpike", &chart, "--namespace", SYSTEM];
    let arguments = [&release[..], &["--create-namespace", "--values=-"]].concat();
    pods.cluster.helm(&arguments, VALUES).await?;
    // Its programs are those of today, which read more than that chart gave its own the right to.
    let kubectl = async |arguments: &[&str]| pods.cluster.kubectl(arguments).await;
    let role = "of-todays-programs";
    let resources = "--resource=configmaps,services,endpointslices.discovery.k8s.io";
    kubectl(&[
        "create",
        "clusterrole",
        role,
        "--verb=list,watch",
        resources,
    ])
    .await?;
    let account = format!("--serviceaccount={SYSTEM}:turnpike-controller");
    let role_flag = format!("--clusterrole={role}");
    kubectl(&["create", "clusterrolebinding", role, &role_flag, &account]).await?;
    await_ready(pods).await
}

/// Under load; values are kept as they were.
async fn upgrade(pods: &PodCluster, target: &Target) -> Result<()> {
    let chart = chart()?;
    Load::during(target, "upgrade from the previous chart", async |_| {
        let release = ["upgrade", "turnpike", &chart, "--namespace", SYSTEM];
        let how = [
            "--reset-then-reuse-values",
            "--set=image.tag=e2e-2",
            "--wait",
            "--timeout=120s",
        ];
        pods.cluster
            .helm(&[&release[..], &how].concat(), "")
            .await?;
        await_ready(pods).await
    })
    .await
}

fn host(tenant: usize) -> String {
    format!("t-{tenant}.{CROWD}.maas.test")
}

fn key(tenant: usize) -> String {
    format!("tk-crowd-{tenant:04}-8c1f5be0d7a24693")
}

/// A group for each tenant in one namespace: a route and a consumer each.
async fn crowd(pods: &PodCluster) -> Result<()> {
    let kubectl = async |arguments: &[&str]| pods.cluster.kubectl(arguments).await;
    kubectl(&["create", "namespace", CROWD]).await?;
    let allowed = format!("turnpike.dev/allowed-hostnames=*.{CROWD}.maas.test");
    kubectl(&["annotate", "namespace", CROWD, &allowed]).await?;
    let objects = (0..TENANTS).map(|tenant| {
        let name = format!("t-{tenant}");
        resources::consumer(&name, &name, &key(tenant))
            + &resources::route(&name, &host(tenant), "echo")
    });
    let yaml = resources::echo_provider("echo") + &objects.collect::<String>();
    let create = ["--namespace", CROWD, "create", "-f", "-"];
    pods.cluster.kubectl_with_input(&create, &yaml).await?;
    Ok(())
}

/// `kubectl wait` would watch each object by itself.
async fn await_crowd(pods: &PodCluster) -> Result<()> {
    eventually("all of the crowd is ready", async || {
        let objects = objects(pods).await?;
        let is_ready = |object: &&Value| {
            let conditions = object["status"]["conditions"].as_array();
            conditions.is_some_and(|conditions| {
                let is_it = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
                conditions.iter().any(is_it)
            })
        };
        let ready = objects.iter().filter(is_ready).count();
        ensure!(ready == 2 * TENANTS, "{ready} are");
        Ok(())
    })
    .await
}

async fn ask(gateway: &Gateway) -> Result<()> {
    for tenant in (0..TENANTS).step_by(ASKED) {
        let (host, key) = (host(tenant), key(tenant));
        let answer = gateway.send(Call::say(&host, "echo", "hello").key(&key));
        answer.await?.expect_ok()?;
    }
    Ok(())
}

/// Of all routes and consumers, in the order of their names.
async fn generations(pods: &PodCluster) -> Result<Vec<i64>> {
    let objects = objects(pods).await?;
    let generations = objects.iter().map(|object| {
        let generation = object["metadata"]["generation"].as_i64();
        generation.context("no generation")
    });
    generations.collect()
}

/// All routes and consumers.
async fn objects(pods: &PodCluster) -> Result<Vec<Value>> {
    let kinds = "airoutes,consumers";
    let get = ["--namespace", CROWD, "get", kinds, "--output=json"];
    let mut list: Value = serde_json::from_str(&pods.cluster.kubectl(&get).await?)?;
    let Value::Array(items) = list["items"].take() else {
        bail!("no items");
    };
    ensure!(items.len() == 2 * TENANTS, "{} of them", items.len());
    Ok(items)
}

/// Nothing holds it up, and nobody is served any more.
async fn delete_namespace(pods: &PodCluster, gateway: &Gateway) -> Result<()> {
    let delete = ["delete", "namespace", CROWD, "--timeout=120s"];
    pods.cluster.kubectl(&delete).await?;
    tell(&format!("namespace of {TENANTS} tenants deleted"));
    for tenant in (0..TENANTS).step_by(ASKED) {
        let (host, key) = (host(tenant), key(tenant));
        eventually(&format!("{host} is gone"), async || {
            let answer = gateway.send(Call::say(&host, "echo", "hello").key(&key));
            answer.await?.expect_error(404, "unknown_host")
        })
        .await?;
    }
    let target = format!("{TENANT}.maas.test");
    await_answer(gateway, Call::say(&target, "echo", "hello").key(KEY)).await
}
