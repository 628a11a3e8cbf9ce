//! Resources in, whole snapshots and findings out.

mod connections;
mod services;
mod status;

use std::time::Duration;

use turnpike_crds::ai_provider::ProviderState;
use turnpike_crds::ai_route;
use turnpike_snapshot::consumer::Consumer;
use turnpike_snapshot::credential::Credential;
use turnpike_snapshot::domain::{
    Authentication, Backend, Domain, Grant, Match, OnDisconnect, Route, Rule, Template,
};
use turnpike_snapshot::provider::{
    Halt, Halted, Model, Provider, ProviderKey, ProviderKind, Timeouts, Upstream,
};
use turnpike_snapshot::quota::{Amount, CounterPer, Limit, OnStoreFailure, Quota, QuotaSelector};
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::tenant::{Fleet, FleetQuota, Tenant};
use turnpike_snapshot::{Name, Snapshot};

use crate::compile::finding::{Counts, Finding, Findings, HostnameFinding};
use crate::compile::{findings, issues, snapshot};
use crate::index::Index;
use crate::index::hostnames::HostnamePolicy;
use crate::source::{Kind, ObjectKey};
use crate::testing::*;

fn domain(index: &Index, host: &str) -> Option<Snapshot> {
    snapshot(index, &Name::Domain(host.into()))
}

