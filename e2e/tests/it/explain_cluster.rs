//! `turnpike explain` against a real API server: what it says is what the fleet does.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, places, resources};

use crate::standalone_explain::{explained, served};

#[test]
fn explain_says_of_a_cluster_what_its_fleet_does() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key, other) = (scene.host("main"), scene.key("alice"), scene.key("bob"));
        let route = resources::route("main", &host, "echo").replace(
            "rules:",
            "authorization: {allow: [{groups: [gold]}]}\n  rules:",
        );
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::consumer("bob", "iron", &other)
            + &resources::quota("plan", "gold", "requests: 500, window: 1h", "Allow")
            + &route;
        scene.apply(&yaml).await?;
        let call = Call::say(&host, "echo", "hello");
        await_answer(scene.gateway(), call.clone().key(&key)).await?;
        scene.await_served("airoute", "main").await?;

        let unknown = scene.host("unknown");
        let wrong = scene.key("nobody");
        for (host, key) in [
            (&host, &key),
            (&host, &other),
            (&host, &wrong),
            (&unknown, &key),
        ] {
            let call = Call::say(host, "echo", "hello").key(key);
            let answer = scene.gateway().send(call).await?;
            let served = served(&answer)?;
            let output = explain(scene, host, key, &["--hostname-policy", "*"]).await?;
            let told = report(&output)?;
            let explained = explained(&told);
            ensure!(
                explained == served,
                "{explained:?} instead of {served:?}: {told}"
            );
            let shown = String::from_utf8_lossy(&output.stdout);
            ensure!(!shown.contains(key.as_str()), "the key is shown: {shown}");
        }

        // Told of the policy that the controller has not, it says why the host is nobody's.
        let told = report(&explain(scene, &host, &key, &[]).await?)?;
        let standing = &told["host"]["claims"][0]["standing"];
        ensure!(standing == "NotPermitted", "{told}");
        Ok(())
    })
}

#[test]
fn explain_names_what_it_cannot_reach() -> Result<()> {
    Scene::run(async |scene| {
        let nowhere = scene.folder.join("nowhere");
        std::fs::write(
            &nowhere,
            "apiVersion: v1
kind: Config
current-context: main
contexts: [{name: main, context: {cluster: main, user: main}}]
clusters: [{name: main, cluster: {server: \"http://127.0.0.1:1\"}}]
users: [{name: main, user: {}}]
",
        )?;
        let mut command = tokio::process::Command::new(places::program("turnpike")?);
        command.arg("explain").arg("--kubeconfig").arg(&nowhere);
        let output = command.args(["--host", "a.test"]).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{output:?}");
        let file = nowhere.display().to_string();
        ensure!(said.contains(&file), "{said}");
        Ok(())
    })
}

pub(crate) async fn explain(scene: &Scene, host: &str, key: &str, more: &[&str]) -> Result<Output> {
    let file = scene.folder.join("key");
    std::fs::write(&file, key).context("writing the key")?;
    let mut command = tokio::process::Command::new(places::program("turnpike")?);
    command
        .args(["explain", "--output", "json", "--model", "echo"])
        .args(["--host", host, "--kubeconfig"])
        .arg(scene.cluster.kubeconfig())
        .arg("--key-file")
        .arg(&file);
    Ok(command.args(more).output().await?)
}

pub(crate) fn report(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}
