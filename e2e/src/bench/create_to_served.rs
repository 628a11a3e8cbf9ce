//! `create-to-served`: from the API server's answer to the creation of an AIRoute until a data
//! plane that had never heard of its host answers with 200.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use clap::Args;
use hyper::Method;
use serde_json::json;

use crate::bench::{quantile, table};
use crate::eventually::eventually;
use crate::fleet::{Fleet, Source};
use crate::gateway::{Call, Gateway, get};
use crate::kubernetes::Cluster;
use crate::ports::free_address;
use crate::process::{Process, Program};
use crate::{places, resources};

const KEY: &str = "tk-bench-0123456789abcdef0123";

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Routes that are created, one after the other
    #[arg(long, default_value_t = 100)]
    routes: usize,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    let cluster = Cluster::shared()?;
    let folder = places::run_folder()?;
    let fleet = Fleet::start(&folder.join("fleet"), Source::Cluster(cluster)).await?;
    let namespace = format!("bench-{}", places::unique());
    cluster
        .kubectl(&["create", "namespace", &namespace])
        .await?;
    let shared = resources::echo_provider("echo") + &resources::consumer("alice", "gold", KEY);
    let apply = ["apply", "-n", &namespace, "-f", "-"];
    cluster.kubectl_with_input(&apply, &shared).await?;

    let api = ApiServer::start(cluster, &folder).await?;
    let mut times = Vec::new();
    for number in 0..options.routes {
        let host = format!("route-{number}.{namespace}.test");
        api.create_route(&namespace, number, &host).await?;
        times.push(until_served(fleet.gateway(number), &host).await?);
    }
    cluster
        .kubectl(&["delete", "namespace", &namespace, "--wait=false"])
        .await?;

    let millis = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let row = [0.5, 0.9, 0.99, 1.0].map(|share| millis(quantile(&times, share)));
    let name = format!("{} new routes, ms", times.len());
    let row = [vec![name], row.to_vec()].concat();
    table::print(&["create to served", "p50", "p90", "p99", "max"], &[row]);
    Ok(())
}

/// The API server through `kubectl proxy`: plain HTTP, so that its answer is timed and not the
/// end of a kubectl.
struct ApiServer {
    gateway: Gateway,
    _proxy: Process,
}

impl ApiServer {
    async fn start(cluster: &Cluster, folder: &std::path::Path) -> Result<Self> {
        let address = free_address()?;
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let port = address.port().to_string();
        let arguments = ["--kubeconfig", &kubeconfig, "proxy", "--port", &port];
        let program = Program::new("kubectl-proxy", cluster.kubectl_file(), arguments);
        let proxy = Process::spawn(folder, program)?;
        eventually("kubectl proxy answers", async || {
            proxy.check_runs()?;
            get(address, "/readyz").await?.expect_ok().map(drop)
        })
        .await?;
        Ok(Self {
            gateway: Gateway::at(address),
            _proxy: proxy,
        })
    }

    async fn create_route(&self, namespace: &str, number: usize, host: &str) -> Result<()> {
        let route = json!({
            "apiVersion": "turnpike.dev/v1alpha1",
            "kind": "AIRoute",
            "metadata": {"name": format!("route-{number}")},
            "spec": {"hostnames": [host], "rules": [{"backendRefs": [{"name": "echo"}]}]},
        });
        let path = format!("/apis/turnpike.dev/v1alpha1/namespaces/{namespace}/airoutes");
        let address = self.gateway.address().to_string();
        let call = Call {
            method: Method::POST,
            path: &path,
            body: Bytes::from(route.to_string()),
            ..Call::chat(&address, "")
        };
        let answer = self.gateway.send(call).await?;
        ensure!(
            answer.status == 201,
            "{}: {}",
            answer.status,
            answer.text()?
        );
        Ok(())
    }
}

async fn until_served(gateway: &Gateway, host: &str) -> Result<Duration> {
    let created = Instant::now();
    loop {
        let call = Call::say(host, "echo", "hello").key(KEY);
        let answer = gateway.send(call).await?;
        if answer.status == 200 {
            return Ok(created.elapsed());
        }
        let waited = created.elapsed();
        ensure!(waited < Duration::from_secs(30), "{}", answer.text()?);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
