//! Each request goes to the host that it asks for, whatever name the connection was opened with.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::fleet::FLEET_CERTIFICATE;
use turnpike_e2e::kubernetes::PLATFORM_NAMESPACE;
use turnpike_e2e::secure::{Caller, Certified, Http};
use turnpike_e2e::{Call, Scene, eventually, resources};

use crate::tls_certificates::route;

pub(crate) const DOMAIN: &str = "maas-e2e.test";

/// The platform's certificate, over every host of one label below [`DOMAIN`].
pub(crate) async fn fleet_certificate(scene: &Scene) -> Result<Certified> {
    use tokio::sync::OnceCell;
    static MADE: OnceCell<Certified> = OnceCell::const_new();
    let make = async || {
        let made = Certified::make(&[&format!("*.{DOMAIN}")])?;
        let arguments = ["--namespace", PLATFORM_NAMESPACE, "apply", "-f", "-"];
        let secret = made.secret(FLEET_CERTIFICATE);
        scene
            .cluster
            .kubectl_with_input(&arguments, &secret)
            .await?;
        anyhow::Ok(made)
    };
    MADE.get_or_try_init(make).await.cloned()
}

pub(crate) fn below(scene: &Scene, label: &str) -> String {
    format!("{label}-{}.{DOMAIN}", scene.namespace)
}

pub(crate) fn tenant(host: &str, key: &str) -> String {
    resources::echo_provider("echo")
        + &resources::consumer("alice", "gold", key)
        + &resources::route("main", host, "echo")
}

/// Waits until a host answers over TLS.
pub(crate) async fn await_served(
    scene: &Scene,
    caller: &Caller,
    host: &str,
    key: &str,
) -> Result<()> {
    let tls = scene.fleet.data_planes[0].tls();
    eventually(&format!("{host} answers over TLS"), async || {
        let call = Call::say(host, "echo", "hi").key(key);
        caller.send(tls, call).await?.expect_ok().map(drop)
    })
    .await
}

/// Of the second of two tenants; it has to be deleted in the end.
pub(crate) fn second_namespace(scene: &Scene) -> String {
    format!("{}-b", scene.namespace)
}

/// Two tenants in namespaces of their own, below one wildcard certificate: their hosts and keys, once they
/// are served.
pub(crate) async fn two_tenants(scene: &Scene) -> Result<(Certified, [(String, String); 2])> {
    let fleet = fleet_certificate(scene).await?;
    let second = second_namespace(scene);
    scene.kubectl(&["create", "namespace", &second]).await?;
    let (one, two) = (below(scene, "one"), below(scene, "two"));
    let (key, other_key) = (scene.key("alice"), scene.key("bob"));
    scene.apply(&tenant(&one, &key)).await?;
    let apply = ["--namespace", &second, "apply", "-f", "-"];
    let yaml = tenant(&two, &other_key);
    scene.cluster.kubectl_with_input(&apply, &yaml).await?;
    let caller = Caller::trusting(&[&fleet])?;
    await_served(scene, &caller, &one, &key).await?;
    await_served(scene, &caller, &two, &other_key).await?;
    Ok((fleet, [(one, key), (two, other_key)]))
}

#[test]
fn two_tenants_share_a_connection_and_each_reaches_its_own() -> Result<()> {
    Scene::run(async |scene| {
        let (fleet, [(one, key), (two, other_key)]) = two_tenants(scene).await?;
        let caller = Caller::trusting(&[&fleet])?;

        let tls = scene.fleet.data_planes[0].tls();
        let mut connection = caller.connect(tls, &one, Http::Two).await?;
        for _ in 0..2 {
            for (host, own, others) in [(&one, &key, &other_key), (&two, &other_key, &key)] {
                let call = Call::say(host, "echo", "hi").key(own);
                connection.send(call).await?.expect_ok()?;
                let call = Call::say(host, "echo", "hi").key(others);
                let answer = connection.send(call).await?;
                answer.expect_error(401, "invalid_api_key")?;
            }
        }
        let deletion = [
            "delete",
            "namespace",
            &second_namespace(scene),
            "--wait=false",
        ];
        scene.kubectl(&deletion).await.map(drop)
    })
}

#[test]
fn a_host_that_the_certificate_is_not_for_is_421_and_an_unknown_one_404() -> Result<()> {
    Scene::run(async |scene| {
        let fleet = fleet_certificate(scene).await?;
        let (inside, key) = (below(scene, "in"), scene.key("alice"));
        let outside = scene.host("out");
        let own = Certified::make(&[&outside])?;
        let tls = "{certificateRefs: [{name: own}]}";
        let yaml =
            tenant(&inside, &key) + &own.secret("own") + &route("other", &outside, "echo", tls);
        scene.apply(&yaml).await?;
        let caller = Caller::trusting(&[&fleet, &own])?;
        await_served(scene, &caller, &inside, &key).await?;
        await_served(scene, &caller, &outside, &key).await?;

        let address = scene.fleet.data_planes[0].tls();
        for http in [Http::One, Http::Two] {
            let mut connection = caller.connect(address, &inside, http).await?;
            let mut ask = async |host: &str| {
                // Without a body, as one that is not read ends a connection of HTTP/1.1.
                let call = Call::get(host, "/v1/models").key(&key);
                connection.send(call).await
            };
            ask(&outside)
                .await?
                .expect_error(421, "misdirected_request")?;
            ask("nobody.elsewhere.test")
                .await?
                .expect_error(404, "unknown_host")?;
            ask(&below(scene, "nobody"))
                .await?
                .expect_error(404, "unknown_host")?;
            for written in [
                inside.to_uppercase(),
                format!("{inside}:443"),
                format!("{inside}."),
            ] {
                ask(&written).await?.expect_ok()?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_name_that_nobody_serves_yet_is_let_in_by_the_platforms_certificate_alone() -> Result<()> {
    Scene::run(async |scene| {
        let fleet = fleet_certificate(scene).await?;
        let (host, key) = (below(scene, "later"), scene.key("alice"));
        let caller = Caller::trusting(&[&fleet])?;
        let tls = scene.fleet.data_planes[0].tls();
        let mut connection = eventually("the platform's certificate is there", async || {
            caller.connect(tls, &host, Http::Two).await
        })
        .await?;
        let call = Call::say(&host, "echo", "hi").key(&key);
        let answer = connection.send(call.clone()).await?;
        answer.expect_error(404, "unknown_host")?;

        let elsewhere = scene.host("elsewhere");
        let refused = caller.connect(tls, &elsewhere, Http::Two).await;
        let error = format!("{:#}", refused.err().context("a handshake")?);
        ensure!(error.contains("UnrecognisedName"), "{error}");

        scene.apply(&tenant(&host, &key)).await?;
        eventually("the same connection reaches the new tenant", async || {
            connection.send(call.clone()).await?.expect_ok().map(drop)
        })
        .await
    })
}
