//! A plan of the platform that tenants take their rules from: changed in one place, and taken
//! back.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::kubernetes::PLATFORM_NAMESPACE;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

/// A template of the platform and its provider, for namespaces with a label of this test.
fn plan(name: &str, label: &str, group: &str) -> String {
    resources::echo_provider(name)
        + &format!(
            "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: {name}}}
spec:
  grants: [{{namespaces: {{from: Selector, selector: {{matchLabels: {{plan: {label}}}}}}}}}]
  authorization: {{allow: [{{groups: [{group}]}}]}}
  rules: [{{backendRefs: [{{name: {name}}}]}}]
"
        )
}

async fn apply_to_platform(scene: &Scene, yaml: &str) -> Result<()> {
    let arguments = ["apply", "--namespace", PLATFORM_NAMESPACE, "-f", "-"];
    let applied = scene.cluster.kubectl_with_input(&arguments, yaml).await;
    applied.map(drop)
}

async fn await_error(scene: &Scene, call: &Call<'_>, status: u16, code: &str) -> Result<()> {
    for number in 0..2 {
        eventually(code, async || {
            let answer = scene.fleet.gateway(number).send(call.clone()).await?;
            answer.expect_error(status, code)
        })
        .await?;
    }
    Ok(())
}

#[test]
fn tenants_take_their_rules_from_a_plan_that_may_change_and_be_withdrawn() -> Result<()> {
    Scene::run(async |scene| {
        let plan_name = format!("plan-{}", scene.namespace);
        let (host, key) = (scene.host("tenant"), scene.key("default"));
        let label = format!("plan={}", scene.namespace);
        scene
            .kubectl(&["label", "namespace", &scene.namespace, &label])
            .await?;
        let tenant = resources::consumer("default", "gold", &key)
            + &format!(
                "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: main}}
spec:
  hostnames: [{host}]
  rulesFrom: {{name: {plan_name}, namespace: {PLATFORM_NAMESPACE}}}
"
            );
        scene.apply(&tenant).await?;
        let missing = scene
            .await_condition("airoute", "main", "ResolvedRefs", "False")
            .await?;
        let call = Call::say(&host, "echo", "hello").key(&key);
        await_error(scene, &call, 503, "route_unavailable").await?;

        let gold = plan(&plan_name, &scene.namespace, "gold");
        apply_to_platform(scene, &gold).await?;
        scene.await_served("airoute", "main").await?;
        for number in 0..2 {
            await_answer(scene.fleet.gateway(number), call.clone()).await?;
        }

        apply_to_platform(scene, &plan(&plan_name, &scene.namespace, "platinum")).await?;
        await_error(scene, &call, 403, "consumer_not_allowed").await?;

        apply_to_platform(scene, &plan(&plan_name, "nobody", "gold")).await?;
        await_error(scene, &call, 503, "route_unavailable").await?;
        let denied = scene
            .await_condition("airoute", "main", "ResolvedRefs", "False")
            .await?;
        ensure!(
            (&denied.reason, &denied.message) == (&missing.reason, &missing.message),
            "denied and missing differ: {denied:?}, {missing:?}"
        );
        for kind in ["airoute", "aiprovider"] {
            let arguments = [
                "delete",
                "--namespace",
                PLATFORM_NAMESPACE,
                kind,
                &plan_name,
            ];
            scene.cluster.kubectl(&arguments).await?;
        }
        Ok(())
    })
}

#[test]
fn templates_that_cannot_be_are_refused_at_apply() -> Result<()> {
    Scene::run(async |scene| {
        for (spec, words) in [
            ("{hostnames: [a.test]}", "set rules, rulesFrom or both"),
            ("{rulesFrom: {name: plan}}", "rulesFrom needs hostnames"),
            (
                "{hostnames: [a.test], rulesFrom: {name: plan}, \
                  grants: [{namespaces: {from: All}}]}",
                "grants are for templates",
            ),
            (
                "{rules: [{backendRefs: [{name: p}]}], grants: [{namespaces: {from: Selector}}]}",
                "from: Selector needs selector",
            ),
        ] {
            let yaml = format!(
                "{{apiVersion: turnpike.dev/v1alpha1, kind: AIRoute, metadata: {{name: r}}, \
                  spec: {spec}}}"
            );
            let told = scene.refusal(&yaml).await.context(spec.to_owned())?;
            ensure!(told.contains(words), "{spec}: {told}");
        }
        Ok(())
    })
}
