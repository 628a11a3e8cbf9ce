//! Every example, and every whole resource that the documentation shows, is taken by an API server:
//! a server dry run with strict field validation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use turnpike_e2e::{Scene, places};

const KINDS: [&str; 4] = ["AIProvider", "AIRoute", "Consumer", "TokenQuota"];

#[test]
fn an_api_server_takes_every_file_of_the_examples() -> Result<()> {
    Scene::run(async |scene| {
        let files = files_below(&places::root()?.join("examples"), "yaml")?;
        ensure!(files.len() >= 8, "too few: {files:?}");
        for file in files {
            let name = file.display().to_string();
            let objects = objects(&fs::read_to_string(&file)?).with_context(|| name.clone())?;
            ensure!(!objects.is_empty(), "{name} holds no object");
            dry_run(scene, objects).await.context(name)?;
        }
        Ok(())
    })
}

#[test]
fn an_api_server_takes_every_whole_resource_of_the_documentation() -> Result<()> {
    Scene::run(async |scene| {
        let root = places::root()?;
        let mut files = files_below(&root.join("docs"), "md")?;
        // That folder shows mistakes on purpose.
        files.retain(|file| !file.starts_with(root.join("docs/reference")));
        files.push(root.join("README.md"));
        let mut found = 0;
        for file in files {
            let text = fs::read_to_string(&file)?;
            for block in blocks(&text) {
                let place = || format!("{}:\n{block}", file.display());
                let mut objects = objects(&block).with_context(place)?;
                objects.retain_mut(is_whole);
                found += objects.len();
                if !objects.is_empty() {
                    dry_run(scene, objects).await.with_context(place)?;
                }
            }
        }
        ensure!(found >= 7, "only {found}");
        Ok(())
    })
}

#[test]
fn only_whole_resources_are_taken_from_blocks() -> Result<()> {
    let text = "
a
```yaml
kind: AIRoute
metadata: {name: a}
spec: {}
---
kind: Pod
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: foreign}
---
kind: Pod
metadata: {name: b}
```
```sh
kind: Consumer
```
  ```yaml
  spec: {state: Drain}
  ```
";
    let blocks = blocks(text);
    ensure!(blocks.len() == 2, "{blocks:?}");
    let mut objects = objects(&blocks[0])?;
    objects.retain_mut(is_whole);
    ensure!(objects.len() == 1, "{objects:?}");
    ensure!(objects[0]["apiVersion"] == "turnpike.dev/v1alpha1");
    Ok(())
}

/// All files of a folder with an extension, sorted.
fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path, extension)?);
        } else if path.extension().is_some_and(|it| it == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The blocks of YAML in Markdown.
fn blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in markdown.lines() {
        let mark = line.trim();
        match &mut open {
            None if mark == "```yaml" => open = Some(String::new()),
            None => {}
            Some(_) if mark == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}

/// The documents of a YAML stream.
fn objects(yaml: &str) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in yaml.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document)?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Whether a document of a block is an object that could be applied. The documentation leaves the
/// version of our own kinds out where it has shown it before.
fn is_whole(object: &mut Value) -> bool {
    let Some(kind) = object["kind"].as_str().map(str::to_owned) else {
        return false;
    };
    if object["apiVersion"].is_null() && KINDS.contains(&kind.as_str()) {
        object["apiVersion"] = "turnpike.dev/v1alpha1".into();
    }
    // Of what others define, this API server has no definition.
    let version = object["apiVersion"].as_str();
    let is_known = version.is_some_and(|version| {
        let (group, _) = version.split_once('/').unwrap_or_default();
        !group.contains('.') || group.ends_with(".k8s.io") || group == "turnpike.dev"
    });
    is_known && object["metadata"]["name"].is_string()
}

/// Applies objects, those of any namespace to the scene's, and leaves nothing behind.
async fn dry_run(scene: &Scene, mut objects: Vec<Value>) -> Result<()> {
    for object in &mut objects {
        if let Some(namespace) = object["metadata"].get_mut("namespace") {
            *namespace = scene.namespace.as_str().into();
        }
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let arguments = [
        "--namespace",
        &scene.namespace,
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    ];
    let list = list.to_string();
    let applied = scene.cluster.kubectl_with_input(&arguments, &list);
    applied.await.map(drop)
}
