//! The chart on real pods: installed, used, upgraded and scaled under load, each kind of pod killed,
//! uninstalled. One test, since each step needs what the one before has left.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use turnpike_e2e::pods::{PodCluster, tell};
use turnpike_e2e::ports::free_address;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Gateway, Process, Program, eventually, places, python, resources};

use crate::chart_render::chart;
use crate::pods_load::{self, Load, Target};

pub(crate) const SYSTEM: &str = "turnpike-system";
pub(crate) const TENANT: &str = "tenant-a";
pub(crate) const KEY: &str = "tk-load-4f1d0c62b7a94e15";

/// What differs from the chart's own values: images of this machine, and short times.
pub(crate) const VALUES: &str = r#"
image: {repository: localhost/turnpike, tag: e2e-1}
hostnamePolicy: ["{namespace}.maas.test"]
redis: {embedded: true, image: {repository: localhost/redis, tag: e2e}}
controller: {resources: {requests: {cpu: 10m}}}
dataPlane:
  drainDelaySeconds: 3
  drainSeconds: 60
  resources: {requests: {cpu: 10m}}
"#;

#[test]
fn the_chart_serves_through_upgrades_scaling_and_crashes() -> Result<()> {
    PodCluster::run(async |pods| {
        let began = Instant::now();
        install(pods, VALUES).await?;
        let took = began.elapsed().as_secs_f64();
        tell(&format!("install → all pods ready: {took:.1} s"));
        quickstart(pods).await?;
        let target = tenant(pods).await?;
        upgrade(pods, &target).await?;
        scale(pods, &target).await?;
        kill_controllers_and_redis(pods, &target).await?;
        kill_a_data_plane(pods, &target).await?;
        uninstall(pods).await?;
        install_again_as_any_user(pods, &target).await
    })
}

/// Gives back when all pods are ready.
pub(crate) async fn install(pods: &PodCluster, values: &str) -> Result<()> {
    let chart = chart()?;
    let arguments = [
        "install",
        "turnpike",
        &chart,
        "--namespace",
        SYSTEM,
        "--create-namespace",
        "--values=-",
    ];
    let notes = pods.cluster.helm(&arguments, values).await?;
    ensure!(notes.contains("examples/quickstart"), "{notes}");
    await_ready(pods).await
}

/// Waits until all pods of [`VALUES`] are ready, and no others are left.
pub(crate) async fn await_ready(pods: &PodCluster) -> Result<()> {
    for (component, count) in [("controller", 2), ("dataplane", 2), ("redis", 1)] {
        pods.await_pods(SYSTEM, component, count).await?;
    }
    Ok(())
}

/// What NOTES.txt and the README tell to do, then OpenAI's SDK.
async fn quickstart(pods: &PodCluster) -> Result<()> {
    let kubectl = async |arguments: &[&str]| pods.cluster.kubectl(arguments).await;
    let files = places::root()?.join("examples/quickstart");
    let files = files.display().to_string();
    let refused = kubectl(&["apply", "-f", &files]).await.err();
    let refused = format!(
        "{:#}",
        refused.context("a host was claimed by nobody's leave")?
    );
    let advice = "kubectl annotate --overwrite namespace default \
                  turnpike.dev/allowed-hostnames=localhost,127.0.0.1";
    ensure!(refused.contains(advice), "{refused}");
    let advice: Vec<&str> = advice.split_whitespace().skip(1).collect();
    kubectl(&advice).await?;
    kubectl(&["apply", "-f", &files]).await?;
    let programmed = [
        "wait",
        "--for=condition=Programmed",
        "airoute/main",
        "--timeout=30s",
    ];
    kubectl(&programmed).await?;

    let address = pods.service(SYSTEM, "turnpike-dataplane", 80).await?;
    let key = "turnpike-quickstart-key-0001";
    let call = Call::say("localhost", "echo-small", "hello").key(key);
    await_answer(&Gateway::at(address), call).await?;
    let asked = json!({
        "base_url": format!("http://{address}/v1"), "host": "localhost", "key": key,
        "model": "echo-small", "text": "hello from pods",
    });
    let answer = python::run("ask.py", &asked).await?;
    ensure!(answer.trim() == "hello from pods", "{answer}");

    let forwarded = free_address()?;
    let ports = format!("{}:80", forwarded.port());
    let arguments = [
        "--kubeconfig".as_ref(),
        pods.cluster.kubeconfig().as_os_str(),
        "--namespace".as_ref(),
        SYSTEM.as_ref(),
        "port-forward".as_ref(),
        "service/turnpike-dataplane".as_ref(),
        ports.as_ref(),
    ];
    let program = Program::new("port-forward", pods.cluster.kubectl_file(), arguments);
    let _forwarding = Process::spawn(&pods.folder, program)?;
    let host = format!("localhost:{}", forwarded.port());
    let call = Call::get(&host, "/v1/models").key(key);
    await_answer(&Gateway::at(forwarded), call).await
}

