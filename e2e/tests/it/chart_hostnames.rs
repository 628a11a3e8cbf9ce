//! The chart's admission policy says the same of hosts as the controller's rule, at apply already.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::kubernetes::PLATFORM_NAMESPACE;
use turnpike_e2e::{Scene, eventually};

use crate::chart_render::Rendering;

/// By annotation of the Namespace: hosts, and whether each may be claimed. `NS` is the namespace.
const RULES: [(&str, &[(&str, bool)]); 6] = [
    (
        "",
        &[
            ("a.test", false),
            ("NS.maas.test", true),
            ("other.maas.test", false),
            ("x.NS.maas.test", false),
            ("xNS.maas.test", false),
            ("NS.maas.test.evil", false),
            ("*.maas.test", false),
            ("a.NS.test", true),
            ("a.b.NS.test", true),
            ("NS.test", false),
            ("aNS.test", false),
            ("*.NS.test", false),
            ("x-NS-y.test", true),
            ("all.test", true),
            ("*", false),
        ],
    ),
    (
        "one.test, TWO.test",
        &[("two.test", true), ("c.one.test", false)],
    ),
    (
        "three.test\tfour.test",
        &[("three.test", true), ("four.test", true)],
    ),
    (
        "*.five.test",
        &[
            ("c.five.test", true),
            ("*.five.test", true),
            ("*.c.five.test", true),
            ("five.test", false),
            ("bfive.test", false),
        ],
    ),
    ("six.test", &[("six.test", true), ("c.five.test", false)]),
    ("*", &[("anything.test", true), ("*", true)]),
];

#[test]
fn a_host_that_may_not_be_claimed_is_refused_at_apply() -> Result<()> {
    Scene::run(async |scene| {
        let policy = install(scene).await?;
        for (annotation, hosts) in RULES {
            annotate(scene, annotation).await?;
            for (host, is_permitted) in hosts {
                let host = host.replace("NS", &scene.namespace);
                eventually(&format!("{annotation:?} {host}"), async || {
                    let outcome = apply(scene, "one", &[&host], true).await;
                    let is_taken = outcome.is_ok();
                    ensure!(is_taken == *is_permitted, "taken: {is_taken}: {outcome:?}");
                    Ok(())
                })
                .await?;
            }
        }
        // Another installation's.
        let foreign = route("one", &["nobodys.test"]).replace("spec:", "spec:\n  className: blue");
        take(scene, &foreign, true).await?;
        remove(scene, &policy).await
    })
}

#[test]
fn a_refusal_names_the_mend_and_a_withdrawn_host_does_not_lock_its_route() -> Result<()> {
    Scene::run(async |scene| {
        let policy = install(scene).await?;
        annotate(scene, "own.test").await?;
        let namespace = &scene.namespace;
        let mend = format!(
            "kubectl annotate --overwrite namespace {namespace} \
             turnpike.dev/allowed-hostnames=own.test,foreign.test"
        );
        eventually("the mend is named", async || {
            let refused = apply(scene, "one", &["own.test", "foreign.test"], false).await;
            let words = format!("{:#}", refused.err().context("taken")?);
            let expected =
                format!("namespace {namespace} may not claim foreign.test; it may claim");
            ensure!(
                words.contains(&expected) && words.contains(&mend),
                "{words}"
            );
            Ok(())
        })
        .await?;
        apply(scene, "one", &["own.test"], false).await?;

        annotate(scene, "other.test").await?;
        eventually("the annotation is in force", async || {
            let again = apply(scene, "two", &["own.test"], true).await;
            ensure!(again.is_err(), "taken");
            Ok(())
        })
        .await?;
        scene
            .kubectl(&["label", "airoute", "one", "touched=yes"])
            .await?;
        apply(scene, "one", &["own.test", "other.test"], false).await?;
        remove(scene, &policy).await
    })
}

/// The policy, for the scene's namespace alone; gives its name.
async fn install(scene: &Scene) -> Result<String> {
    let values = format!(
        "watchNamespaces: [{}]\nhostnamePolicy: [\"{{namespace}}.maas.test\", \
         \"*.{{namespace}}.test\", \"x-{{namespace}}-y.test\", all.test]",
        scene.namespace
    );
    let rendering = Rendering {
        release: &scene.namespace,
        namespace: PLATFORM_NAMESPACE,
        values: &values,
        only: &["templates/cluster/hostnames.yaml"],
    };
    let yaml = rendering.yaml(scene.cluster).await?;
    scene.apply(&yaml).await?;
    eventually("the policy is in force", async || {
        ensure!(
            apply(scene, "one", &["nobodys.test"], true).await.is_err(),
            "taken"
        );
        Ok(())
    })
    .await?;
    Ok(format!("{}-turnpike-hostnames", scene.namespace))
}

async fn remove(scene: &Scene, policy: &str) -> Result<()> {
    for kind in [
        "validatingadmissionpolicybinding",
        "validatingadmissionpolicy",
    ] {
        scene.kubectl(&["delete", kind, policy]).await?;
    }
    Ok(())
}

async fn annotate(scene: &Scene, hosts: &str) -> Result<()> {
    let annotation = format!("turnpike.dev/allowed-hostnames={hosts}");
    let namespace = scene.namespace.as_str();
    let annotate = [
        "annotate",
        "--overwrite",
        "namespace",
        namespace,
        &annotation,
    ];
    scene.kubectl(&annotate).await.map(drop)
}

async fn apply(scene: &Scene, name: &str, hosts: &[&str], is_dry: bool) -> Result<()> {
    take(scene, &route(name, hosts), is_dry).await
}

fn route(name: &str, hosts: &[&str]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("{host:?}")).collect();
    format!(
        "
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: {name}}}
spec:
  hostnames: [{}]
  rules: [{{backendRefs: [{{name: echo}}]}}]
",
        hosts.join(", ")
    )
}

async fn take(scene: &Scene, yaml: &str, is_dry: bool) -> Result<()> {
    let namespace = scene.namespace.as_str();
    let mut arguments = vec!["--namespace", namespace, "apply", "-f", "-"];
    arguments.extend(is_dry.then_some("--dry-run=server"));
    let applied = scene.cluster.kubectl_with_input(&arguments, yaml).await;
    applied.map(drop)
}
