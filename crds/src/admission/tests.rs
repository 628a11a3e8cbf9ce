//! What is refused, where, and in which words.

use serde_json::json;

use super::*;

fn admit(yaml: &str) -> Result<Admitted, Vec<Fault>> {
    let value: Value = serde_saphyr::from_str(yaml).expect("YAML");
    Admission::new().expect("schemas").admit(value)
}

/// The faults as `path: message`.
fn faults(kind: &str, spec: Value) -> Vec<String> {
    let object = json!({
        "apiVersion": "turnpike.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec,
    });
    match Admission::new().expect("schemas").admit(object) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .iter()
            .map(|fault| format!("{}: {}", fault.path, fault.message))
            .collect(),
    }
}

fn route(rule: Value) -> Value {
    json!({"hostnames": ["a.test"], "rules": [rule]})
}

#[test]
fn a_whole_tenant_is_admitted_with_its_defaults() {
    let Ok(Admitted::Route(route)) = admit(
        "{apiVersion: turnpike.dev/v1alpha1, kind: AIRoute, metadata: {name: main, namespace: t},
          spec: {hostnames: [a.test], rules: [{backendRefs: [{name: echo}]}]}, status: {conditions: []}}",
    ) else {
        panic!("refused");
    };
    assert!(route.spec.authentication.is_none() && route.spec.max_body_bytes.is_none());
    assert_eq!(route.spec.rules[0].backend_refs[0].weight, 1);
}

#[test]
fn unknown_fields_are_refused_at_every_depth() {
    let rule = json!({"backendRefs": [{"name": "echo", "wieght": 3}], "retries": 2});
    assert_eq!(
        faults("AIRoute", route(rule)),
        [
            "spec.rules[0].backendRefs[0].wieght: unknown field; correct or remove it",
            "spec.rules[0].retries: unknown field; correct or remove it",
        ]
    );
}

#[test]
fn every_fault_of_an_object_is_told() {
    let spec = json!({"hostnames": ["a.test"], "maxBodyBytes": 0, "rules": [{"backendRefs": []}]});
    let faults = faults("AIRoute", spec);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("spec.maxBodyBytes: "), "{faults:?}");
    assert!(
        faults[1].starts_with("spec.rules[0].backendRefs: "),
        "{faults:?}"
    );
}

#[test]
fn cel_rules_hold_without_an_api_server() {
    let cases = [
        (
            "AIProvider",
            json!({}),
            "spec: set exactly one of vendor and protocol",
        ),
        (
            "AIProvider",
            json!({"protocol": "OpenAI"}),
            "spec: protocol needs url, the address that your server's own clients use as base URL, or \
             serviceRef, a Service of this namespace",
        ),
        (
            "AIRoute",
            route(json!({"backendRefs": [{"name": "a", "weight": 0}]})),
            "spec.rules[0]: at least one of backendRefs needs a weight above 0",
        ),
        (
            "Consumer",
            json!({"apiKeys": [{"name": "k"}]}),
            "spec.apiKeys[0]: set exactly one of sha256 and secretRef",
        ),
        (
            "TokenQuota",
            json!({"limits": [{"name": "l", "window": "1m"}]}),
            "spec.limits[0]: set exactly one of tokens and requests",
        ),
        (
            "TokenQuota",
            json!({"limits": [{"name": "l", "tokens": 1, "window": "10ms"}]}),
            "spec.limits[0].window: window must be from 1s to 768h",
        ),
        (
            "AIRoute",
            json!({"hostnames": ["a.test"]}),
            "spec: set rules, rulesFrom or both: where requests go",
        ),
        (
            "AIRoute",
            json!({"rulesFrom": {"name": "plan"}}),
            "spec: rulesFrom needs hostnames: a template cannot take its rules from another",
        ),
        (
            "AIRoute",
            json!({
                "hostnames": ["a.test"], "rulesFrom": {"name": "plan"},
                "grants": [{"namespaces": {"from": "All"}}],
            }),
            "spec: grants are for templates: leave hostnames out, or remove grants",
        ),
        (
            "AIProvider",
            json!({"vendor": "Echo", "grants": [{"namespaces": {"from": "Selector"}}]}),
            "spec.grants[0].namespaces: from: Selector needs selector, and from: All takes none",
        ),
    ];
    for (kind, spec, expected) in cases {
        assert_eq!(faults(kind, spec), [expected]);
    }
}