/// A tenant whose requests nothing limits.
pub(crate) async fn tenant(pods: &PodCluster) -> Result<Target> {
    let host = format!("{TENANT}.maas.test");
    pods.cluster
        .kubectl(&["create", "namespace", TENANT])
        .await?;
    let yaml = resources::echo_provider("echo")
        + &resources::consumer("load", "load", KEY)
        + &resources::route("main", &host, "echo");
    let apply = ["--namespace", TENANT, "apply", "-f", "-"];
    pods.cluster.kubectl_with_input(&apply, &yaml).await?;
    let gateway = pods.service(SYSTEM, "turnpike-dataplane", 80).await?;
    let call = Call::say(&host, "echo", "hello").key(KEY);
    await_answer(&Gateway::at(gateway), call).await?;
    Ok(Target {
        gateway,
        host,
        key: KEY.to_owned(),
    })
}

/// Another image and other values, for every kind of pod.
async fn upgrade(pods: &PodCluster, target: &Target) -> Result<()> {
    let chart = chart()?;
    Load::during(target, "upgrade", async |_| {
        let arguments = [
            "upgrade",
            "turnpike",
            &chart,
            "--namespace",
            SYSTEM,
            "--reset-then-reuse-values",
            "--values=-",
            "--wait",
            "--timeout=120s",
        ];
        let values = "image: {tag: e2e-2}\nlogLevel: debug\ndataPlane: {idleDomain: 30m}\n";
        pods.cluster.helm(&arguments, values).await?;
        for component in ["controller", "dataplane"] {
            pods.await_pods(SYSTEM, component, 2).await?;
        }
        Ok(())
    })
    .await
}

async fn scale(pods: &PodCluster, target: &Target) -> Result<()> {
    Load::during(target, "scale 2 → 4 → 1", async |load| {
        for count in [4, 1] {
            scale_to(pods, count).await?;
            load.await_streams(8).await?;
        }
        Ok(())
    })
    .await?;
    scale_to(pods, 2).await
}

async fn scale_to(pods: &PodCluster, count: usize) -> Result<()> {
    let replicas = format!("--replicas={count}");
    let scale = ["scale", "deployment/turnpike-dataplane", &replicas];
    let arguments = [&["--namespace", SYSTEM][..], &scale].concat();
    pods.cluster.kubectl(&arguments).await?;
    pods.await_pods(SYSTEM, "dataplane", count).await.map(drop)
}

/// One after the other; nobody who calls notices.
async fn kill_controllers_and_redis(pods: &PodCluster, target: &Target) -> Result<()> {
    Load::during(target, "controllers and Redis killed", async |load| {
        for component in ["controller", "redis"] {
            for pod in pods.pods(SYSTEM, component).await? {
                pods.kill(SYSTEM, component, &pod).await?;
                load.await_streams(4).await?;
            }
        }
        Ok(())
    })
    .await?;
    // What is created afterwards is served as well.
    let host = format!("new.{TENANT}.maas.test");
    let allowed = format!("turnpike.dev/allowed-hostnames=*.{TENANT}.maas.test");
    let kubectl = async |arguments: &[&str]| pods.cluster.kubectl(arguments).await;
    kubectl(&["annotate", "namespace", TENANT, &allowed]).await?;
    let yaml = resources::route("new", &host, "echo");
    let apply = ["--namespace", TENANT, "apply", "-f", "-"];
    pods.cluster.kubectl_with_input(&apply, &yaml).await?;
    let call = Call::say(&host, "echo", "hello").key(KEY);
    await_answer(&Gateway::at(target.gateway), call).await
}