/// The names of the routes that serve a host.
fn routes(index: &Index, host: &str) -> Vec<String> {
    match domain(index, host) {
        Some(Snapshot::Domain(domain)) => {
            let routes = domain.routes.into_iter();
            routes
                .map(|route| format!("{}/{}", domain.namespace, route.name))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Each issue as `reason path: message`.
fn told(index: &Index, kind: Kind, namespace: &str, name: &str) -> Vec<String> {
    let issues = issues(index, &ObjectKey::new(kind, namespace, name)).unwrap();
    let issues = issues.iter();
    issues
        .map(|issue| format!("{} {}: {}", issue.reason, issue.path, issue.message))
        .collect()
}

fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(3),
        first_token: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        total: Duration::from_secs(1800),
    }
}

fn upstream(keys: &[(&str, &str)], models: &[(&str, Option<&str>)]) -> Snapshot {
    let keys = keys.iter().map(|(name, secret)| ProviderKey {
        name: (*name).into(),
        secret: (*secret).into(),
    });
    let models = models.iter().map(|(name, upstream)| Model {
        name: (*name).into(),
        upstream_model: upstream.map(str::to_owned),
    });
    Snapshot::Provider(Provider::Upstream(Upstream {
        kind: ProviderKind::Vendor("Echo".into()),
        url: None,
        service: None,
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
        keys: keys.collect(),
        models: models.collect(),
        timeouts: timeouts(),
    }))
}

fn plain_rule(at: usize, models: &[&str], provider: &str) -> Rule {
    let matches = match models {
        [] => Vec::new(),
        models => vec![Match {
            models: strings(models),
            ..Match::default()
        }],
    };
    Rule {
        name: format!("rules[{at}]"),
        matches,
        backends: vec![Backend {
            provider: name("a", provider),
            model: None,
            weight: 1,
            priority: 0,
            models: Vec::new(),
            fault: None,
        }],
        retries: Retries::default(),
    }
}

fn plain_route(name: &str, allow: Vec<Grant>, rules: Vec<Rule>) -> Route {
    Route {
        name: name.into(),
        authentication: Some(Authentication::Required),
        allow: Some(allow),
        rules,
        max_body_bytes: Some(32 << 20),
        head_bytes: None,
        heartbeat: None,
        on_disconnect: None,
        template: None,
        suspension: None,
    }
}

#[test]
fn a_host_is_all_routes_of_its_namespace_oldest_first() {
    let index = index_of([
        route("a", "young")
            .created(2)
            .host("x.test")
            .rule(&[], "q")
            .event(),
        route("a", "old")
            .created(1)
            .host("x.test")
            .allow(&["gold"], &[])
            .rule(&["m*"], "p")
            .event(),
    ]);
    let grant = Grant {
        groups: strings(&["gold"]),
        ..Grant::default()
    };
    let old = plain_route("old", vec![grant], vec![plain_rule(0, &["m*"], "p")]);
    let young = plain_route("young", vec![], vec![plain_rule(0, &[], "q")]);
    assert_eq!(
        domain(&index, "x.test"),
        Some(Snapshot::Domain(Domain {
            namespace: "a".into(),
            routes: vec![old, young],
            ..Domain::default()
        }))
    );
}

#[test]
fn without_creation_times_routes_go_by_name() {
    let index = index_of([
        route("b", "r").host("x.test").event(),
        route("a", "s").host("x.test").event(),
        route("a", "r").host("x.test").event(),
    ]);
    assert_eq!(routes(&index, "x.test"), ["a/r", "a/s"]);
}

#[test]
fn a_wildcard_is_a_domain_of_its_own_name() {
    let index = index_of([route("a", "r").host("*.test").event()]);
    assert_eq!(routes(&index, "*.test"), ["a/r"]);
    assert_eq!(domain(&index, "x.test"), None);
}

#[test]
fn a_route_that_loses_one_host_serves_the_others() {
    let index = index_of([
        route("a", "r").created(1).host("x.test").event(),
        route("b", "r")
            .created(2)
            .host("y.test")
            .host("x.test")
            .event(),
    ]);
    assert_eq!(routes(&index, "x.test"), ["a/r"]);
    assert_eq!(routes(&index, "y.test"), ["b/r"]);
    assert_eq!(
        told(&index, Kind::AIRoute, "b", "r"),
        [
            "HostnameConflict spec.hostnames[1]: x.test is claimed by an older route of another namespace; choose another name here, or wait until it is given up"
        ]
    );
    assert_eq!(
        findings(&index, &ObjectKey::new(Kind::AIRoute, "b", "r"))
            .unwrap()
            .names,
        [Name::Domain("y.test".into())]
    );
}

#[test]
fn a_host_passes_on_when_its_owner_goes() {
    let mut index = index_of([
        route("a", "r").created(1).host("x.test").event(),
        route("b", "r").created(2).host("x.test").event(),
    ]);
    index.apply(delete(Kind::AIRoute, "a", "r"));
    assert_eq!(routes(&index, "x.test"), ["b/r"]);
    assert!(told(&index, Kind::AIRoute, "b", "r").is_empty());
}

#[test]
fn a_missing_provider_stays_in_its_rule_and_is_told() {
    let index = index_of([
        provider("a", "p").event(),
        route("a", "r")
            .host("x.test")
            .rule(&[], "p")
            .rule(&[], "gone")
            .event(),
    ]);
    let rules = vec![plain_rule(0, &[], "p"), plain_rule(1, &[], "gone")];
    assert_eq!(
        domain(&index, "x.test"),
        Some(Snapshot::Domain(Domain {
            namespace: "a".into(),
            routes: vec![plain_route("r", vec![], rules)],
            ..Domain::default()
        }))
    );
    assert_eq!(snapshot(&index, &Name::Provider(name("a", "gone"))), None);
    assert_eq!(
        findings(&index, &ObjectKey::new(Kind::AIRoute, "a", "r")),
        Some(Findings {
            accepted: Finding {
                is_true: true,
                reason: "Accepted",
                message: "valid".into(),
            },
            resolved_refs: Finding {
                is_true: false,
                reason: "BackendNotFound",
                message: "spec.rules[1].backendRefs[0]: AIProvider a/gone does not exist; \
                          create it or correct the name"
                    .into(),
            },
            halted: None,
            names: vec![Name::Domain("x.test".into())],
            hostnames: vec![HostnameFinding::new("x.test", None)],
            counts: Counts::default(),
            certificates: vec![],
        })
    );
}

#[test]
fn a_provider_of_another_namespace_does_not_count() {
    let index = index_of([
        provider("b", "p").event(),
        route("a", "r").host("x.test").rule(&[], "p").event(),
    ]);
    assert_eq!(told(&index, Kind::AIRoute, "a", "r").len(), 1);
}

#[test]
fn a_glob_that_is_none_matches_nothing_and_harms_nothing_else() {
    let index = index_of([
        provider("a", "p").event(),
        route("a", "r")
            .host("x.test")
            .rule(&["["], "p")
            .rule(&["[", "m*"], "p")
            .rule(&[], "p")
            .event(),
    ]);
    let rules = vec![plain_rule(1, &["m*"], "p"), plain_rule(2, &[], "p")];
    assert_eq!(
        domain(&index, "x.test"),
        Some(Snapshot::Domain(Domain {
            namespace: "a".into(),
            routes: vec![plain_route("r", vec![], rules)],
            ..Domain::default()
        }))
    );
    let issues = told(&index, Kind::AIRoute, "a", "r");
    assert_eq!(issues.len(), 2);
    assert!(
        issues[0].starts_with("InvalidGlob spec.rules[0].matches[0].models[0]: \"[\" is no glob"),
        "{}",
        issues[0]
    );
}

#[test]
fn a_grant_that_cannot_be_read_lets_nobody_in() {
    let index = index_of([route("a", "r")
        .host("x.test")
        .allow(&["gold"], &["["])
        .event()]);
    let nobody = Grant {
        consumers: strings(&[""]),
        ..Grant::default()
    };
    assert_eq!(
        domain(&index, "x.test"),
        Some(Snapshot::Domain(Domain {
            namespace: "a".into(),
            routes: vec![plain_route("r", vec![nobody], vec![])],
            ..Domain::default()
        }))
    );
}

#[test]
fn the_consumer_of_callers_without_a_key_must_exist() {
    let mut index = index_of([route("a", "r").host("x.test").anonymous("guest").event()]);
    assert_eq!(
        told(&index, Kind::AIRoute, "a", "r"),
        ["ConsumerNotFound spec.authentication.anonymousConsumer: \
          Consumer a/guest does not exist; create it or correct the name"]
    );
    index.apply(consumer("a", "guest").event());
    assert!(told(&index, Kind::AIRoute, "a", "r").is_empty());
    let Some(Snapshot::Domain(domain)) = domain(&index, "x.test") else {
        panic!("x.test is a domain");
    };
    assert_eq!(
        domain.routes[0].authentication,
        Some(Authentication::Optional {
            anonymous_consumer: Some("guest".into())
        })
    );
}

#[test]
fn every_value_of_a_secret_is_a_key_unless_one_is_named() {
    let index = index_of([
        secret("a", "s", &[("two", "k2\n"), ("one", "k1")]),
        provider("a", "all").credential("main", "s", None).event(),
        provider("a", "one")
            .credential("main", "s", Some("two"))
            .model("m*", Some("n"))
            .event(),
    ]);
    assert_eq!(
        snapshot(&index, &Name::Provider(name("a", "all"))),
        Some(upstream(&[("main/one", "k1"), ("main/two", "k2")], &[]))
    );
    assert_eq!(
        snapshot(&index, &Name::Provider(name("a", "one"))),
        Some(upstream(&[("main", "k2")], &[("m*", Some("n"))]))
    );
}

#[test]
fn a_provider_without_credentials_sends_no_key() {
    let index = index_of([provider("a", "p").event()]);
    assert_eq!(
        snapshot(&index, &Name::Provider(name("a", "p"))),
        Some(upstream(&[], &[]))
    );
}

#[test]
fn a_provider_is_faulty_when_none_of_its_keys_can_be_had() {
    let cases = [
        (
            None,
            "Secret a/s does not exist, or lacks the label turnpike.dev/credential: \"true\"",
        ),
        (
            Some(("other", "v")),
            "Secret a/s has no key \"k\"; add it or correct the key",
        ),
        (
            Some(("k", "\n")),
            "Secret a/s has nothing under its key \"k\"",
        ),
    ];
    for (value, words) in cases {
        let mut index = index_of([provider("a", "p")
            .credential("main", "s", Some("k"))
            .event()]);
        if let Some(value) = value {
            index.apply(secret("a", "s", &[value]));
        }
        let issue = format!("spec.credentials[0].secretRef: {words}");
        assert_eq!(
            snapshot(&index, &Name::Provider(name("a", "p"))),
            Some(Snapshot::Provider(Provider::Faulty {
                reason: format!("AIProvider a/p: {issue}"),
                keeps_previous: false,
            }))
        );
        assert_eq!(
            told(&index, Kind::AIProvider, "a", "p"),
            [format!("SecretNotFound {issue}")]
        );
    }
}

#[test]
fn the_keys_that_can_be_had_serve_on_without_the_others() {
    let index = index_of([
        secret(
            "a",
            "s",
            &[("good", "k1"), ("bad", "two\nlines"), ("empty", "")],
        ),
        provider("a", "p")
            .credential("main", "s", None)
            .credential("gone", "t", None)
            .event(),
    ]);
    assert_eq!(
        snapshot(&index, &Name::Provider(name("a", "p"))),
        Some(upstream(&[("main/good", "k1")], &[]))
    );
    let reasons: Vec<String> = told(&index, Kind::AIProvider, "a", "p")
        .iter()
        .map(|issue| issue.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(reasons, ["InvalidKey", "SecretNotFound", "SecretNotFound"]);
}

#[test]
fn the_advice_to_label_a_secret_is_for_clusters() {
    let mut index = index().of_files();
    index.apply(provider("a", "p").credential("main", "s", None).event());
    assert_eq!(
        told(&index, Kind::AIProvider, "a", "p"),
        ["SecretNotFound spec.credentials[0].secretRef: \
          Secret a/s does not exist; create it or correct the name"]
    );
}

#[test]
fn a_halted_provider_tells_its_models_alone_whatever_is_wrong_with_it() {
    for (state, halt, reason) in [
        (ProviderState::Drain, Halt::Drain, "Draining"),
        (ProviderState::Blocked, Halt::Blocked, "Blocked"),
    ] {
        let index = index_of([
            secret("a", "s", &[("k", "a-key")]),
            provider("a", "p")
                .state(state)
                .url("http://p.test:99999")
                .credential("main", "s", None)
                .model("good", Some("upstream"))
                .model("[", None)
                .event(),
        ]);
        let halted = Halted {
            halt,
            models: vec![Model {
                name: "good".into(),
                upstream_model: Some("upstream".into()),
            }],
        };
        assert_eq!(
            snapshot(&index, &Name::Provider(name("a", "p"))),
            Some(Snapshot::Provider(Provider::Halted(halted)))
        );
        let found = findings(&index, &ObjectKey::new(Kind::AIProvider, "a", "p")).unwrap();
        assert_eq!(found.halted.unwrap().reason, reason);
        assert_eq!(found.accepted.reason, "InvalidUrl");
    }
}

#[test]
fn a_provider_whose_models_cannot_be_read_is_faulty() {
    let index = index_of([provider("a", "p").model("[", None).event()]);
    let compiled = snapshot(&index, &Name::Provider(name("a", "p")));
    assert!(
        matches!(compiled, Some(Snapshot::Provider(Provider::Faulty { .. }))),
        "{compiled:?}"
    );
    assert!(
        told(&index, Kind::AIProvider, "a", "p")[0].starts_with("InvalidGlob spec.models[0].name")
    );
}

#[test]
fn a_provider_whose_url_leads_nowhere_is_faulty() {
    let with = |url: &str| {
        let index = index_of([provider("a", "p").url(url).event()]);
        let compiled = snapshot(&index, &Name::Provider(name("a", "p")));
        let is_faulty = matches!(compiled, Some(Snapshot::Provider(Provider::Faulty { .. })));
        let told = told(&index, Kind::AIProvider, "a", "p");
        assert_eq!(is_faulty, !told.is_empty());
        told
    };
    let advice = "write it as in https://api.example.com:8443/v1";
    for url in ["http://[::1/v1", "http://ä/v1", "http://a b"] {
        assert_eq!(
            with(url),
            [format!("InvalidUrl spec.url: is no URL; {advice}")]
        );
    }
    for url in ["http://a:99999999/v1", "http://a:/v1", "http://a:x"] {
        assert!(with(url)[0].starts_with("InvalidUrl spec.url: "), "{url}");
    }
    for url in ["http://a", "https://a.test:8443/v1/", "http://[::1]:80/v1"] {
        assert_eq!(with(url), [""; 0], "{url}");
    }
}

#[test]
fn a_consumer_has_sorted_groups_and_a_state() {
    let index = index_of([consumer("a", "c")
        .groups(&["z", "b", "z"])
        .suspended()
        .event()]);
    assert_eq!(
        snapshot(&index, &Name::Consumer(name("a", "c"))),
        Some(Snapshot::Consumer(Consumer {
            name: name("a", "c"),
            groups: strings(&["b", "z"]),
            is_suspended: true,
        }))
    );
}

fn credential(index: &Index, realm: &str, api_key: &str) -> Option<Snapshot> {
    snapshot(
        index,
        &Name::Credential {
            realm: realm.into(),
            id: credential_id(api_key),
        },
    )
}

fn of(consumer: &str, not_after: Option<i64>) -> Option<Snapshot> {
    Some(Snapshot::Credential(Credential {
        consumer: name("a", consumer),
        not_after,
    }))
}

#[test]
fn a_key_is_found_by_its_digest_in_its_own_namespace() {
    let index = index_of([
        secret("a", "s", &[("k", &format!("{LONG_KEY}\n"))]),
        consumer("a", "c")
            .secret_key("s", "k")
            .key("other")
            .not_after(7)
            .event(),
    ]);
    assert_eq!(credential(&index, "a", LONG_KEY), of("c", None));
    assert_eq!(credential(&index, "a", "other"), of("c", Some(7)));
    assert_eq!(credential(&index, "b", LONG_KEY), None);
    assert_eq!(credential(&index, "a", "unknown"), None);
}

#[test]
fn one_bad_key_leaves_the_others_valid() {
    let index = index_of([
        secret("a", "s", &[("short", "0123456789012345678")]),
        consumer("a", "c")
            .secret_key("s", "short")
            .secret_key("t", "k")
            .key("good")
            .event(),
    ]);
    assert_eq!(credential(&index, "a", "good"), of("c", None));
    assert_eq!(credential(&index, "a", "0123456789012345678"), None);
    assert_eq!(
        told(&index, Kind::Consumer, "a", "c"),
        [
            "InvalidKey spec.apiKeys[0].secretRef: the key has fewer than 20 bytes and could be guessed; use a longer, random one",
            "SecretNotFound spec.apiKeys[1].secretRef: Secret a/t does not exist, or lacks the label turnpike.dev/credential: \"true\"",
        ]
    );
}

#[test]
fn the_older_consumer_keeps_a_key_that_two_hold() {
    let index = index_of([
        consumer("a", "new").created(2).key("shared").event(),
        consumer("a", "old").created(1).key("shared").event(),
    ]);
    assert_eq!(credential(&index, "a", "shared"), of("old", None));
    assert!(told(&index, Kind::Consumer, "a", "old").is_empty());
    assert_eq!(
        told(&index, Kind::Consumer, "a", "new"),
        [
            "KeyConflict spec.apiKeys[0]: Consumer a/old has the same key, and is older; give each its own"
        ]
    );
}

#[test]
fn a_key_that_a_consumer_lists_twice_counts_where_it_stands_first() {
    let index = index_of([consumer("a", "c").key("k").not_after(5).key("k").event()]);
    assert_eq!(credential(&index, "a", "k"), of("c", Some(5)));
    assert_eq!(
        told(&index, Kind::Consumer, "a", "c"),
        ["KeyConflict spec.apiKeys[1]: the same key as spec.apiKeys[0], which counts; remove one"]
    );
}

#[test]
fn a_quota_is_converted_and_listed_by_its_tenant() {
    let index = index_of([
        namespace("a", "uid-a", &[("plan", "gold")]),
        quota("a", "q").models(&["m*"]).tokens(5).event(),
        quota("a", "p").event(),
        quota("b", "q").event(),
    ]);
    assert_eq!(
        snapshot(&index, &Name::Quota(name("a", "q"))),
        Some(Snapshot::Quota(Quota {
            selector: QuotaSelector {
                models: strings(&["m*"]),
                ..QuotaSelector::default()
            },
            per: vec![CounterPer::Consumer],
            limits: vec![Limit {
                name: "minute".into(),
                amount: Amount::Tokens(5),
                window: Duration::from_secs(60),
            }],
            exceeded_message: None,
            on_store_failure: OnStoreFailure::Allow,
        }))
    );
    assert_eq!(
        snapshot(&index, &Name::Tenant("a".into())),
        Some(Snapshot::Tenant(Tenant {
            uid: "uid-a".into(),
            labels: [("plan".into(), "gold".into())].into(),
            quotas: vec![name("a", "p"), name("a", "q")],
        }))
    );
}

#[test]
fn a_namespace_that_is_not_known_has_no_tenant() {
    let index = index_of([quota("a", "q").event()]);
    assert_eq!(snapshot(&index, &Name::Tenant("a".into())), None);
}

#[test]
fn only_the_platform_namespace_may_bind_others() {
    let index = index_of([
        namespace("a", "uid-a", &[]),
        quota(PLATFORM, "q").namespaces("plan", "gold").event(),
        quota("a", "q").namespaces("plan", "gold").event(),
    ]);
    assert_eq!(
        snapshot(&index, &Name::Fleet),
        Some(Snapshot::Fleet(Fleet {
            quotas: vec![FleetQuota {
                quota: name(PLATFORM, "q"),
                namespace_labels: [("plan".into(), "gold".into())].into(),
            }],
        }))
    );
    assert_eq!(snapshot(&index, &Name::Quota(name("a", "q"))), None);
    assert_eq!(
        told(&index, Kind::TokenQuota, "a", "q"),
        [
            "NotPermitted spec.selector.namespaces: only TokenQuotas of the platform namespace \
          turnpike-system may select namespaces; the quota is not in force until this is removed"
        ]
    );
    let findings = findings(&index, &ObjectKey::new(Kind::TokenQuota, "a", "q")).unwrap();
    assert!(findings.names.is_empty());
}

#[test]
fn there_is_always_a_fleet() {
    assert_eq!(
        snapshot(&index(), &Name::Fleet),
        Some(Snapshot::Fleet(Fleet::default()))
    );
}

/// A template of the platform that admits the gold plan, and a tenant that names it.
fn tenant_of_plan() -> Index {
    index_of([
        namespace("t", "1", &[("plan", "gold")]),
        provider(PLATFORM, "p").event(),
        route(PLATFORM, "plan")
            .rule(&[], "p")
            .allow(&["gold"], &[])
            .grant(Some(("plan", "gold")))
            .event(),
        route("t", "main")
            .host("x.test")
            .rules_from(PLATFORM, "plan")
            .event(),
    ])
}

fn first_route(index: &Index, host: &str) -> Route {
    match domain(index, host) {
        Some(Snapshot::Domain(domain)) => domain.routes[0].clone(),
        other => panic!("{host} is no domain: {other:?}"),
    }
}

#[test]
fn a_tenant_refers_to_its_template_whose_providers_are_its_own() {
    let index = tenant_of_plan();
    let tenant = first_route(&index, "x.test");
    assert_eq!(
        tenant,
        Route {
            name: "main".into(),
            authentication: None,
            allow: None,
            rules: Vec::new(),
            max_body_bytes: None,
            head_bytes: None,
            heartbeat: None,
            on_disconnect: None,
            template: Some(Template::Rules(name(PLATFORM, "plan"))),
            suspension: None,
        }
    );
    let Some(Snapshot::Rules(rules)) = snapshot(&index, &Name::Rules(name(PLATFORM, "plan")))
    else {
        panic!("the template is a snapshot");
    };
    assert_eq!(rules.rules[0].backends[0].provider, name(PLATFORM, "p"));
    assert_eq!(rules.allow[0].groups, strings(&["gold"]));
    assert_eq!(rules.max_body_bytes, 32 << 20);
    for (namespace, route) in [("t", "main"), (PLATFORM, "plan")] {
        assert!(told(&index, Kind::AIRoute, namespace, route).is_empty());
    }
}

#[test]
fn a_heartbeat_is_the_routes_own_or_its_templates() {
    let mut index = tenant_of_plan();
    let plan = route(PLATFORM, "plan").rule(&[], "p").heartbeat("20s");
    index.apply(plan.grant(Some(("plan", "gold"))).event());
    assert_eq!(first_route(&index, "x.test").heartbeat, None);
    let Some(Snapshot::Rules(rules)) = snapshot(&index, &Name::Rules(name(PLATFORM, "plan")))
    else {
        panic!("the template is a snapshot");
    };
    assert_eq!(rules.heartbeat, Some(Duration::from_secs(20)));
    let own = route("t", "main").host("x.test").heartbeat("0s");
    index.apply(own.rules_from(PLATFORM, "plan").event());
    let heartbeat = first_route(&index, "x.test").heartbeat;
    assert_eq!(heartbeat, Some(Duration::ZERO));
}

#[test]
fn what_becomes_of_leavers_answers_is_the_routes_own_or_its_templates() {
    let mut index = tenant_of_plan();
    let plan = route(PLATFORM, "plan").rule(&[], "p");
    let plan = plan.on_disconnect(ai_route::OnDisconnect::Drain);
    index.apply(plan.grant(Some(("plan", "gold"))).event());
    assert_eq!(first_route(&index, "x.test").on_disconnect, None);
    let Some(Snapshot::Rules(rules)) = snapshot(&index, &Name::Rules(name(PLATFORM, "plan")))
    else {
        panic!("the template is a snapshot");
    };
    assert_eq!(rules.on_disconnect, Some(OnDisconnect::Drain));
    let own = route("t", "main").host("x.test");
    let own = own.on_disconnect(ai_route::OnDisconnect::Cancel);
    index.apply(own.rules_from(PLATFORM, "plan").event());
    let said = first_route(&index, "x.test").on_disconnect;
    assert_eq!(said, Some(OnDisconnect::Cancel));
}

#[test]
fn missing_and_denied_read_the_same() {
    let mut index = tenant_of_plan();
    let words = "TemplateNotFound spec.rulesFrom: AIRoute turnpike-system/plan does not exist, is \
                 no template (one has no hostnames), or does not admit namespace t; its owner adds \
                 it under spec.grants";
    index.apply(namespace("t", "1", &[]));
    assert_eq!(told(&index, Kind::AIRoute, "t", "main"), [words]);
    let denied = first_route(&index, "x.test");
    assert!(matches!(denied.template, Some(Template::Faulty { .. })));
    index.apply(namespace("t", "1", &[("plan", "gold")]));
    assert!(told(&index, Kind::AIRoute, "t", "main").is_empty());
    index.apply(delete(Kind::AIRoute, PLATFORM, "plan"));
    assert_eq!(told(&index, Kind::AIRoute, "t", "main"), [words]);
    assert_eq!(first_route(&index, "x.test"), denied);

    let backend = |index: &Index| first_route(index, "y.test").rules[0].backends[0].clone();
    index.apply(route("t", "own").host("y.test").rule(&[], "o/q").event());
    let missing = backend(&index);
    assert!(missing.fault.is_some());
    index.apply(provider("o", "q").event());
    assert_eq!(backend(&index), missing);
    assert_eq!(
        told(&index, Kind::AIRoute, "t", "own"),
        [
            "BackendNotFound spec.rules[0].backendRefs[0]: AIProvider o/q does not exist or does \
             not admit namespace t; its owner adds it under spec.grants"
        ]
    );
}

#[test]
fn a_provider_grants_models_and_takes_them_back() {
    let granting = |models: &[&str]| provider("o", "q").grant(Some(("plan", "gold")), models);
    let mut index = index_of([
        namespace("t", "1", &[("plan", "gold")]),
        granting(&["deep*", "["]).event(),
        route("t", "own").host("y.test").rule(&[], "o/q").event(),
    ]);
    let backend = |index: &Index| first_route(index, "y.test").rules[0].backends[0].clone();
    assert_eq!(backend(&index).models, strings(&["deep*"]));
    assert_eq!(
        told(&index, Kind::AIProvider, "o", "q").len(),
        1,
        "the glob that is none"
    );
    index.apply(granting(&[]).event());
    assert_eq!(
        (backend(&index).models, backend(&index).fault),
        (vec![], None)
    );
    index.apply(granting(&["["]).event());
    assert!(backend(&index).fault.is_some(), "no glob, no grant");
    index.apply(provider("o", "q").event());
    assert!(backend(&index).fault.is_some());
}

#[test]
fn a_templates_anonymous_consumer_is_one_of_each_tenant() {
    let mut index = tenant_of_plan();
    let plan = route(PLATFORM, "plan").rule(&[], "p").grant(None);
    index.apply(plan.clone().anonymous("guest").event());
    let guest = Authentication::Optional {
        anonymous_consumer: Some("guest".into()),
    };
    assert_eq!(first_route(&index, "x.test").authentication, Some(guest));
    let Some(Snapshot::Rules(rules)) = snapshot(&index, &Name::Rules(name(PLATFORM, "plan")))
    else {
        panic!("the template is a snapshot");
    };
    assert_eq!(rules.authentication, Authentication::Required);
    index.apply(plan.event());
    assert_eq!(first_route(&index, "x.test").authentication, None);
}

#[test]
fn closed_hosts_are_given_by_policy_annotation_or_platform() {
    let policy = HostnamePolicy::new(["{namespace}.maas.test".parse().unwrap()]);
    let mut index = index().with_hostname_policy(policy);
    let all = ["t.maas.test", "own.test", "*.wild.test"];
    let claims = all
        .into_iter()
        .fold(route("t", "r"), |route, host| route.host(host));
    apply(
        &mut index,
        [
            claims.event(),
            route(PLATFORM, "r").created(9).host("own.test").event(),
        ],
    );
    assert_eq!(routes(&index, "t.maas.test"), ["t/r"]);
    assert_eq!(routes(&index, "own.test"), ["turnpike-system/r"]);
    assert!(domain(&index, "*.wild.test").is_none());
    let refused = |host: &str, at: usize| {
        format!(
            "NotPermitted spec.hostnames[{at}]: namespace t may not claim {host}; who runs \
             the platform allows it by --hostname-policy, or by the annotation \
             turnpike.dev/allowed-hostnames on the Namespace"
        )
    };
    let expected = [refused("own.test", 1), refused("*.wild.test", 2)];
    assert_eq!(told(&index, Kind::AIRoute, "t", "r"), expected);

    index.apply(namespace_allowed(
        "t",
        "1",
        &[],
        &["own.test", "*.wild.test"],
    ));
    assert!(told(&index, Kind::AIRoute, "t", "r").is_empty());
    assert_eq!(routes(&index, "own.test"), ["t/r"], "the older claim");
    assert_eq!(
        told(&index, Kind::AIRoute, PLATFORM, "r"),
        [
            "HostnameConflict spec.hostnames[0]: own.test is claimed by an older route of namespace \
             t; choose another name here, or wait until it is given up"
        ]
    );
    index.apply(namespace("t", "1", &[]));
    assert_eq!(routes(&index, "own.test"), ["turnpike-system/r"]);
    assert!(domain(&index, "*.wild.test").is_none());
}

#[test]
fn where_hosts_are_open_an_older_wildcard_of_another_namespace_covers_its_names() {
    let mut index = index_of([
        route("b", "early").created(1).host("old.a.test").event(),
        route("a", "wild").created(2).host("*.a.test").event(),
        route("b", "late").created(3).host("new.a.test").event(),
        route("a", "own").created(4).host("own.a.test").event(),
    ]);
    assert_eq!(routes(&index, "old.a.test"), ["b/early"]);
    assert_eq!(routes(&index, "own.a.test"), ["a/own"]);
    assert!(domain(&index, "new.a.test").is_none());
    assert_eq!(
        told(&index, Kind::AIRoute, "b", "late"),
        [
            "HostnameConflict spec.hostnames[0]: new.a.test is below a wildcard of an older route \
             of another namespace; choose another name here, or wait until it is given up"
        ]
    );
    index.apply(delete(Kind::AIRoute, "a", "wild"));
    assert_eq!(routes(&index, "new.a.test"), ["b/late"]);
}