#[test]
fn wrong_types_values_and_kinds_are_told_by_field() {
    let cases = [
        ("AIProvider", json!({"vendor": "Nobody"}), "spec.vendor: "),
        (
            "AIProvider",
            json!({"vendor": "Echo", "timeouts": {"idle": "soon"}}),
            "spec.timeouts.idle: ",
        ),
        (
            "Consumer",
            json!({"apiKeys": [{"name": "k", "sha256": "abc"}]}),
            "spec.apiKeys[0]: sha256 must be 64",
        ),
        (
            "TokenQuota",
            json!({"limits": [{"name": "l", "tokens": true, "window": "1m"}]}),
            "spec.limits[0].tokens: ",
        ),
        (
            "TokenQuota",
            json!({"limits": [{"name": "l", "tokens": "1.5k", "window": "1m"}]}),
            "spec.limits[0].tokens: ",
        ),
        ("AIRoute", json!({"hostnames": []}), "spec.hostnames: "),
        ("AIThing", json!({}), "kind: "),
    ];
    for (kind, spec, expected) in cases {
        let faults = faults(kind, spec);
        assert!(
            faults.iter().any(|fault| fault.starts_with(expected)),
            "{expected} not in {faults:?}"
        );
    }
}

#[test]
fn doubles_in_lists_that_merge_by_key_are_refused() {
    let spec = json!({"vendor": "Echo", "models": [{"name": "a"}, {"name": "b"}, {"name": "a"}]});
    let told = "stands in the list already; remove it or name it differently";
    assert_eq!(
        faults("AIProvider", spec),
        [format!("spec.models[2]: {told}")]
    );
    let spec =
        json!({"hostnames": ["a.test", "a.test"], "rules": [{"backendRefs": [{"name": "p"}]}]});
    assert_eq!(
        faults("AIRoute", spec),
        [format!("spec.hostnames[1]: {told}")]
    );
}

/// Else an API server would take an object that the controller then cannot read.
#[test]
fn values_that_no_type_can_hold_are_refused_by_the_schema() {
    let moments = [
        "9999-12-31T23:59:59Z",
        "2027-01-01T00:00:00+99:99",
        "2027-01-01T00:00:00.12345678901234567890Z",
        "2027-02-30T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "2027-01-01 00:00:00Z",
        "2027-01-01",
        "tomorrow",
    ];
    for moment in moments {
        let spec =
            json!({"apiKeys": [{"name": "k", "sha256": "0".repeat(64), "notAfter": moment}]});
        let faults = faults("Consumer", spec);
        assert!(
            matches!(&faults[..], [fault, ..] if fault.starts_with("spec.apiKeys[0].notAfter: ")),
            "{moment}: {faults:?}"
        );
    }
    for count in [
        json!("999999999999999G"),
        json!("1000000G"),
        json!(9_999_999_999_999_999_999_u64),
    ] {
        let spec = json!({"limits": [{"name": "l", "tokens": count, "window": "1m"}]});
        let faults = faults("TokenQuota", spec);
        assert!(
            matches!(&faults[..], [fault, ..] if fault.starts_with("spec.limits[0].tokens: ")),
            "{count}: {faults:?}"
        );
    }
}

#[test]
fn the_extremes_of_what_the_schema_takes_can_be_read() {
    for moment in [
        "9998-12-31T23:59:59.123456789Z",
        "1000-01-01T00:00:00+23:59",
        "2027-01-01T00:00:00-23:59",
    ] {
        let spec =
            json!({"apiKeys": [{"name": "k", "sha256": "0".repeat(64), "notAfter": moment}]});
        assert_eq!(faults("Consumer", spec), [""; 0], "{moment}");
    }
    for count in [
        json!("999999G"),
        json!("999999999999999"),
        json!(999_999_999_999_999_u64),
    ] {
        let spec = json!({"limits": [{"name": "l", "tokens": count, "window": "1m"}]});
        assert_eq!(faults("TokenQuota", spec), [""; 0], "{count}");
    }
}