/// Its own streams break, those of the other go on, and it comes back with what it knew.
async fn kill_a_data_plane(pods: &PodCluster, target: &Target) -> Result<()> {
    let both = pods.await_pods(SYSTEM, "dataplane", 2).await?;
    let [killed, spared] = [&both[0], &both[1]];
    let of = |pod: &turnpike_e2e::pods::Pod| -> Result<Target> {
        let gateway = format!("{}:8080", pod.ip)
            .parse()
            .context("the pod's address")?;
        Ok(Target {
            gateway,
            ..target.clone()
        })
    };
    let (doomed, safe) = (of(killed)?, of(spared)?);
    let doomed_streams = futures::future::join_all((0..4).map(|_| pods_load::stream(&doomed)));
    Load::during(&safe, "a data plane killed", async |load| {
        let killing = async {
            // The doomed streams have begun by then, and last for seconds.
            load.await_requests(10).await?;
            pods.kill(SYSTEM, "dataplane", killed).await
        };
        let (broken, killing) = tokio::join!(doomed_streams, killing);
        killing?;
        let broken = broken.iter().filter(|stream| stream.is_err()).count();
        tell(&format!(
            "{broken} of the 4 streams of the killed one broke"
        ));
        Ok(())
    })
    .await?;
    let call = Call::say(&target.host, "echo", "hello").key(KEY);
    await_answer(&Gateway::at(doomed.gateway), call).await
}

/// What was kept is taken over; and pods run as whatever user a platform such as OpenShift gives them.
async fn install_again_as_any_user(pods: &PodCluster, target: &Target) -> Result<()> {
    install(pods, &format!("{VALUES}\nopenshift: true\n")).await?;
    let patch = json!({"spec": {"template": {"spec": {"securityContext": {
        "runAsUser": 1_000_650_000, "fsGroup": 1_000_650_000,
    }}}}});
    let patch = format!("--patch={patch}");
    for deployment in [
        "deployment/turnpike-controller",
        "deployment/turnpike-dataplane",
    ] {
        let kubectl = async |arguments: &[&str]| {
            let arguments = [&["--namespace", SYSTEM], arguments].concat();
            pods.cluster.kubectl(&arguments).await
        };
        kubectl(&["patch", deployment, &patch]).await?;
        kubectl(&["rollout", "status", deployment, "--timeout=60s"]).await?;
    }
    let gateway = pods.service(SYSTEM, "turnpike-dataplane", 80).await?;
    let call = Call::say(&target.host, "echo", "hello").key(KEY);
    await_answer(&Gateway::at(gateway), call).await
}

/// Definitions and objects stay; all else goes.
async fn uninstall(pods: &PodCluster) -> Result<()> {
    let arguments = ["uninstall", "turnpike", "--namespace", SYSTEM];
    pods.cluster.helm(&arguments, "").await?;
    for component in ["controller", "dataplane", "redis"] {
        pods.await_pods(SYSTEM, component, 0).await?;
    }
    let kubectl = async |arguments: &[&str]| pods.cluster.kubectl(arguments).await;
    let routes = kubectl(&["--namespace", TENANT, "get", "airoutes", "--output=name"]).await?;
    ensure!(routes.lines().count() == 2, "{routes}");
    let definitions = kubectl(&["get", "crds", "--output=name"]).await?;
    ensure!(definitions.lines().count() == 4, "{definitions}");
    let label = "--selector=app.kubernetes.io/instance=turnpike";
    let kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,\
                 validatingadmissionpolicybindings";
    eventually("nothing else of the release is left", async || {
        let left = kubectl(&["get", kinds, label, "--output=name"]).await?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await
}
