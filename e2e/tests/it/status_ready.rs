//! `Ready`: what tools wait for, from the moment that an object is made.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use turnpike_e2e::{Scene, eventually, resources};

/// What `kubectl wait` gets.
const TIMEOUT: &str = "--timeout=30s";

#[test]
fn kubectl_waits_for_objects_of_every_kind() -> Result<()> {
    Scene::run(async |scene| {
        let key = scene.key("alice");
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::quota("plan", "gold", "requests: 9, window: 1h", "Allow")
            + &resources::route("main", &scene.host("ready"), "echo");
        scene.apply(&yaml).await?;
        for object in [
            "aip/echo",
            "aic/alice",
            "atq/plan",
            "air/main",
            "airoute/main",
        ] {
            let wait = ["wait", "--for=condition=Ready", object, TIMEOUT];
            scene.kubectl(&wait).await?;
        }
        let ready = scene.condition("airoute", "main", "Ready").await?;
        ensure!(ready.observed_generation == ready.generation, "{ready:?}");
        let object = scene.object("airoute", "main").await?;
        ensure!(object["status"]["conditions"][0]["type"] == "Ready");

        scene
            .apply(&resources::route("bad", &scene.host("bad"), "gone"))
            .await?;
        let bad = scene
            .await_condition("airoute", "bad", "Ready", "False")
            .await?;
        ensure!(bad.reason == "BackendNotFound", "{bad:?}");
        ensure!(
            bad.message.contains("spec.rules[0].backendRefs[0]"),
            "{bad:?}"
        );
        Ok(())
    })
}

#[test]
fn an_object_that_no_controller_has_seen_is_not_ready_yet() -> Result<()> {
    Scene::run_alone(async |scene| {
        let controller = &scene.fleet.controller;
        controller.process().kill();
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &scene.key("alice"))
            + &resources::quota("plan", "gold", "requests: 9, window: 1h", "Allow")
            + &resources::route("main", &scene.host("ready"), "echo");
        scene.apply(&yaml).await?;
        for (kind, name) in [
            ("aiprovider", "echo"),
            ("consumer", "alice"),
            ("tokenquota", "plan"),
            ("airoute", "main"),
        ] {
            let ready = scene.condition(kind, name, "Ready").await?;
            ensure!(
                (&*ready.status, &*ready.reason) == ("Unknown", "Pending"),
                "{kind}: {ready:?}"
            );
        }
        controller.start_again().await?;
        let wait = ["wait", "--for=condition=Ready", "airoute/main", TIMEOUT];
        scene.kubectl(&wait).await?;
        let object = scene.object("airoute", "main").await?;
        let since = &object["status"]["conditions"][0]["lastTransitionTime"];
        ensure!(
            since.as_str().is_some_and(|time| !time.starts_with("1970")),
            "{since}"
        );
        Ok(())
    })
}

#[test]
fn each_hostname_of_a_route_tells_what_became_of_it() -> Result<()> {
    Scene::run(async |scene| {
        let (taken, own) = (scene.host("taken"), scene.host("own"));
        let other = format!("{}-b", scene.namespace);
        scene
            .apply(&(resources::echo_provider("echo") + &resources::route("main", &taken, "echo")))
            .await?;
        scene.await_served("airoute", "main").await?;
        let cluster = scene.cluster;
        cluster.kubectl(&["create", "namespace", &other]).await?;
        let both = resources::route("main", &format!("{own}, {taken}"), "echo");
        let yaml = resources::echo_provider("echo") + &both;
        cluster
            .kubectl_with_input(&["apply", "-n", &other, "-f", "-"], &yaml)
            .await?;
        let status = async || -> Result<Value> {
            let get = ["get", "air", "main", "-n", &other, "-o", "json"];
            let object: Value = serde_json::from_str(&cluster.kubectl(&get).await?)?;
            Ok(object["status"].clone())
        };
        eventually("one hostname is served, the other is taken", async || {
            let status = status().await?;
            let told = told(&status);
            let expected = [
                format!("{own} Accepted=True/Accepted Programmed=True/Programmed"),
                format!("{taken} Accepted=False/HostnameConflict Programmed=False/Invalid"),
            ];
            ensure!(told == expected, "{told:?}");
            Ok(())
        })
        .await?;
        let url = &status().await?["hostnames"][0]["url"];
        ensure!(*url == format!("https://{own}"), "{url}");
        let accepted = &status().await?["conditions"][1];
        let message = accepted["message"].as_str().unwrap_or_default();
        ensure!(message.contains("spec.hostnames[1]"), "{accepted}");

        scene.delete("airoute", "main").await?;
        eventually("the other takes over", async || {
            let told = told(&status().await?);
            let second = told.get(1).context("two hostnames")?;
            ensure!(second.ends_with("Programmed=True/Programmed"), "{told:?}");
            Ok(())
        })
        .await?;
        let wait = [
            "wait",
            "-n",
            &other,
            "--for=condition=Ready",
            "air/main",
            TIMEOUT,
        ];
        cluster.kubectl(&wait).await?;
        let drop_namespace = ["delete", "namespace", &other, "--wait=false"];
        cluster.kubectl(&drop_namespace).await.map(drop)
    })
}

