//! A provider that is a Service of the cluster: who is asked, and that nobody loses a request when
//! pods come and go. Services and slices are written as Kubernetes would; behind them are servers
//! on this machine.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::join_all;
use hyper::Version;
use serde_json::{Value, json};
use turnpike_e2e::gateway::text_of;
use turnpike_e2e::ports::machine_address;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Behaviour, Call, Provider, Scene, eventually, resources};

use crate::explain_cluster::{explain, report};
use crate::standalone_explain::{explained, served};

const MODEL: &str = "echo";

#[test]
fn the_ready_share_the_requests_and_who_is_not_ready_gets_none() -> Result<()> {
    Scene::run(async |scene| {
        let site = Site::build(scene, &service("http")).await?;
        let models = [model().await?, model().await?, model().await?];
        for (at, model) in models.iter().enumerate() {
            site.slice(&format!("s{at}"), model, true).await?;
        }
        for model in &models {
            site.await_asked(model).await?;
        }
        let before = models.each_ref().map(asked);
        site.ask(150).await?;
        let counts = [0, 1, 2].map(|at| asked(&models[at]) - before[at]);
        ensure!(counts.iter().all(|count| *count > 25), "{counts:?}");
        let host = models[0].last()?.header("host").map(str::to_owned);
        let expected = format!("vllm.{}.svc:8000", scene.namespace);
        ensure!(host.as_ref() == Some(&expected), "{host:?}");

        site.slice("s1", &models[1], false).await?;
        site.await_spared(&models[1]).await?;
        let before = asked(&models[1]);
        site.ask(40).await?;
        ensure!(
            asked(&models[1]) == before,
            "asked although it is not ready"
        );
        site.slice("s1", &models[1], true).await?;
        site.await_asked(&models[1]).await
    })
}

#[test]
fn a_port_that_speaks_http2_in_the_clear_says_so_and_may_take_it_back() -> Result<()> {
    Scene::run(async |scene| {
        let mut spoken = service("http");
        spoken["spec"]["ports"][0]["appProtocol"] = "kubernetes.io/h2c".into();
        let site = Site::build(scene, &spoken).await?;
        let model = model().await?;
        site.slice("s0", &model, true).await?;
        site.await_asked(&model).await?;
        ensure!(
            model.last()?.version == Version::HTTP_2,
            "{:?}",
            model.last()?
        );
        let call = Call::stream(&site.host, MODEL, "hello").key(&site.key);
        let (events, end) = scene.gateway().send_streaming(call).await?.rest().await;
        end.with_context(|| format!("{events:?}"))?;

        scene.apply(&service("http").to_string()).await?;
        eventually("HTTP/1.1 is spoken again", async || {
            site.ask(1).await?;
            let version = model.last()?.version;
            ensure!(version == Version::HTTP_11, "{version:?}");
            Ok(())
        })
        .await
    })
}

#[test]
fn who_comes_and_goes_under_load_costs_no_stream() -> Result<()> {
    Scene::run(async |scene| {
        let site = Site::build(scene, &service("http")).await?;
        let models = [model().await?, model().await?, model().await?];
        for model in &models {
            let delay = Duration::from_millis(20);
            model.behave(Behaviour::Good { chunks: 20, delay });
        }
        site.slice("s0", &models[0], true).await?;
        site.await_asked(&models[0]).await?;
        let load = Streams::default();
        let changes = async {
            let outcome: Result<()> = async {
                for round in 0..3 {
                    for (at, model) in models.iter().enumerate().skip(1) {
                        site.slice(&format!("s{at}"), model, true).await?;
                        site.await_more(model).await?;
                    }
                    load.await_more(8).await?;
                    // One way to leave, and the other.
                    match round % 2 {
                        0 => site.slice("s1", &models[1], false).await?,
                        _ => scene.delete("endpointslice", "s1").await?,
                    }
                    scene.delete("endpointslice", "s2").await?;
                    load.await_more(8).await?;
                }
                Ok(())
            }
            .await;
            load.stop.store(true, Ordering::Relaxed);
            outcome
        };
        let streams = join_all((0..6).map(|_| load.run(&site)));
        let (changes, streams) = tokio::join!(changes, streams);
        changes?;
        for stream in streams {
            stream?;
        }
        Ok(())
    })
}

#[test]
fn a_pod_that_is_dead_and_still_listed_costs_no_request() -> Result<()> {
    Scene::run(async |scene| {
        let site = Site::build(scene, &service("http")).await?;
        let [live, dead] = [model().await?, model().await?];
        site.slice("live", &live, true).await?;
        site.slice("dead", &dead, true).await?;
        for model in [&live, &dead] {
            site.await_asked(model).await?;
        }
        // Its connections are kept by the gateway, and end with it.
        drop(dead);
        site.ask(60).await
    })
}

