//! Certificates of routes: chosen by name, replaced under open streams, kept where a new one is broken.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::secure::{Caller, Certified, Connection, Http, tls_secret};
use turnpike_e2e::{Call, Scene, eventually, resources};

/// A route that shows the certificate in a Secret.
pub(crate) fn route(name: &str, host: &str, provider: &str, tls: &str) -> String {
    let route = resources::route(name, host, provider);
    format!("{route}  tls: {tls}\n")
}

fn own(secret: &str) -> String {
    format!("{{certificateRefs: [{{name: {secret}}}]}}")
}

/// Waits until new handshakes for a host are shown a certificate.
async fn shown(
    scene: &Scene,
    caller: &Caller,
    host: &str,
    expected: &Certified,
) -> Result<Connection> {
    let tls = scene.fleet.data_planes[0].tls();
    eventually(&format!("{host} shows its certificate"), async || {
        let connection = caller.connect(tls, host, Http::Two).await?;
        ensure!(connection.certificate == expected.der, "another one");
        Ok(connection)
    })
    .await
}

#[test]
fn a_new_certificate_is_shown_while_a_stream_over_the_old_goes_on() -> Result<()> {
    Scene::run(async |scene| {
        let provider = Provider::start().await?;
        let (host, other, key) = (scene.host("a"), scene.host("b"), scene.key("alice"));
        let (old, new) = (Certified::make(&[&host])?, Certified::make(&[&host])?);
        let others = Certified::make(&[&other])?;
        let yaml = resources::provider("m", "OpenAI", &provider.openai_url(), "m", "")
            + &resources::consumer("alice", "gold", &key)
            + &old.secret("own")
            + &others.secret("other")
            + &route("a", &host, "m", &own("own"))
            + &route("b", &other, "m", &own("other"));
        scene.apply(&yaml).await?;
        let caller = Caller::trusting(&[&old, &new, &others])?;
        let mut connection = shown(scene, &caller, &host, &old).await?;
        shown(scene, &caller, &other, &others).await?;
        let ready = scene
            .await_condition("airoute", "a", "CertificatesValid", "True")
            .await?;
        ensure!(ready.message.contains("is valid until"), "{ready:?}");

        provider.behave(Behaviour::Good {
            chunks: 100,
            delay: Duration::from_millis(20),
        });
        let call = Call::stream(&host, "m", "hi").key(&key);
        let mut stream = connection.send_streaming(call).await?;
        stream.next().await?.context("no event")?;
        scene.apply(&new.secret("own")).await?;
        // Sessions of before would show nothing.
        let fresh = Caller::trusting(&[&new])?;
        let mut renewed = shown(scene, &fresh, &host, &new).await?;
        let (events, end) = stream.rest().await;
        end?;
        ensure!(
            events.last().map(String::as_str) == Some("[DONE]"),
            "{events:?}"
        );
        provider.behave(Behaviour::GOOD);
        for connection in [&mut connection, &mut renewed] {
            let call = Call::say(&host, "m", "hi").key(&key);
            connection.send(call).await?.expect_ok()?;
        }
        Ok(())
    })
}

#[test]
fn a_broken_secret_keeps_the_last_good_certificate_and_harms_only_its_names() -> Result<()> {
    Scene::run(async |scene| {
        let (host, other, key) = (scene.host("a"), scene.host("b"), scene.key("alice"));
        let fresh = scene.host("c");
        let (good, mended) = (Certified::make(&[&host])?, Certified::make(&[&host])?);
        let (others, foreign) = (
            Certified::make(&[&other])?,
            Certified::make(&["elsewhere.test"])?,
        );
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &good.secret("own")
            + &others.secret("other")
            + &tls_secret("never", "x", "y")
            + &route("a", &host, "echo", &own("own"))
            + &route("b", &other, "echo", &own("other"))
            + &route("c", &fresh, "echo", &own("never"));
        scene.apply(&yaml).await?;
        let caller = || Caller::trusting(&[&good, &mended, &others]);
        shown(scene, &caller()?, &host, &good).await?;
        for (broken, words) in [
            (
                tls_secret("own", "canary", &good.key),
                "tls.crt is no certificate",
            ),
            (
                tls_secret("own", &good.chain, "canary"),
                "tls.key is no private key",
            ),
            (
                tls_secret("own", &good.chain, &others.key),
                "not the key of the certificate",
            ),
            (
                foreign.secret("own"),
                "elsewhere.test, none of which is a host",
            ),
        ] {
            scene.apply(&broken).await?;
            eventually(words, async || {
                let told = scene.condition("airoute", "a", "ResolvedRefs").await?;
                let is_told = told.reason == "InvalidCertificateRef"
                    && told.message.contains(words)
                    && told
                        .message
                        .contains("spec.tls.certificateRefs[0]: Secret ");
                ensure!(is_told && told.status == "False", "{told:?}");
                Ok(())
            })
            .await?;
            let mut connection = shown(scene, &caller()?, &host, &good).await?;
            let call = Call::say(&host, "echo", "hi").key(&key);
            connection.send(call).await?.expect_ok()?;
            shown(scene, &caller()?, &other, &others).await?;
        }
        // Without a good one before there is none, and the host is served in the clear as ever.
        let tls = scene.fleet.data_planes[0].tls();
        let refused = caller()?.connect(tls, &fresh, Http::Two).await;
        let error = format!("{:#}", refused.err().context("a handshake")?);
        ensure!(error.contains("UnrecognisedName"), "{error}");
        let call = Call::say(&fresh, "echo", "hi").key(&key);
        scene.gateway().send(call).await?.expect_ok()?;

        scene.apply(&mended.secret("own")).await?;
        shown(scene, &caller()?, &host, &mended).await?;
        scene.await_served("airoute", "a").await
    })
}
