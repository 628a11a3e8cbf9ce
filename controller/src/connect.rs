//! The way to an API server: a kubeconfig, or the account of the pod around us.

use std::path::Path;

use anyhow::{Context, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde_saphyr::SnippetMode;

/// Sets a client up; nothing is sent yet.
pub async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => read(path).await?,
        None => find()
            .await
            .context("finding a cluster; name one with --kubeconfig, or files with -f")?,
    };
    Client::try_from(config).context("setting up the connection to the API server")
}

async fn read(path: &Path) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)
        .map_err(without_text)
        .with_context(|| format!("reading --kubeconfig {}", path.display()))?;
    choose(kubeconfig)
        .await
        .with_context(|| format!("using --kubeconfig {}", path.display()))
}

/// The kubeconfig that kubectl would take if there is one, else the pod's own account.
async fn find() -> anyhow::Result<Config> {
    let chosen = match Kubeconfig::read() {
        Ok(kubeconfig) => choose(kubeconfig).await,
        Err(fault) => Err(without_text(fault)),
    };
    chosen.or_else(|fault| {
        Config::incluster()
            .map_err(|no_pod| anyhow!("no kubeconfig ({fault:#}), and no pod ({no_pod})"))
    })
}

async fn choose(kubeconfig: Kubeconfig) -> anyhow::Result<Config> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(without_text)
}

/// A fault of the text would be shown with lines of it, and a token may stand there.
fn without_text(fault: KubeconfigError) -> anyhow::Error {
    match fault {
        KubeconfigError::Parse(fault) => {
            let options = serde_saphyr::render_options! { snippets: SnippetMode::Off };
            anyhow!("not a kubeconfig: {}", fault.render_with_options(options))
        }
        fault => fault.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_in_a_kubeconfig_never_shows_its_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        let faulty = ["token: sk-canary\n    foo: [", "token: [sk-canary]"];
        for user in faulty {
            let text = format!("users:\n- name: x\n  user:\n    {user}\n");
            std::fs::write(&path, text).unwrap();
            let fault = format!("{:#}", connect(Some(&path)).await.err().unwrap());
            assert!(fault.contains("not a kubeconfig: "), "{fault}");
            assert!(!fault.contains("canary"), "{fault}");
        }
    }
}