#[test]
fn what_is_no_pod_of_the_services_namespace_is_never_asked() -> Result<()> {
    Scene::run(async |scene| {
        let site = Site::build(scene, &service("http")).await?;
        let [good, foreign] = [model().await?, model().await?];
        let targets = [
            Value::Null,
            json!({"kind": "Pod", "namespace": "elsewhere", "name": "p"}),
            json!({"kind": "Node", "name": "n"}),
        ];
        for (at, target) in targets.into_iter().enumerate() {
            let mut slice = site.slice_of(&format!("foreign{at}"), &foreign, true);
            slice["endpoints"][0]["targetRef"] = target;
            scene.apply(&slice.to_string()).await?;
        }
        // Slices are told in the order in which they were written.
        site.slice("good", &good, true).await?;
        site.await_asked(&good).await?;
        site.ask(30).await?;
        ensure!(foreign.received().is_empty(), "asked what is no pod");
        Ok(())
    })
}

#[test]
fn a_provider_says_what_its_service_lacks_and_serves_again_by_itself() -> Result<()> {
    Scene::run(async |scene| {
        let here = &scene.namespace;
        let model = model().await?;
        let mut without_selector = service("http");
        without_selector["spec"]["selector"] = Value::Null;
        let site = Site::build(scene, &without_selector).await?;
        site.slice("s", &model, true).await?;
        site.await_lack(
            "ServiceWithoutSelector",
            "spec.serviceRef.name",
            "has no selector",
        )
        .await?;

        scene.apply(&service("web").to_string()).await?;
        let ports = format!("Service {here}/vllm has no TCP port http; it has 8000 (web)");
        site.await_lack("ServicePortNotFound", "spec.serviceRef.port", &ports)
            .await?;

        // The same port under its right name; its pods are known already.
        scene.apply(&service("http").to_string()).await?;
        site.await_asked(&model).await?;
        scene.await_served("aiprovider", "vllm").await?;

        scene.delete("service", "vllm").await?;
        let missing = format!("Service {here}/vllm does not exist");
        site.await_lack("ServiceNotFound", "spec.serviceRef.name", &missing)
            .await?;
        scene.apply(&service("http").to_string()).await?;
        site.await_asked(&model).await?;
        scene.await_served("aiprovider", "vllm").await
    })
}

#[test]
fn without_a_ready_pod_requests_are_told_to_come_back() -> Result<()> {
    Scene::run(async |scene| {
        let site = Site::build(scene, &service("http")).await?;
        scene.await_served("aiprovider", "vllm").await?;
        let model = model().await?;
        for is_listed in [false, true] {
            if is_listed {
                site.slice("s", &model, false).await?;
            }
            let answer = eventually("nobody is ready", async || {
                let answer = site.send().await?;
                answer.expect_error(503, "no_ready_endpoint")?;
                Ok(answer)
            })
            .await?;
            ensure!(answer.header("retry-after").is_some(), "{answer:?}");
            site.compare_with_explain("0 ready").await?;
        }
        scene.await_served("aiprovider", "vllm").await?;
        site.slice("s", &model, true).await?;
        site.await_asked(&model).await?;
        site.compare_with_explain("1 ready").await
    })
}

/// A tenant whose one provider is the Service `vllm`.
struct Site<'a> {
    scene: &'a Scene,
    host: String,
    key: String,
}

