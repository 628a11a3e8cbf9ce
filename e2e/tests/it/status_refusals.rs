//! What the API server refuses: unknown fields, and unions that are not one thing.

use anyhow::{Result, ensure};
use turnpike_e2e::Scene;

#[test]
fn unknown_fields_are_refused_with_their_path() -> Result<()> {
    Scene::run(async |scene| {
        for (kind, spec, path) in [
            ("AIProvider", "{vendor: Echo, colour: red}", "spec.colour"),
            (
                "AIProvider",
                "{vendor: Echo, timeouts: {connct: 1s}}",
                "spec.timeouts.connct",
            ),
            ("Consumer", "{group: [a]}", "spec.group"),
            (
                "TokenQuota",
                "{limits: [{name: a, tokens: 1, window: 1m, burst: 2}]}",
                "spec.limits[0].burst",
            ),
            (
                "AIRoute",
                "{hostnames: [a.test], rules: [{backendRefs: [{name: a, wieght: 1}]}]}",
                "spec.rules[0].backendRefs[0].wieght",
            ),
        ] {
            let words = scene.refusal(&object(kind, spec)).await?;
            ensure!(
                words.contains(&format!("unknown field \"{path}\"")),
                "{path}: {words}"
            );
        }
        Ok(())
    })
}

#[test]
fn contradictions_are_refused_with_a_mend() -> Result<()> {
    Scene::run(async |scene| {
        for (kind, spec, mend) in [
            (
                "AIProvider",
                "{vendor: Echo, protocol: OpenAI, url: \"http://a.test\"}",
                "exactly one of vendor and protocol",
            ),
            ("AIProvider", "{protocol: OpenAI}", "protocol needs url"),
            (
                "Consumer",
                "{apiKeys: [{name: a}]}",
                "exactly one of sha256 and secretRef",
            ),
            (
                "TokenQuota",
                "{limits: [{name: a, tokens: 1, requests: 1, window: 1m}]}",
                "exactly one of tokens and requests",
            ),
            (
                "TokenQuota",
                "{limits: [{name: a, tokens: 1, window: 10ms}]}",
                "window must be from 1s",
            ),
            (
                "AIRoute",
                "{hostnames: [a.test], rules: [{backendRefs: [{name: a, weight: 0}]}]}",
                "weight above 0",
            ),
        ] {
            let words = scene.refusal(&object(kind, spec)).await?;
            ensure!(words.contains(mend), "{kind} {spec}: {words}");
        }
        Ok(())
    })
}

#[test]
fn what_counters_are_kept_for_cannot_be_changed() -> Result<()> {
    Scene::run(async |scene| {
        let limits = "limits: [{name: a, tokens: 100k, window: 1m}]";
        let quota = |per: &str| object("TokenQuota", &format!("{{per: [{per}], {limits}}}"));
        scene.apply(&quota("Consumer")).await?;
        let words = scene.refusal(&quota("Namespace")).await?;
        ensure!(words.contains("per cannot be changed"), "{words}");
        Ok(())
    })
}

fn object(kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: turnpike.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"
    )
}
