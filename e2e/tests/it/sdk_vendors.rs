//! Real SDKs through `turnpike serve` to vendors that are as strict as the real ones.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use turnpike_e2e::vendors::{ACCESS_KEY, KEY, SECRET_KEY, Vendors};
use turnpike_e2e::{FileScene, node, python, resources};

use super::standalone_serve::Standalone;

/// Providers: what is theirs in the resource, and their path at the vendors.
const PROVIDERS: [(&str, &str, &str); 5] = [
    ("openai", "protocol: OpenAI", "/openai/v1"),
    ("anthropic", "protocol: Anthropic", "/anthropic"),
    ("gemini", "protocol: Gemini", "/gemini"),
    ("cohere", "protocol: Cohere", "/cohere"),
    ("bedrock", "vendor: Bedrock\n  aws: {region: us-east-1}", ""),
];

const CALLER: &str = "tk-sdks-0123456789abcdef0123";

#[test]
fn openai_for_python_speaks_to_every_provider() -> Result<()> {
    ask(async |argument| python::run("sdk_openai.py", &argument).await)
}

#[test]
fn anthropic_for_python_speaks_to_every_provider() -> Result<()> {
    ask(async |argument| python::run("sdk_anthropic.py", &argument).await)
}

#[test]
fn google_for_python_speaks_to_every_provider() -> Result<()> {
    ask(async |argument| python::run("sdk_google.py", &argument).await)
}

#[test]
fn langchain_speaks_to_every_provider() -> Result<()> {
    ask(async |argument| python::run("sdk_langchain.py", &argument).await)
}

#[test]
fn sdks_for_node_speak_to_every_provider() -> Result<()> {
    ask(async |argument| node::run("sdks.mjs", &argument).await)
}

fn ask(script: impl AsyncFnOnce(Value) -> Result<String>) -> Result<()> {
    FileScene::run(async |scene| {
        let vendors = Vendors::start().await?;
        scene.write("all.yaml", &files(&vendors)?)?;
        let standalone = Standalone::start(scene, &scene.resources(), &[]).await?;
        let base = format!("http://{}", standalone.gateway.address());
        let named = PROVIDERS.map(|(name, ..)| (name.to_owned(), model(name).into()));
        let models: Map<String, Value> = named.into_iter().collect();
        let argument = json!({"base": base, "key": CALLER, "models": models});
        let told = script(argument).await;
        told.with_context(|| standalone.process.stderr()).map(drop)
    })
}

fn model(provider: &str) -> String {
    format!("on-{provider}")
}

fn files(vendors: &Vendors) -> Result<String> {
    let mut yaml = resources::consumer("alice", "gold", CALLER)
        + &resources::secret("vendor", "key", KEY)
        + "---
apiVersion: v1
kind: Secret
metadata: {name: aws, labels: {turnpike.dev/credential: \"true\"}}
stringData: {accessKey: \"ACCESS\", secretKey: \"SECRET\"}
";
    yaml = yaml
        .replace("ACCESS", ACCESS_KEY)
        .replace("SECRET", SECRET_KEY);
    let mut rules = String::new();
    for (name, kind, path) in PROVIDERS {
        let secret = if name == "bedrock" { "aws" } else { "vendor" };
        let (url, model) = (vendors.url(path), model(name));
        // What is in it must be encoded, twice where a path is signed.
        let upstream = format!("us.anthropic.claude-{name}-4-5-v1:0");
        write!(
            yaml,
            "---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: {name}}}
spec:
  {kind}
  url: {url}
  credentials: [{{name: main, secretRef: {{name: {secret}}}}}]
  models: [{{name: {model}, upstreamModel: \"{upstream}\"}}]
"
        )?;
        write!(
            yaml,
            "---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: drops-{name}}}
spec:
  {kind}
  url: {url}
  onUnsupported: Drop
  credentials: [{{name: main, secretRef: {{name: {secret}}}}}]
  models: [{{name: drops-{name}, upstreamModel: \"{upstream}\"}}]
"
        )?;
        write!(
            rules,
            "\n  - {{matches: [{{models: [drops-{name}]}}], backendRefs: [{{name: drops-{name}}}]}}"
        )?;
        write!(
            rules,
            "\n  - {{name: {name}, matches: [{{models: [{model}]}}], backendRefs: [{{name: {name}}}]}}"
        )?;
    }
    write!(
        yaml,
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: main}}
spec:
  hostnames: [\"*\"]
  rules:{rules}
"
    )?;
    Ok(yaml)
}