impl<'a> Site<'a> {
    async fn build(scene: &'a Scene, service: &Value) -> Result<Self> {
        let (host, key) = (scene.host("main"), scene.key("alice"));
        let yaml = resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "vllm")
            + "---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {name: vllm}
spec:
  protocol: OpenAI
  serviceRef: {name: vllm, port: http}
";
        scene.apply(&service.to_string()).await?;
        scene.apply(&yaml).await?;
        let site = Self { scene, host, key };
        eventually("the host is served", async || {
            let answer = site.send().await?;
            ensure!(answer.status == 503, "{answer:?}");
            Ok(())
        })
        .await?;
        Ok(site)
    }

    async fn send(&self) -> Result<turnpike_e2e::Answer> {
        self.scene.gateway().send(self.call()).await
    }

    fn call(&self) -> Call<'_> {
        Call::say(&self.host, MODEL, "hello").key(&self.key)
    }

    /// Asks so many times; each must be answered.
    async fn ask(&self, times: usize) -> Result<()> {
        for time in 0..times {
            let answer = self.send().await?;
            answer
                .expect_ok()
                .with_context(|| format!("request {time}"))?;
        }
        Ok(())
    }

    /// One slice of one pod, as Kubernetes writes them.
    async fn slice(&self, name: &str, model: &Provider, is_ready: bool) -> Result<()> {
        let slice = self.slice_of(name, model, is_ready);
        self.scene.apply(&slice.to_string()).await
    }

    fn slice_of(&self, name: &str, model: &Provider, is_ready: bool) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "vllm"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": model.address().port(), "protocol": "TCP"}],
            "endpoints": [{
                "addresses": [model.address().ip().to_string()],
                "conditions": {"ready": is_ready},
                "targetRef": {"kind": "Pod", "namespace": self.scene.namespace, "name": name},
            }],
        })
    }

    /// Waits until a server is asked for the first time.
    async fn await_asked(&self, model: &Provider) -> Result<()> {
        let before = asked(model);
        eventually("the pod is asked", async || {
            await_answer(self.scene.gateway(), self.call()).await?;
            ensure!(asked(model) > before, "not asked");
            Ok(())
        })
        .await
    }

    /// The same while others ask.
    async fn await_more(&self, model: &Provider) -> Result<()> {
        let before = asked(model);
        eventually("the pod is asked", async || {
            ensure!(asked(model) > before, "not asked");
            Ok(())
        })
        .await
    }

    /// Waits until a server is no longer asked.
    async fn await_spared(&self, model: &Provider) -> Result<()> {
        eventually("the pod is not asked", async || {
            let before = asked(model);
            self.ask(10).await?;
            ensure!(asked(model) == before, "asked");
            Ok(())
        })
        .await
    }

    /// Waits until the provider's status and its answers say what is missing.
    async fn await_lack(&self, reason: &str, path: &str, words: &str) -> Result<()> {
        let scene = self.scene;
        eventually(reason, async || {
            let condition = scene
                .condition("aiprovider", "vllm", "ResolvedRefs")
                .await?;
            let is_told = condition.message.starts_with(path) && condition.message.contains(words);
            ensure!(
                condition.status == "False" && condition.reason == reason,
                "{condition:?}"
            );
            ensure!(is_told, "{condition:?}");
            let answer = self.send().await?;
            answer.expect_error(503, "provider_unavailable")?;
            let told = answer.text()?;
            ensure!(told.contains(words), "{told}");
            Ok(())
        })
        .await
    }

    /// `turnpike explain` says what the fleet does, and how many are ready.
    async fn compare_with_explain(&self, ready: &str) -> Result<()> {
        let answer = self.send().await?;
        let policy = ["--hostname-policy", "*"];
        let output = explain(self.scene, &self.host, &self.key, &policy).await?;
        let told = report(&output)?;
        let (served, explained) = (served(&answer)?, explained(&told));
        ensure!(explained == served, "{explained:?}, not {served:?}: {told}");
        let service = &told["backends"][0]["service"];
        let name = format!("{}/vllm", self.scene.namespace);
        let count = service["readyEndpoints"].as_u64().context("no count")?;
        ensure!(service["name"] == name.as_str(), "{told}");
        ensure!(format!("{count} ready") == ready, "{told}");
        Ok(())
    }
}

/// A Service with one port of this name.
fn service(port: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "vllm"},
        "spec": {"selector": {"app": "vllm"}, "ports": [{"name": port, "port": 8000}]},
    })
}

async fn model() -> Result<Provider> {
    Provider::start_at(machine_address()?).await
}

fn asked(model: &Provider) -> usize {
    model.received().len()
}

/// Streams one after the other, each of which must come whole.
#[derive(Default)]
struct Streams {
    stop: AtomicBool,
    done: AtomicUsize,
}

impl Streams {
    async fn run(&self, site: &Site<'_>) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let call = Call::stream(&site.host, MODEL, "hello").key(&site.key);
            let stream = site.scene.gateway().send_streaming(call).await?;
            let (events, end) = stream.rest().await;
            end.with_context(|| format!("after {} events", events.len()))?;
            let words = text_of(&events).split_whitespace().count();
            if words != 20 || events.last().is_none_or(|last| last != "[DONE]") {
                bail!("{words} words: {events:?}");
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn await_more(&self, count: usize) -> Result<()> {
        let before = self.done.load(Ordering::Relaxed);
        eventually("streams end", async || {
            let more = self.done.load(Ordering::Relaxed) - before;
            ensure!(more >= count, "{more}");
            Ok(())
        })
        .await
    }
}
