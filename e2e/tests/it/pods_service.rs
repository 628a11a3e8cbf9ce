//! A model server of one's own on real pods, behind a provider's Service: rolled and scaled under
//! load, and nobody who calls notices.

use anyhow::Result;
use serde_json::json;
use turnpike_e2e::pods::PodCluster;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Gateway, resources};

use crate::pods_chart::{SYSTEM, VALUES, install};
use crate::pods_load::{Load, Target};

const TENANT: &str = "tenant-a";
const KEY: &str = "tk-load-4f1d0c62b7a94e15";

#[test]
fn a_self_hosted_model_is_rolled_and_scaled_without_a_failed_request() -> Result<()> {
    PodCluster::run(async |pods| {
        install(pods, VALUES).await?;
        pods.cluster
            .kubectl(&["create", "namespace", TENANT])
            .await?;
        let host = format!("{TENANT}.maas.test");
        let yaml = model()
            + &resources::consumer("load", "load", KEY)
            + &resources::route("main", &host, "model");
        let apply = ["--namespace", TENANT, "apply", "-f", "-"];
        pods.cluster.kubectl_with_input(&apply, &yaml).await?;
        pods.await_pods(TENANT, "model", 3).await?;
        let gateway = pods.service(SYSTEM, "turnpike-dataplane", 80).await?;
        let call = Call::say(&host, "echo", "hello").key(KEY);
        await_answer(&Gateway::at(gateway), call).await?;
        let target = Target {
            gateway,
            host,
            key: KEY.to_owned(),
        };
        let kubectl = async |arguments: &[&str]| {
            let arguments = [&["--namespace", TENANT], arguments].concat();
            pods.cluster.kubectl(&arguments).await
        };
        Load::during(&target, "model rolled", async |_| {
            kubectl(&["rollout", "restart", "deployment/model"]).await?;
            kubectl(&["rollout", "status", "deployment/model", "--timeout=120s"]).await?;
            pods.await_pods(TENANT, "model", 3).await.map(drop)
        })
        .await?;
        Load::during(&target, "model scaled 3 → 1 → 3", async |load| {
            for count in [1, 3] {
                let replicas = format!("--replicas={count}");
                kubectl(&["scale", "deployment/model", &replicas]).await?;
                pods.await_pods(TENANT, "model", count).await?;
                load.await_streams(8).await?;
            }
            Ok(())
        })
        .await
    })
}

/// Turnpike's own image as a model server that anybody may ask, its Service, and its provider.
fn model() -> String {
    let labels = json!({"app.kubernetes.io/component": "model"});
    let files = resources::echo_provider("echo")
        + "---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {name: anybody}
spec: {groups: [all]}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: main}
spec:
  hostnames: [\"*\"]
  authentication: {mode: Optional, anonymousConsumer: anybody}
  rules: [{backendRefs: [{name: echo}]}]
";
    let container = json!({
        "name": "model", "image": "localhost/turnpike:e2e-1", "imagePullPolicy": "Never",
        "args": ["serve", "-f", "/models", "--listen=0.0.0.0:8000", "--admin=0.0.0.0:9090"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9090}, "periodSeconds": 1},
        // Until every gateway knows that the pod leaves, it takes connections.
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    });
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model"},
            "data": {"all.yaml": files},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "model"},
            "spec": {
                "replicas": 3, "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [container], "terminationGracePeriodSeconds": 60,
                        "volumes": [{"name": "models", "configMap": {"name": "model"}}],
                    },
                },
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "model"},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        }),
        json!({
            "apiVersion": "turnpike.dev/v1alpha1", "kind": "AIProvider",
            "metadata": {"name": "model"},
            "spec": {"protocol": "OpenAI", "serviceRef": {"name": "model", "port": "http"}},
        }),
    ];
    let documents = objects.iter().map(|object| format!("---\n{object}\n"));
    documents.collect()
}
