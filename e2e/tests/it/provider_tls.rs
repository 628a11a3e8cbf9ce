//! A provider over TLS with CAs of its own in a ConfigMap: what is told where they cannot be had, and
//! what is served meanwhile.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::secure::Certified;
use turnpike_e2e::{Call, Provider, Scene, eventually, resources};

/// Takes TLS off in front of a provider.
async fn terminate(
    certified: &Certified,
    provider: &Provider,
) -> Result<(u16, AbortOnDropHandle<()>)> {
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes())?;
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.der.clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let address = provider.address();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut secured = acceptor.accept(stream).await?;
                let mut plain = TcpStream::connect(address).await?;
                copy_bidirectional(&mut secured, &mut plain).await
            });
        }
    });
    Ok((port, AbortOnDropHandle::new(server)))
}

fn config_map(authorities: &str, is_labelled: bool) -> Value {
    let labels = match is_labelled {
        true => json!({"turnpike.dev/credential": "true"}),
        false => json!({}),
    };
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "corp-ca", "labels": labels},
        "data": {"ca.crt": authorities},
    })
}

#[test]
fn cas_in_a_config_map_are_trusted_and_broken_ones_leave_the_last_good_form() -> Result<()> {
    Scene::run(async |scene| {
        let provider = Provider::start().await?;
        let certified = Certified::make(&["models.internal"])?;
        let (port, _server) = terminate(&certified, &provider).await?;
        let (host, key) = (scene.host("main"), scene.key("alice"));
        let yaml = resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "inner")
            + &format!(
                "---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: inner}}
spec:
  protocol: OpenAI
  url: https://127.0.0.1:{port}/v1
  tls: {{caCertificateRef: {{name: corp-ca}}, serverName: models.internal}}
"
            );
        scene.apply(&yaml).await?;
        let call = || Call::say(&host, "m", "hello").key(&key);
        let told = async |words: &str| {
            let resolved = scene
                .await_condition("aiprovider", "inner", "ResolvedRefs", "False")
                .await?;
            ensure!(resolved.reason == "InvalidCertificateRef", "{resolved:?}");
            ensure!(resolved.message.contains(words), "{resolved:?}");
            Ok(())
        };
        eventually("the missing ConfigMap is told", async || {
            told("spec.tls.caCertificateRef: ConfigMap").await?;
            let answer = scene.gateway().send(call()).await?;
            answer.expect_error(503, "provider_unavailable")
        })
        .await?;

        scene
            .apply(&config_map(&certified.chain, true).to_string())
            .await?;
        scene
            .await_condition("aiprovider", "inner", "ResolvedRefs", "True")
            .await?;
        await_answer(scene.gateway(), call()).await?;

        scene
            .apply(&config_map("no certificate", true).to_string())
            .await?;
        eventually("the broken ConfigMap is told", async || {
            told("last good form stays in force").await
        })
        .await?;
        let answer = scene.gateway().send(call()).await?;
        answer.expect_ok().context("by the last good form")?;

        scene
            .apply(&config_map(&certified.chain, false).to_string())
            .await?;
        eventually("what has no label is not there", async || {
            told("lacks the label").await?;
            let answer = scene.gateway().send(call()).await?;
            answer.expect_error(503, "provider_unavailable")
        })
        .await
    })
}
