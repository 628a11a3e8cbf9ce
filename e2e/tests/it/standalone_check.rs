//! `turnpike check -f DIR`: every fault of a folder, with file, field and mend.

use std::process::Output;

use anyhow::{Result, ensure};
use turnpike_e2e::{FileScene, places, resources};

#[test]
fn check_passes_a_folder_without_faults() -> Result<()> {
    FileScene::run(async |scene| {
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", "tk-check-0123456789abcdef")
            + &resources::quota("plan", "gold", "tokens: 100k, window: 1m", "Allow")
            + &resources::route("main", "check.test", "echo");
        scene.write("all.yaml", &yaml)?;
        let output = check(scene).await?;
        ensure!(output.status.code() == Some(0), "{output:?}");
        Ok(())
    })
}

#[test]
fn check_passes_the_examples() -> Result<()> {
    FileScene::run(async |_| {
        let examples = places::root()?.join("examples");
        for entry in std::fs::read_dir(examples)?
            .flatten()
            .filter(|e| e.path().is_dir())
        {
            let output = run(&entry.path()).await?;
            ensure!(
                output.status.code() == Some(0),
                "{:?}: {output:?}",
                entry.path()
            );
        }
        Ok(())
    })
}

#[test]
fn check_names_every_fault_with_its_file_and_field() -> Result<()> {
    FileScene::run(async |scene| {
        scene.write("broken.yaml", "kind: [AIRoute\n  : nonsense")?;
        scene.write(
            "unknown.yaml",
            "apiVersion: turnpike.dev/v1alpha1\nkind: AIProvider\nmetadata: {name: a}\n\
             spec: {vendor: Echo, colour: red}\n",
        )?;
        scene.write(
            "union.yaml",
            "apiVersion: turnpike.dev/v1alpha1\nkind: AIProvider\nmetadata: {name: b}\n\
             spec: {vendor: Echo, protocol: OpenAI, url: \"http://a.test/v1\"}\n",
        )?;
        let lacking = "[{name: main, secretRef: {name: absent, key: apiKey}}]";
        let provider = resources::provider("lacking", "OpenAI", "http://a.test/v1", "m", lacking);
        scene.write("secret.yaml", &provider)?;
        scene.write(
            "service.yaml",
            "apiVersion: turnpike.dev/v1alpha1\nkind: AIProvider\nmetadata: {name: c}\n\
             spec: {protocol: OpenAI, serviceRef: {name: vllm, port: 8000}}\n",
        )?;
        scene.write(
            "route.yaml",
            &resources::route("main", "check.test", "nowhere"),
        )?;

        let output = check(scene).await?;
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code().is_some_and(|code| code != 0), "{text}");
        for (file, words) in [
            ("broken.yaml", &[][..]),
            ("unknown.yaml", &["colour"]),
            ("union.yaml", &["exactly one of vendor and protocol"]),
            ("secret.yaml", &["spec.credentials[0].secretRef", "absent"]),
            (
                "service.yaml",
                &["spec.serviceRef: serviceRef needs a cluster; set url"],
            ),
            ("route.yaml", &["spec.rules[0].backendRefs[0]", "nowhere"]),
        ] {
            ensure!(text.contains(file), "{file} is not named: {text}");
            for word in words {
                ensure!(text.contains(word), "{file}: {word} is not said: {text}");
            }
        }
        Ok(())
    })
}

async fn check(scene: &FileScene) -> Result<Output> {
    run(&scene.resources()).await
}

async fn run(folder: &std::path::Path) -> Result<Output> {
    let program = places::program("turnpike")?;
    let mut command = tokio::process::Command::new(program);
    Ok(command.args(["check", "-f"]).arg(folder).output().await?)
}