#[test]
fn an_unknown_word_is_told_with_the_known_ones() {
    let spec = json!({"protocol": "Nobody", "url": "https://a.test"});
    assert_eq!(
        faults("AIProvider", spec),
        ["spec.protocol: \"Nobody\" is none of OpenAI, Anthropic, Gemini, Bedrock, Cohere"]
    );
}

#[test]
fn names_must_be_such_as_kubernetes_takes() {
    let refused =
        admit("{apiVersion: v1, kind: Secret, metadata: {name: Bad_Name, namespace: a.b}}");
    let paths: Vec<_> = refused
        .expect_err("bad names")
        .into_iter()
        .map(|fault| fault.path)
        .collect();
    assert_eq!(paths, ["metadata.name", "metadata.namespace"]);
}

#[test]
fn metadata_secrets_and_namespaces_are_held_to_an_api_servers_rules() {
    let cases = [
        ("{name: a, labes: {x: y}}", "", "metadata.labes"),
        ("{name: a, labels: {'a b': x}}", "", "metadata.labels.a b"),
        ("{name: a, labels: {a: 'x y'}}", "", "metadata.labels.a"),
        ("{name: a, labels: {a: 1}}", "", "metadata.labels.a"),
        (
            "{name: a, annotations: {'a b': x}}",
            "",
            "metadata.annotations.a b",
        ),
        (
            "{name: a, annotations: {a: true}}",
            "",
            "metadata.annotations.a",
        ),
        ("{name: a}", "strngData: {k: x}", "strngData"),
        ("{name: a}", "stringData: {k: 123}", "stringData.k"),
        ("{name: a}", "stringData: sk-canary", "stringData"),
        (
            "{name: a}",
            "stringData: {'a b': sk-canary}",
            "stringData.a b",
        ),
        ("{name: a}", "data: {k: sk-canary}", "data.k"),
    ];
    for (metadata, rest, path) in cases {
        let yaml = format!("apiVersion: v1\nkind: Secret\nmetadata: {metadata}\n{rest}\n");
        let faults = admit(&yaml).expect_err(&yaml);
        assert!(
            faults.iter().any(|fault| fault.path == path),
            "{yaml}{faults:?}"
        );
        assert!(!format!("{faults:?}").contains("canary"), "{faults:?}");
    }
    let namespace = |rest| format!("{{apiVersion: v1, kind: Namespace, {rest}}}");
    for (rest, path) in [
        ("metadata: {name: a}, specs: {}", "specs"),
        ("metadata: {name: a.b}", "metadata.name"),
    ] {
        let faults = admit(&namespace(rest)).expect_err(rest);
        assert_eq!(faults[0].path, path);
    }
    let fine =
        "metadata: {name: a, labels: {x.test/y: '', Z_1: 'v.1'}, annotations: {a/b: 'any text'}}";
    assert!(admit(&namespace(fine)).is_ok());
}

/// Who writes the key itself where its digest belongs must not read it in a log.
#[test]
fn what_stands_in_place_of_a_digest_is_not_repeated() {
    let spec = json!({"apiKeys": [{"name": "k", "sha256": "sk-canary"}]});
    let faults = faults("Consumer", spec);
    assert!(
        faults[0].starts_with("spec.apiKeys[0]: sha256 must be 64"),
        "{faults:?}"
    );
    assert!(!faults.concat().contains("canary"), "{faults:?}");
}

#[test]
fn string_data_of_a_secret_is_readable_as_data() {
    let Ok(Admitted::Secret(secret)) = admit(
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {key: sk-1}, data: {other: c2stMg==}}",
    ) else {
        panic!("refused");
    };
    let data = secret.data.unwrap_or_default();
    assert_eq!(data["key"].0, b"sk-1");
    assert_eq!(data["other"].0, b"sk-2");
}

#[test]
fn a_null_is_a_field_left_out() {
    assert_eq!(
        faults(
            "AIProvider",
            json!({"vendor": "Echo", "protocol": null, "url": null})
        ),
        [""; 0]
    );
}
