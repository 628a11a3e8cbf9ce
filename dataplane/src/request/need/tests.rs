//! Which need follows from which rule.

use std::time::Duration;

use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::domain::{Authentication, Backend, Domain, Grant, Match, Route, Rule};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{
    AwsKey, Cloud, KeySecret, Model, Provider, ProviderKey, ProviderKind, Timeouts, Upstream,
};
use turnpike_snapshot::quota::{OnStoreFailure, Quota, QuotaSelector};
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::tenant::{Fleet, Tenant};
use turnpike_snapshot::{Name, Snapshot};

use super::*;
use crate::Store;

fn upstream(kind: ProviderKind, models: &[&str]) -> Provider {
    let model = |name: &&str| Model {
        name: (*name).into(),
        upstream_model: None,
    };
    let second = Duration::from_secs(1);
    Provider::Upstream(Upstream {
        kind,
        url: Some("https://a.test/v1".into()),
        service: None,
        keys: Vec::new(),
        models: models.iter().map(model).collect(),
        timeouts: Timeouts {
            connect: second,
            first_token: second,
            idle: second,
            total: second,
        },
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
    })
}

/// Speaks what passes, and wants a signature over all of it.
fn signed() -> Provider {
    let mut provider = upstream(ProviderKind::Protocol("OpenAI".into()), &[]);
    if let Provider::Upstream(upstream) = &mut provider {
        let region = "eu-west-1".into();
        upstream.cloud = Some(Box::new(Cloud::Aws { region }));
        upstream.keys.push(ProviderKey {
            name: "main".into(),
            secret: KeySecret::Aws(AwsKey {
                access_key: "a".into(),
                secret_key: "s".into(),
                session_token: None,
            }),
        });
    }
    provider
}

fn backend(provider: &str) -> Backend {
    Backend {
        provider: ObjectName::new("t", provider),
        model: None,
        weight: 1,
        priority: 0,
        models: Vec::new(),
        fault: None,
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn rule(models: &[&str], backends: Vec<Backend>) -> Rule {
    Rule {
        name: "r".into(),
        matches: vec![Match {
            models: texts(models),
            ..Match::default()
        }],
        backends,
        retries: Retries::default(),
    }
}

/// The routes of a domain of one rule, with a grant and a quota for these models.
fn routes(rule: Rule, granted: &[&str], counted: &[&str]) -> Routes {
    let name = |name: &str| ObjectName::new("t", name);
    let selector = QuotaSelector {
        models: texts(counted),
        ..QuotaSelector::default()
    };
    let quota = Quota {
        selector,
        per: Vec::new(),
        limits: Vec::new(),
        exceeded_message: None,
        on_store_failure: OnStoreFailure::Allow,
    };
    let tenant = Tenant {
        uid: "u".into(),
        labels: Default::default(),
        quotas: vec![name("q")],
    };
    let grant = Grant {
        consumers: Vec::new(),
        groups: Vec::new(),
        models: texts(granted),
    };
    let route = Route {
        name: "main".into(),
        authentication: Some(Authentication::Required),
        allow: Some(vec![grant]),
        rules: vec![rule],
        max_body_bytes: Some(1),
        head_bytes: None,
        heartbeat: None,
        on_disconnect: None,
        template: None,
        suspension: None,
    };
    let domain = Domain {
        namespace: "t".into(),
        routes: vec![route],
        ..Domain::default()
    };
    let openai = || ProviderKind::Protocol("OpenAI".into());
    let provider = |at: &str, kind, models: &[&str]| {
        let provider = upstream(kind, models);
        (Name::Provider(name(at)), Snapshot::Provider(provider))
    };
    let snapshots = vec![
        provider("plain", openai(), &[]),
        provider("listing", openai(), &["m"]),
        provider("other", ProviderKind::Protocol("Anthropic".into()), &[]),
        provider("echo", ProviderKind::Vendor("Echo".into()), &[]),
        (Name::Provider(name("signed")), Snapshot::Provider(signed())),
        (Name::Quota(name("q")), Snapshot::Quota(quota)),
        (Name::Tenant("t".into()), Snapshot::Tenant(tenant)),
        (Name::Fleet, Snapshot::Fleet(Fleet::default())),
        (Name::Domain("a.test".into()), Snapshot::Domain(domain)),
    ];
    let store = Store::with_snapshots(vec![FleetKey::new("1", vec![7; 32])], snapshots);
    Routes::of(store.get_domain("a.test").unwrap())
}

#[test]
fn the_model_is_needed_where_something_is_found_by_it() {
    for (matched, granted, counted, expected) in [
        (&[][..], &[][..], &[][..], Need::Nothing),
        (&["m*"], &[], &[], Need::Head),
        (&[], &["m"], &[], Need::Head),
        (&[], &[], &["m"], Need::Head),
    ] {
        let routes = routes(rule(matched, vec![backend("plain")]), granted, counted);
        let case = format!("{matched:?} {granted:?} {counted:?}");
        assert_eq!(for_matching(&routes), expected, "{case}");
    }
}

#[test]
fn what_is_sent_needs_as_much_as_the_neediest_provider() {
    let renaming = Backend {
        model: Some("m".into()),
        ..backend("plain")
    };
    let granting = Backend {
        models: texts(&["m*"]),
        ..backend("plain")
    };
    let unused = Backend {
        weight: 0,
        ..backend("echo")
    };
    for (backends, expected) in [
        (vec![backend("plain")], Need::Nothing),
        (vec![backend("plain"), unused], Need::Nothing),
        (vec![backend("missing")], Need::Nothing),
        (vec![backend("listing")], Need::Head),
        (vec![renaming], Need::Head),
        (vec![backend("plain"), granting], Need::Head),
        (vec![backend("other")], Need::Whole),
        (vec![backend("signed")], Need::Whole),
        (vec![backend("plain"), backend("echo")], Need::Whole),
    ] {
        let routes = routes(rule(&[], backends.clone()), &[], &[]);
        let route = routes.iter().next().unwrap();
        let rule = route.rules().next().unwrap();
        assert_eq!(
            for_sending(rule, Endpoint::ChatCompletions),
            expected,
            "{backends:?}"
        );
    }
}
