//! `turnpike explain`: what it says is what `turnpike serve` then does.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use turnpike_e2e::{Answer, Call, FileScene, gateway, places, resources};

use crate::standalone_serve::Standalone;

const ALICE: &str = "tk-explain-canary-alice-0123456789";
const CAROL: &str = "tk-explain-canary-carol-0123456789";
const DAN: &str = "tk-explain-canary-dan-0123456789ab";
/// Of a provider.
const UPSTREAM: &str = "sk-explain-canary-upstream-01234567";

const WORLD: &str = r#"
---
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {plan: gold}}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {name: faulty}
spec:
  protocol: OpenAI
  url: http://127.0.0.1:9/v1
  credentials: [{name: main, secretRef: {name: absent}}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {name: claude}
spec:
  protocol: Anthropic
  url: http://127.0.0.1:9
  credentials: [{name: main, secretRef: {name: upstream}}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {name: shared, namespace: turnpike-system}
spec:
  vendor: Echo
  grants: [{namespaces: {from: All}, models: [shared-1]}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {name: closed, namespace: turnpike-system}
spec: {vendor: Echo}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: plan, namespace: turnpike-system}
spec:
  grants: [{namespaces: {from: All}}]
  rules:
  - name: lent
    matches: [{models: ["lent*"]}]
    backendRefs: [{name: closed}]
---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {name: bob}
spec: {groups: [iron]}
---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {name: carol}
spec: {state: Suspended, apiKeys: [{name: main, sha256: CAROL}]}
---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {name: dan}
spec: {apiKeys: [{name: main, sha256: DAN, notAfter: "2020-01-01T00:00:00Z"}]}
---
apiVersion: turnpike.dev/v1alpha1
kind: TokenQuota
metadata: {name: fleetwide, namespace: turnpike-system}
spec:
  selector: {namespaces: {matchLabels: {plan: gold}}}
  per: [Namespace]
  limits: [{name: day, requests: 1000, window: 24h}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: main}
spec:
  hostnames: [a.test]
  rulesFrom: {name: plan, namespace: turnpike-system}
  authentication: {mode: Required}
  authorization:
    allow:
    - {groups: [gold]}
    - {names: [carol, dan]}
  rules:
  - name: by-header
    matches: [{headers: [{name: x-tier, value: fast}], models: ["fast"]}]
    backendRefs: [{name: echo, model: echo}]
  - name: gold-only
    matches: [{consumers: {groups: [gold]}, models: ["gold"]}]
    backendRefs: [{name: echo, model: echo}]
  - name: iron-only
    matches: [{consumers: {groups: [iron]}, models: ["iron"]}]
    backendRefs: [{name: echo, model: echo}]
  - name: plain
    matches: [{models: [echo, unoffered]}]
    backendRefs: [{name: echo}]
  - name: broken
    matches: [{models: [broken]}]
    backendRefs: [{name: faulty}]
  - name: claude
    matches: [{models: [claude]}]
    backendRefs: [{name: claude}]
  - name: granted
    matches: [{models: ["shared-*"]}]
    backendRefs: [{name: shared, namespace: turnpike-system}]
  - name: unadmitted
    matches: [{models: [unadmitted]}]
    backendRefs: [{name: closed, namespace: turnpike-system}]
  - name: nobody
    matches: [{models: [nobody]}]
    backendRefs: [{name: echo, model: echo, weight: 0}, {name: faulty, weight: 1}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: open}
spec:
  hostnames: ["*.open.test"]
  authentication: {mode: Optional}
  rules:
  - matches: [{path: {type: PathPrefix, value: /x}}]
    backendRefs: [{name: echo, model: echo}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: orphan}
spec:
  hostnames: [orphan.test]
  rulesFrom: {name: nowhere}
  maxBodyBytes: 1000
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: late, namespace: other}
spec:
  hostnames: [a.test]
  rules: [{backendRefs: [{name: nothing}]}]
"#;

/// One request.
#[derive(Clone, Copy, Debug)]
struct Try {
    host: &'static str,
    path: &'static str,
    model: &'static str,
    key: &'static str,
    header: Option<(&'static str, &'static str)>,
}

const CHAT: &str = "/v1/chat/completions";

const fn ask(model: &'static str) -> Try {
    Try {
        host: "a.test",
        path: CHAT,
        model,
        key: ALICE,
        header: None,
    }
}

/// Each way in which a request can go on or end before a provider is asked.
const TRIES: [Try; 27] = [
    ask("echo"),
    ask("fast"),
    Try {
        header: Some(("x-tier", "fast")),
        ..ask("fast")
    },
    Try {
        header: Some(("x-tier", "slow")),
        ..ask("fast")
    },
    ask("gold"),
    ask("iron"),
    ask("unoffered"),
    ask("unknown"),
    ask("broken"),
    ask("shared-1"),
    ask("shared-2"),
    ask("unadmitted"),
    ask("nobody"),
    ask("lent-1"),
    ask(""),
    Try {
        key: "",
        ..ask("echo")
    },
    Try {
        key: "tk-explain-canary-nobody-0123456789",
        ..ask("echo")
    },
    Try {
        key: CAROL,
        ..ask("echo")
    },
    Try {
        key: DAN,
        ..ask("echo")
    },
    Try {
        header: Some(("x-api-key", CAROL)),
        ..ask("echo")
    },
    Try {
        host: "elsewhere.test",
        ..ask("echo")
    },
    Try {
        host: "orphan.test",
        ..ask("echo")
    },
    Try {
        path: "/v1/embeddings",
        ..ask("claude")
    },
    Try {
        path: "/v2/nothing",
        ..ask("echo")
    },
    Try {
        host: "b.open.test",
        path: "/x/v1/chat/completions",
        key: "",
        ..ask("any")
    },
    Try {
        host: "b.open.test",
        key: "",
        ..ask("any")
    },
    Try {
        host: "open.test",
        key: "",
        ..ask("any")
    },
];

#[test]
fn explain_says_what_serve_then_does() -> Result<()> {
    FileScene::run(async |scene| {
        write_world(scene)?;
        let standalone = Standalone::start(scene, &scene.resources(), &[]).await?;
        for one in TRIES {
            let answer = standalone.gateway.send(call(one)).await?;
            let served = served(&answer)?;
            let output = explain(scene, one, &["--output", "json"]).await?;
            let told: Value = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("{one:?}: {output:?}"))?;
            let explained = explained(&told);
            ensure!(
                explained == served,
                "{one:?}: {explained:?} instead of {served:?}: {told}"
            );
            let status = i32::from(served.0 != 200);
            ensure!(output.status.code() == Some(status), "{one:?}: {output:?}");
        }
        Ok(())
    })
}

