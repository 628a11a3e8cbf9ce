//! Two installations in one cluster: each serves the routes of its class, and none of the other's.

use anyhow::{Result, ensure};
use turnpike_e2e::fleet::{Controller, DataPlane, Source};
use turnpike_e2e::kubernetes::PLATFORM_NAMESPACE;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Gateway, Scene, eventually, resources};

#[test]
fn each_installation_serves_its_own_routes_alone() -> Result<()> {
    Scene::run(async |scene| {
        let platform = format!("{}-blue", scene.namespace);
        scene
            .kubectl(&["create", "namespace", platform.as_str()])
            .await?;
        let outcome = beside(scene, &platform).await;
        scene
            .kubectl(&["delete", "namespace", platform.as_str(), "--wait=false"])
            .await?;
        outcome
    })
}

#[test]
fn class_of_a_route_cannot_be_changed() -> Result<()> {
    Scene::run(async |scene| {
        let plain = resources::route("main", &scene.host("main"), "echo");
        scene.apply(&plain).await?;
        let route = scene.object("airoute", "main").await?;
        ensure!(route["spec"]["className"] == "turnpike", "{route}");
        let told = scene.refusal(&of_class(&plain, "blue")).await?;
        ensure!(told.contains("className cannot be changed"), "{told}");
        scene.apply(&of_class(&plain, "turnpike")).await
    })
}

async fn beside(scene: &Scene, platform: &str) -> Result<()> {
    let flags = [
        ("--class", "blue"),
        ("--platform-namespace", platform),
        ("--hostname-policy", "*"),
    ];
    let source = Source::Cluster(scene.cluster);
    let controller = Controller::start_with(&scene.folder, source, &flags).await?;
    let data_plane = DataPlane::start(&scene.folder, "blue", &controller, None).await?;
    let (blue, plain) = (data_plane.gateway(), scene.gateway());

    let key = scene.key("alice");
    let [ours, theirs, shared] = ["ours", "theirs", "shared"].map(|label| scene.host(label));
    let yaml = resources::echo_provider("echo")
        + &resources::echo_provider("echo-blue").replace("name: echo}]", "name: sky}]")
        + &resources::consumer("alice", "gold", &key)
        + &resources::route("ours", &ours, "echo")
        + &of_class(&resources::route("theirs", &theirs, "echo"), "blue")
        + &resources::route("shared", &shared, "echo")
        + &of_class(
            &resources::route("shared-blue", &shared, "echo-blue"),
            "blue",
        );
    scene.apply(&yaml).await?;

    let ask = |host, model| Call::say(host, model, "hello").key(&key);
    await_answer(plain, ask(&ours, "echo")).await?;
    await_answer(plain, ask(&shared, "echo")).await?;
    await_answer(blue, ask(&theirs, "echo")).await?;
    await_answer(blue, ask(&shared, "sky")).await?;
    for route in ["ours", "theirs", "shared", "shared-blue"] {
        scene.await_served("airoute", route).await?;
    }
    let refused = async |gateway: &Gateway, host, model, code| {
        let answer = gateway.send(ask(host, model)).await?;
        answer.expect_error(404, code)
    };
    refused(plain, &theirs, "echo", "unknown_host").await?;
    refused(plain, &shared, "sky", "model_not_found").await?;
    refused(blue, &ours, "echo", "unknown_host").await?;
    refused(blue, &shared, "echo", "model_not_found").await?;
    of_its_own(scene, platform).await?;

    // Of a route that nobody serves, the other installation says nothing.
    controller.process().kill();
    let orphan = of_class(
        &resources::route("orphan", &scene.host("orphan"), "echo"),
        "blue",
    );
    scene.apply(&orphan).await?;
    let marker = resources::route("marker", &scene.host("marker"), "echo");
    scene.apply(&marker).await?;
    scene.await_served("airoute", "marker").await?;
    let orphan = scene.object("airoute", "orphan").await?;
    let told = &orphan["status"]["observedGeneration"];
    ensure!(told.is_null(), "{}", orphan["status"]);
    Ok(())
}

/// What an installation keeps for itself is in its platform namespace.
async fn of_its_own(scene: &Scene, platform: &str) -> Result<()> {
    let mut found = Vec::new();
    for namespace in [PLATFORM_NAMESPACE, platform] {
        for (kind, name, path) in [
            (
                "lease",
                "turnpike-controller",
                "jsonpath={.spec.holderIdentity}",
            ),
            ("secret", "turnpike-fleet-key", "jsonpath={.metadata.uid}"),
        ] {
            let arguments = ["get", "-n", namespace, kind, name, "-o", path];
            let text = eventually(&format!("{kind} in {namespace}"), async || {
                scene.cluster.kubectl(&arguments).await
            })
            .await?;
            found.push(text);
        }
    }
    ensure!(
        found[0] != found[2] && found[1] != found[3] && !found.contains(&String::new()),
        "shared, or nobody's: {found:?}"
    );
    Ok(())
}

fn of_class(route: &str, class: &str) -> String {
    route.replace("spec:\n", &format!("spec:\n  className: {class}\n"))
}
