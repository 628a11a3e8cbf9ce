//! A platform's provider, a tenant of it, and the API server that both are changed at.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::stream::BoxStream;
use futures::{AsyncBufReadExt, StreamExt};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use turnpike_controller::connect::connect;

use crate::gateway::{Call, Gateway};
use crate::kubernetes::Cluster;
use crate::provider::Provider;
use crate::scene::await_answer;
use crate::{places, resources};

const KEY: &str = "tk-bench-0123456789abcdef0123";
/// After which a change will never be in force.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(1);

/// All that changes and shows it.
pub(super) struct World<'a> {
    pub(super) gateways: [&'a Gateway; 2],
    /// What the provider stands for; it records the keys that it gets.
    pub(super) model: Provider,
    client: Client,
    /// Of the provider and its Secret.
    platform: String,
    /// Of the route and the consumer.
    tenant: String,
    host: String,
}

/// A write that was answered.
pub(super) struct Written {
    pub(super) at: Instant,
    generation: Option<i64>,
}

impl<'a> World<'a> {
    /// Makes the objects and waits until both data planes serve them.
    pub(super) async fn build(cluster: &Cluster, gateways: [&'a Gateway; 2]) -> Result<Self> {
        let tenant = format!("bench-{}", places::unique());
        let world = Self {
            gateways,
            model: Provider::start().await?,
            client: connect(Some(cluster.kubeconfig())).await?,
            platform: format!("{tenant}-platform"),
            host: format!("{tenant}.test"),
            tenant,
        };
        for (namespace, yaml) in [
            (&world.platform, world.platform_yaml()),
            (&world.tenant, world.tenant_yaml()),
        ] {
            cluster.kubectl(&["create", "namespace", namespace]).await?;
            let apply = ["apply", "-n", namespace, "-f", "-"];
            cluster.kubectl_with_input(&apply, &yaml).await?;
        }
        for gateway in gateways {
            await_answer(gateway, world.call()).await?;
        }
        Ok(world)
    }

    pub(super) async fn remove(&self, cluster: &Cluster) -> Result<()> {
        for namespace in [&self.platform, &self.tenant] {
            let delete = ["delete", "namespace", namespace, "--wait=false"];
            cluster.kubectl(&delete).await?;
        }
        Ok(())
    }

    fn platform_yaml(&self) -> String {
        let credentials = "[{name: main, secretRef: {name: keys, key: k}}]";
        let url = self.model.openai_url();
        resources::secret("keys", "k", "sk-bench-first-0123456789abcdef")
            + &resources::provider("shared", "OpenAI", &url, "m", credentials)
            + &format!("  grants: {}\n", self.grants())
    }

    fn tenant_yaml(&self) -> String {
        let Self {
            platform,
            tenant,
            host,
            ..
        } = self;
        resources::consumer("alice", "gold", KEY)
            + &resources::route("main", host, "shared").replace(
                "{name: shared}",
                &format!("{{name: shared, namespace: {platform}}}"),
            )
            + &resources::provider("bad", "OpenAI", "http://127.0.0.1:9/v1", "m", "")
            + &resources::route("bad", &format!("bad.{tenant}.test"), "bad")
    }

    /// Lets the tenant use the provider.
    pub(super) fn grants(&self) -> Value {
        let labels = json!({"kubernetes.io/metadata.name": self.tenant});
        json!([{"namespaces": {"from": "Selector", "selector": {"matchLabels": labels}}}])
    }

    /// Lets the consumer in.
    pub(super) fn api_keys(&self) -> Value {
        json!([{"name": "main", "sha256": resources::digest(KEY)}])
    }

    pub(super) fn secret_path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets/keys", self.platform)
    }

    pub(super) fn provider_path(&self) -> String {
        path(&self.platform, "aiproviders", "shared")
    }

    pub(super) fn consumer_path(&self) -> String {
        path(&self.tenant, "consumers", "alice")
    }

    /// Of an object of the tenant's.
    pub(super) fn path(&self, kind: &str, name: &str) -> String {
        path(&self.tenant, kind, name)
    }

    /// What a data plane answers the tenant's consumer: the status.
    pub(super) async fn ask(&self, gateway: &Gateway) -> Result<u16> {
        Ok(gateway.send(self.call()).await?.status)
    }

    fn call(&self) -> Call<'_> {
        Call::say(&self.host, "m", "hello").key(KEY)
    }

    /// Tries until it holds; `since` the write that it waits for.
    pub(super) async fn until(
        &self,
        since: Instant,
        mut holds: impl AsyncFnMut() -> Result<bool>,
    ) -> Result<()> {
        while !holds().await? {
            if since.elapsed() > PATIENCE {
                bail!("not in force after {PATIENCE:?}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Changes members of an object (RFC 7386).
    pub(super) async fn merge(&self, path: &str, change: &Value) -> Result<Written> {
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(change.to_string().into_bytes())?;
        let answer = self.client.request_text(request).await;
        let at = Instant::now();
        let answer = answer.with_context(|| format!("writing to {path}"))?;
        let answer: Value = serde_json::from_str(&answer)?;
        Ok(Written {
            at,
            generation: answer["metadata"]["generation"].as_i64(),
        })
    }

    /// Follows one object from now on.
    pub(super) async fn watch(&self, path: &str) -> Result<Watch> {
        let (collection, name) = path.rsplit_once('/').context("a path without name")?;
        let request = Request::get(path).body(Vec::new())?;
        let object: Value = self.client.request(request).await?;
        let version = object["metadata"]["resourceVersion"].as_str();
        let version = version.context("an object without resourceVersion")?;
        let query = format!(
            "{collection}?watch=1&fieldSelector=metadata.name={name}&resourceVersion={version}"
        );
        let request = Request::get(query).body(Vec::new())?;
        let lines = self.client.request_stream(request).await?.lines();
        Ok(Watch(lines.boxed()))
    }
}

fn path(namespace: &str, kind: &str, name: &str) -> String {
    format!("/apis/turnpike.dev/v1alpha1/namespaces/{namespace}/{kind}/{name}")
}

/// The events of one object.
pub(super) struct Watch(BoxStream<'static, std::io::Result<String>>);

impl Watch {
    /// Reads on until a condition has this status for the generation that was written; when.
    pub(super) async fn until(
        &mut self,
        written: &Written,
        condition: &str,
        status: &str,
    ) -> Result<Instant> {
        let reading = async {
            while let Some(line) = self.0.next().await {
                let event: Value = serde_json::from_str(&line?)?;
                let conditions = event["object"]["status"]["conditions"].as_array();
                let is_told = conditions.into_iter().flatten().any(|it| {
                    it["type"] == condition
                        && it["status"] == status
                        && it["observedGeneration"].as_i64() == written.generation
                });
                if is_told {
                    return Ok(Instant::now());
                }
            }
            bail!("the watch ended")
        };
        let told = tokio::time::timeout(PATIENCE, reading).await;
        told.with_context(|| format!("{condition}={status} is not told after {PATIENCE:?}"))?
    }
}