#[test]
fn explain_tells_why_and_never_shows_a_key() -> Result<()> {
    FileScene::run(async |scene| {
        write_world(scene)?;
        for one in TRIES {
            for form in ["text", "json"] {
                let output = explain(scene, one, &["--output", form]).await?;
                let shown = String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr);
                ensure!(!shown.contains("canary"), "{one:?}: {shown}");
            }
        }
        for (one, words) in [
            (
                ask("echo"),
                &[
                    "host a.test: of namespace default",
                    "route other/late does not have a.test: HostnameConflict",
                    "caller: Consumer default/alice (gold), by its key",
                    "rule by-header: does not match: the model is none of fast",
                    "rule iron-only: does not match",
                    "rule plain: matches",
                    "rule broken: not reached",
                    "rule rules/turnpike-system/plan lent: not reached",
                    "default/echo: weight 1, 100.0%, Echo, asked for echo",
                    "charged: default/plan (namespace) per consumer: main 500 requests in 1h",
                    "charged: turnpike-system/fleetwide (fleet) per namespace: day 1000 requests in 24h",
                ][..],
            ),
            (
                ask("fast"),
                &["by-header: does not match: no header x-tier: fast"],
            ),
            (
                ask("iron"),
                &["iron-only: does not match: the caller is in none of the groups iron"],
            ),
            (
                ask("broken"),
                &["default/faulty: weight 1, 100.0%; faulty: ", "absent"],
            ),
            (
                ask("shared-2"),
                &["grants this namespace other models only: shared-1"],
            ),
            (
                ask("nobody"),
                &["weight 0, 0.0%, Echo, asked for echo; out: its weight is 0"],
            ),
        ] {
            let output = explain(scene, one, &[]).await?;
            let text = String::from_utf8_lossy(&output.stdout);
            for word in words {
                ensure!(text.contains(word), "{one:?}: {word} is not said:\n{text}");
            }
        }
        Ok(())
    })
}