#[test]
fn a_route_that_becomes_a_template_has_no_hostnames_in_its_status() -> Result<()> {
    Scene::run(async |scene| {
        let served = resources::route("plan", &scene.host("plan"), "echo");
        scene
            .apply(&(resources::echo_provider("echo") + &served))
            .await?;
        scene.await_served("airoute", "plan").await?;
        let line = format!("  hostnames: [{}]\n", scene.host("plan"));
        scene.apply(&served.replace(&line, "")).await?;
        eventually("hostnames are gone and routes are counted", async || {
            let status = &scene.object("airoute", "plan").await?["status"];
            let is_template = status["hostnames"].is_null() && status["routes"] == 0;
            ensure!(is_template, "{status}");
            Ok(())
        })
        .await
    })
}

#[test]
fn providers_templates_and_quotas_count_who_uses_them() -> Result<()> {
    Scene::run(async |scene| {
        let namespace = &scene.namespace;
        let template = "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: plan}
spec: {rules: [{backendRefs: [{name: echo}]}]}
";
        let tenant = |number: usize| {
            format!(
                "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: tenant-{number}}}
spec: {{hostnames: [t{number}.{namespace}.test], rulesFrom: {{name: plan}}}}
"
            )
        };
        let tenants: String = (0..20).map(tenant).collect();
        let consumers: String = (0..3)
            .map(|number| {
                let name = format!("c-{number}");
                resources::consumer(&name, "gold", &scene.key(&name))
            })
            .collect();
        let quota = resources::quota("plan", "gold", "requests: 9, window: 1h", "Allow");
        let own = resources::route("own", &scene.host("own"), "echo");
        let yaml = [
            resources::echo_provider("echo"),
            quota,
            template.to_owned(),
            own,
            tenants,
            consumers,
        ];
        scene.apply(&yaml.concat()).await?;
        let count = async |kind: &str, name: &str, path: &str, expected: i64| -> Result<()> {
            eventually(&format!("{kind} {name} counts {expected}"), async || {
                let object = scene.object(kind, name).await?;
                let found = object.pointer(path).and_then(Value::as_i64);
                ensure!(found == Some(expected), "{}", object["status"]);
                Ok(())
            })
            .await
        };
        // The template counts as one, whoever takes its rules.
        count("aip", "echo", "/status/routes", 2).await?;
        count("air", "plan", "/status/routes", 20).await?;
        count("atq", "plan", "/status/groups/0/consumers", 3).await?;
        scene.delete("airoute", "tenant-7").await?;
        scene.delete("consumer", "c-1").await?;
        count("air", "plan", "/status/routes", 19).await?;
        count("atq", "plan", "/status/groups/0/consumers", 2).await?;
        let columns = scene.kubectl(&["get", "aip", "echo"]).await?;
        ensure!(
            columns.contains("Echo") && columns.contains('2'),
            "{columns}"
        );
        Ok(())
    })
}

#[test]
fn kubectl_shows_what_people_look_for() -> Result<()> {
    Scene::run(async |scene| {
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &scene.key("alice"))
            + &resources::quota("plan", "gold", "requests: 9, window: 1h", "Allow")
            + &resources::route("main", &scene.host("columns"), "echo");
        scene.apply(&yaml).await?;
        scene.await_served("airoute", "main").await?;
        for (kind, columns) in [
            (
                "air",
                [
                    "NAME",
                    "HOSTNAMES",
                    "READY",
                    "ACCEPTED",
                    "PROGRAMMED",
                    "AGE",
                ]
                .as_slice(),
            ),
            (
                "aip",
                &["NAME", "VENDOR", "STATE", "READY", "ROUTES", "AGE"],
            ),
            ("aic", &["NAME", "GROUPS", "READY", "AGE"]),
            ("atq", &["NAME", "PER", "READY", "AGE"]),
        ] {
            let table = scene.kubectl(&["get", kind]).await?;
            let header = table.lines().next().unwrap_or_default();
            let header: Vec<&str> = header.split_whitespace().collect();
            ensure!(header == columns, "{kind}: {header:?}");
        }
        let all = scene.kubectl(&["get", "turnpike", "-o", "name"]).await?;
        for name in [
            "aiprovider.turnpike.dev/echo",
            "airoute.turnpike.dev/main",
            "consumer.turnpike.dev/alice",
            "tokenquota.turnpike.dev/plan",
        ] {
            ensure!(all.lines().any(|line| line == name), "{name} in {all}");
        }
        let wide = scene.kubectl(&["get", "air", "-o", "wide"]).await?;
        ensure!(wide.contains("every other condition is true"), "{wide}");
        Ok(())
    })
}

/// Of each hostname: its name, and what its conditions say.
fn told(status: &Value) -> Vec<String> {
    let hostnames = status["hostnames"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    hostnames
        .map(|hostname| {
            let conditions = hostname["conditions"].as_array().into_iter().flatten();
            let said = conditions.map(|it| {
                let (kind, status) = (text(&it["type"]), text(&it["status"]));
                format!(" {kind}={status}/{}", text(&it["reason"]))
            });
            text(&hostname["name"]) + &said.collect::<String>()
        })
        .collect()
}