#[test]
fn mistakes_in_flags_end_with_2() -> Result<()> {
    FileScene::run(async |scene| {
        write_world(scene)?;
        for more in [
            &["--consumer", "nobody"][..],
            &["--key-file", "/nonexistent"],
            &["--header", "no-value"],
            &["--path", "v1"],
            &["--output", "xml"],
            &["--consumer", "bob", "--key-file", "/dev/null"],
        ] {
            let one = Try {
                key: "",
                ..ask("echo")
            };
            let mut arguments = vec!["--host", one.host];
            arguments.extend(more);
            let output = run(scene, &arguments).await?;
            ensure!(output.status.code() == Some(2), "{more:?}: {output:?}");
        }
        let output = run(
            scene,
            &["--host", "a.test", "--model", "echo", "--consumer", "bob"],
        )
        .await?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(1), "{text}");
        ensure!(text.contains("403 consumer_not_allowed"), "{text}");
        Ok(())
    })
}

/// What was answered: the status, and the code of an error.
pub(crate) fn served(answer: &Answer) -> Result<(u16, String)> {
    Ok(match answer.status {
        200 => (200, String::new()),
        status => (status, answer.error_code()?),
    })
}

/// The same, as `explain --output json` foretells it.
pub(crate) fn explained(told: &Value) -> (u16, String) {
    let refusal = &told["verdict"]["refusal"];
    match told["verdict"]["isCarried"].as_bool() {
        Some(true) => (200, String::new()),
        _ => (
            refusal["status"].as_u64().unwrap_or_default() as u16,
            refusal["code"].as_str().unwrap_or_default().to_owned(),
        ),
    }
}

fn write_world(scene: &FileScene) -> Result<()> {
    let yaml = resources::echo_provider("echo")
        + &resources::secret("upstream", "apiKey", UPSTREAM)
        + &resources::consumer("alice", "gold", ALICE)
        + &resources::quota("plan", "gold", "requests: 500, window: 1h", "Allow")
        + &WORLD
            .replace("CAROL", &resources::digest(CAROL))
            .replace("DAN", &resources::digest(DAN));
    scene.write("all.yaml", &yaml)
}

fn call(one: Try) -> Call<'static> {
    let mut body = gateway::chat_body(one.model, "hello", false);
    if one.path.ends_with("embeddings") {
        body = serde_json::json!({"model": one.model, "input": "hello"});
    }
    if one.model.is_empty() {
        body = serde_json::json!({"messages": []});
    }
    let mut call = Call::chat(one.host, body.to_string());
    call.path = one.path;
    if !one.key.is_empty() {
        call = call.key(one.key);
    }
    match one.header {
        Some((name, value)) => call.header(name, value),
        None => call,
    }
}

async fn explain(scene: &FileScene, one: Try, more: &[&str]) -> Result<Output> {
    let header = one.header.map(|(name, value)| format!("{name}={value}"));
    let file = scene.folder.join("key");
    std::fs::write(&file, format!("{}\n", one.key)).context("writing the key")?;
    let file = file.display().to_string();
    let mut arguments = vec!["--host", one.host, "--path", one.path];
    if !one.model.is_empty() {
        arguments.extend(["--model", one.model]);
    }
    if !one.key.is_empty() {
        arguments.extend(["--key-file", &file]);
    }
    if let Some(header) = &header {
        arguments.extend(["--header", header]);
    }
    arguments.extend(more);
    run(scene, &arguments).await
}

async fn run(scene: &FileScene, arguments: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(places::program("turnpike")?);
    command.args(["explain", "-f"]).arg(scene.resources());
    Ok(command.args(arguments).output().await?)
}
