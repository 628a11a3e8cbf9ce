//! Whatever plain data goes in comes out the same, and versions follow content.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::Version;
use crate::certificate::{Authority, Certificate, FleetCertificates, KeyedCertificate};
use crate::consumer::Consumer;
use crate::credential::Credential;
use crate::domain::{
    Authentication, Backend, Domain, Grant, HeaderMatch, Match, OnDisconnect, PathMatch, Route,
    Rule, Template,
};
use crate::endpoints::Endpoints;
use crate::name::{ObjectName, ServicePort};
use crate::proto;
use crate::provider::{
    AwsKey, Cloud, EgressProxy, EntraKey, GoogleServiceAccount, Halt, Halted, Identity, KeyHeader,
    KeySecret, Manner, Model, Provider, ProviderKey, ProviderKind, ProxyUser, Quirks, Service,
    Timeouts, Upstream, UpstreamTls,
};
use crate::quota::{Amount, CounterPer, Limit, OnStoreFailure, Quota, QuotaSelector};
use crate::retries::{Failure, Retries};
use crate::rules::Rules;
use crate::tenant::{Fleet, FleetQuota, Tenant};

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,8}"
}

fn words() -> impl Strategy<Value = Vec<String>> {
    vec(word(), 0..3)
}

fn object() -> impl Strategy<Value = ObjectName> {
    (word(), word()).prop_map(|(namespace, name)| ObjectName { namespace, name })
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(word(), word(), 0..3)
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..u64::from(u32::MAX)).prop_map(Duration::from_millis)
}

fn path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        word().prop_map(PathMatch::Exact),
        word().prop_map(PathMatch::Prefix)
    ]
}

fn a_match() -> impl Strategy<Value = Match> {
    let header = (word(), word()).prop_map(|(name, value)| HeaderMatch { name, value });
    (option::of(path()), words(), vec(header, 0..2), words()).prop_map(
        |(path, models, headers, groups)| Match {
            path,
            models,
            headers,
            groups,
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let backend = (
        object(),
        option::of(word()),
        any::<u32>(),
        words(),
        option::of(word()),
        any::<u32>(),
    )
        .prop_map(
            |(provider, model, weight, models, fault, priority)| Backend {
                provider,
                model,
                weight,
                priority,
                models,
                fault,
            },
        );
    (word(), vec(a_match(), 0..3), vec(backend, 0..3), retries()).prop_map(
        |(name, matches, backends, retries)| Rule {
            name,
            matches,
            backends,
            retries,
        },
    )
}

fn retries() -> impl Strategy<Value = Retries> {
    let failure = prop_oneof![
        Just(Failure::Timeout),
        Just(Failure::Connect),
        Just(Failure::RateLimited),
        Just(Failure::Server),
        Just(Failure::CredentialRejected),
    ];
    (
        vec(failure, 0..3),
        any::<bool>(),
        any::<u32>(),
        duration(),
        duration(),
    )
        .prop_map(
            |(conditions, is_failover, attempts, backoff, per_attempt_timeout)| Retries {
                conditions,
                is_failover,
                attempts,
                backoff,
                per_attempt_timeout,
            },
        )
}

fn authentication() -> impl Strategy<Value = Authentication> {
    prop_oneof![
        Just(Authentication::Required),
        option::of(word())
            .prop_map(|anonymous_consumer| Authentication::Optional { anonymous_consumer }),
    ]
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let grant = (words(), words(), words()).prop_map(|(consumers, groups, models)| Grant {
        consumers,
        groups,
        models,
    });
    vec(grant, 0..2)
}

fn route() -> impl Strategy<Value = Route> {
    let whole = (
        word(),
        authentication(),
        grants(),
        vec(rule(), 0..3),
        any::<u64>(),
    )
        .prop_map(
            |(name, authentication, allow, rules, max_body_bytes)| Route {
                on_disconnect: [None, Some(OnDisconnect::Cancel), Some(OnDisconnect::Drain)]
                    [usize::from(max_body_bytes as u8 % 3)],
                name,
                authentication: Some(authentication),
                allow: Some(allow),
                rules,
                max_body_bytes: Some(max_body_bytes),
                head_bytes: max_body_bytes
                    .is_multiple_of(3)
                    .then_some(max_body_bytes / 3),
                heartbeat: max_body_bytes
                    .is_multiple_of(2)
                    .then(|| Duration::from_millis(max_body_bytes / 2)),
                template: None,
                suspension: None,
            },
        );
    let template = prop_oneof![
        object().prop_map(Template::Rules),
        word().prop_map(|reason| Template::Faulty { reason }),
    ];
    let template = option::of((template, any::<[bool; 3]>()));
    (whole, template, option::of(word())).prop_map(|(mut route, template, suspension)| {
        route.suspension = suspension;
        if let Some((template, [authentication, allow, max_body_bytes])) = template {
            route.template = Some(template);
            route.authentication = route.authentication.filter(|_| authentication);
            route.allow = route.allow.filter(|_| allow);
            route.max_body_bytes = route.max_body_bytes.filter(|_| max_body_bytes);
        }
        route
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    (authentication(), grants(), vec(rule(), 0..3), any::<u64>()).prop_map(
        |(authentication, allow, rules, max_body_bytes)| Rules {
            on_disconnect: [None, Some(OnDisconnect::Cancel), Some(OnDisconnect::Drain)]
                [usize::from(max_body_bytes as u8 % 3)],
            authentication,
            allow,
            rules,
            max_body_bytes,
            head_bytes: max_body_bytes.is_multiple_of(2).then_some(7),
            heartbeat: max_body_bytes.is_multiple_of(3).then_some(Duration::ZERO),
        },
    )
}

fn manner() -> impl Strategy<Value = Manner> {
    let header = (word(), option::of(word())).prop_map(|(name, scheme)| KeyHeader { name, scheme });
    let quirks = (
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(word()),
    );
    let quirks = quirks.prop_map(|(developer_role, json_schema, reasoning)| Quirks {
        developer_role,
        json_schema,
        reasoning,
        ..Quirks::default()
    });
    let paths = vec((word(), word()), 0..3);
    (
        any::<bool>(),
        option::of(header),
        paths,
        quirks,
        option::of(word()),
    )
        .prop_map(
            |(drops_unsupported, key_header, paths, quirks, azure_api_version)| Manner {
                drops_unsupported,
                key_header,
                paths,
                quirks,
                azure_api_version,
            },
        )
}

fn provider() -> impl Strategy<Value = Provider> {
    let kind = prop_oneof![
        word().prop_map(ProviderKind::Vendor),
        word().prop_map(ProviderKind::Protocol)
    ];
    let key = (word(), key_secret()).prop_map(|(name, secret)| ProviderKey { name, secret });
    let model = || {
        (word(), option::of(word())).prop_map(|(name, upstream_model)| Model {
            name,
            upstream_model,
        })
    };
    let halt = prop_oneof![Just(Halt::Drain), Just(Halt::Blocked)];
    let halted = (halt, vec(model(), 0..3)).prop_map(|(halt, models)| Halted { halt, models });
    let timeouts = (duration(), duration(), duration(), duration()).prop_map(
        |(connect, first_token, idle, total)| Timeouts {
            connect,
            first_token,
            idle,
            total,
        },
    );
    let service = (object(), any::<u16>(), option::of("[/a-z0-9]{0,4}"));
    let service = service.prop_map(|(service, port, path)| {
        let port = ServicePort { service, port };
        Box::new(Service { port, path })
    });
    let upstream = (
        kind,
        option::of(word()),
        option::of(service),
        vec(key, 0..3),
        vec(model(), 0..3),
        timeouts,
        option::of(upstream_tls().prop_map(Box::new)),
        option::of(egress_proxy().prop_map(Box::new)),
        (
            option::of(manner().prop_map(Box::new)),
            option::of(cloud().prop_map(Box::new)),
        ),
    )
        .prop_map(
            |(kind, url, service, keys, models, timeouts, tls, egress_proxy, (manner, cloud))| {
                Upstream {
                    kind,
                    url,
                    service,
                    tls,
                    egress_proxy,
                    manner,
                    cloud,
                    keys,
                    models,
                    timeouts,
                }
            },
        );
    let faulty = (word(), any::<bool>()).prop_map(|(reason, keeps_previous)| Provider::Faulty {
        reason,
        keeps_previous,
    });
    prop_oneof![
        upstream.prop_map(Provider::Upstream),
        halted.prop_map(Provider::Halted),
        faulty,
    ]
}

fn cloud() -> impl Strategy<Value = Cloud> {
    prop_oneof![
        word().prop_map(|region| Cloud::Aws { region }),
        (option::of(word()), word())
            .prop_map(|(project, location)| Cloud::Gcp { project, location }),
    ]
}

fn key_secret() -> impl Strategy<Value = KeySecret> {
    let aws = (word(), word(), option::of(word()));
    let aws = aws.prop_map(|(access_key, secret_key, session_token)| AwsKey {
        access_key,
        secret_key,
        session_token,
    });
    let der = vec(any::<u8>(), 0..8);
    let google = (word(), option::of(word()), der, option::of(word()));
    let google = google.prop_map(
        |(email, key_id, private_key, token_uri)| GoogleServiceAccount {
            email,
            key_id,
            private_key,
            token_uri,
        },
    );
    let entra = (word(), word(), word(), option::of(word()));
    let entra = entra.prop_map(
        |(tenant_id, client_id, client_secret, authority)| EntraKey {
            tenant_id,
            client_id,
            client_secret,
            authority,
        },
    );
    prop_oneof![
        word().prop_map(KeySecret::Plain),
        aws.prop_map(KeySecret::Aws),
        google.prop_map(KeySecret::GoogleServiceAccount),
        entra.prop_map(KeySecret::Entra),
    ]
}

fn upstream_tls() -> impl Strategy<Value = UpstreamTls> {
    let der = || vec(any::<u8>(), 0..8);
    let identity = (vec(der(), 0..3), der()).prop_map(|(chain, key)| Identity { chain, key });
    let parts = (vec(der(), 0..3), option::of(identity), option::of(word()));
    parts.prop_map(|(authorities, identity, server_name)| UpstreamTls {
        authorities,
        identity,
        server_name,
    })
}

fn egress_proxy() -> impl Strategy<Value = EgressProxy> {
    let user = (word(), word()).prop_map(|(name, password)| ProxyUser { name, password });
    let parts = (word(), option::of(user));
    parts.prop_map(|(address, user)| EgressProxy { address, user })
}

fn quota() -> impl Strategy<Value = Quota> {
    let amount = prop_oneof![
        any::<u64>().prop_map(Amount::Tokens),
        any::<u64>().prop_map(Amount::Requests)
    ];
    let limit = (word(), amount, duration()).prop_map(|(name, amount, window)| Limit {
        name,
        amount,
        window,
    });
    let selector =
        (words(), words(), words(), words()).prop_map(|(consumers, groups, routes, models)| {
            QuotaSelector {
                consumers,
                groups,
                routes,
                models,
            }
        });
    let per = prop_oneof![
        Just(vec![CounterPer::Consumer]),
        Just(vec![CounterPer::Consumer, CounterPer::Namespace])
    ];
    let on_store_failure = prop_oneof![Just(OnStoreFailure::Allow), Just(OnStoreFailure::Deny)];
    (
        selector,
        per,
        vec(limit, 0..3),
        option::of(word()),
        on_store_failure,
    )
        .prop_map(
            |(selector, per, limits, exceeded_message, on_store_failure)| Quota {
                selector,
                per,
                limits,
                exceeded_message,
                on_store_failure,
            },
        )
}

fn domain() -> impl Strategy<Value = Domain> {
    let objects = || vec(object(), 0..3);
    (word(), vec(route(), 0..3), objects(), objects()).prop_map(
        |(namespace, routes, certificates, client_authorities)| Domain {
            namespace,
            routes,
            certificates,
            client_authorities,
        },
    )
}

fn ders() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..4), 0..3)
}

fn certificate() -> impl Strategy<Value = Certificate> {
    let usable = (words(), ders(), vec(any::<u8>(), 0..4), any::<i64>()).prop_map(
        |(names, chain, key, not_after)| KeyedCertificate {
            names,
            chain,
            key,
            not_after,
        },
    );
    prop_oneof![
        usable.prop_map(Certificate::Usable),
        word().prop_map(|reason| Certificate::Faulty { reason }),
    ]
}

fn authority() -> impl Strategy<Value = Authority> {
    prop_oneof![
        ders().prop_map(Authority::Usable),
        word().prop_map(|reason| Authority::Faulty { reason }),
    ]
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let fleet_quota = (object(), labels()).prop_map(|(quota, namespace_labels)| FleetQuota {
        quota,
        namespace_labels,
    });
    prop_oneof![
        domain().prop_map(Snapshot::Domain),
        certificate().prop_map(Snapshot::Certificate),
        authority().prop_map(Snapshot::Authority),
        vec(object(), 0..3).prop_map(|certificates| {
            Snapshot::FleetCertificates(FleetCertificates { certificates })
        }),
        word().prop_map(Snapshot::Alias),
        provider().prop_map(Snapshot::Provider),
        (
            vec(
                any::<std::net::SocketAddr>().prop_filter("plain", is_plain),
                0..3
            ),
            any::<bool>()
        )
            .prop_map(|(addresses, is_http2)| Snapshot::Endpoints(Endpoints {
                addresses,
                is_http2
            })),
        rules().prop_map(Snapshot::Rules),
        (object(), option::of(any::<i64>())).prop_map(
            |(consumer, not_after)| Snapshot::Credential(Credential {
                consumer,
                not_after
            })
        ),
        (object(), words(), any::<bool>()).prop_map(|(name, groups, is_suspended)| {
            Snapshot::Consumer(Consumer {
                name,
                groups,
                is_suspended,
            })
        }),
        quota().prop_map(Snapshot::Quota),
        (word(), labels(), vec(object(), 0..3)).prop_map(|(uid, labels, quotas)| Snapshot::Tenant(
            Tenant {
                uid,
                labels,
                quotas
            }
        )),
        vec(fleet_quota, 0..3).prop_map(|quotas| Snapshot::Fleet(Fleet { quotas })),
    ]
}

/// Scope and flow are of a machine's own, and are not told.
fn is_plain(address: &std::net::SocketAddr) -> bool {
    *address == std::net::SocketAddr::new(address.ip(), address.port())
}

proptest! {
    #[test]
    fn snapshots_survive_a_round_trip(snapshot in snapshot()) {
        let content = Content::from(&snapshot);
        prop_assert_eq!(Snapshot::try_from(content), Ok(snapshot));
    }

    #[test]
    fn versions_are_equal_just_when_contents_are(a in snapshot(), b in snapshot()) {
        prop_assert_eq!(Version::of(&a), Version::of(&a.clone()));
        prop_assert_eq!(Version::of(&a) == Version::of(&b), a == b);
    }
}

#[test]
fn the_version_of_a_known_snapshot_stays_what_it_was() {
    let consumer = Consumer {
        name: ObjectName::new("tenant", "alice"),
        groups: vec!["gold".into()],
        is_suspended: false,
    };
    assert_eq!(
        Version::of(&Snapshot::Consumer(consumer)).to_string(),
        "4ca266f464c146f58e26125ecd3af059"
    );
}

#[test]
fn the_version_of_a_domain_without_newer_members_stays_what_it_was() {
    let backend = Backend {
        provider: ObjectName::new("tenant", "echo"),
        model: None,
        weight: 1,
        priority: 0,
        models: Vec::new(),
        fault: None,
    };
    let rule = Rule {
        name: "rules[0]".into(),
        matches: Vec::new(),
        backends: vec![backend],
        retries: Retries::default(),
    };
    let route = Route {
        name: "main".into(),
        authentication: Some(Authentication::Required),
        allow: Some(Vec::new()),
        rules: vec![rule],
        max_body_bytes: Some(1024),
        head_bytes: None,
        heartbeat: None,
        on_disconnect: None,
        template: None,
        suspension: None,
    };
    let domain = Snapshot::Domain(Domain {
        namespace: "tenant".into(),
        routes: vec![route],
        certificates: Vec::new(),
        client_authorities: Vec::new(),
    });
    assert!(domain.features().is_empty());
    assert_eq!(
        Version::of(&domain).to_string(),
        "778e5b4ad466532410e30e255452a1dc"
    );
}

#[test]
fn a_route_or_template_that_drains_needs_a_data_plane_that_does() {
    let features = |on_disconnect| {
        let mut rules = Rules {
            authentication: Authentication::Required,
            allow: Vec::new(),
            rules: Vec::new(),
            max_body_bytes: 1,
            head_bytes: None,
            heartbeat: None,
            on_disconnect: None,
        };
        rules.on_disconnect = on_disconnect;
        let route = Route {
            name: "main".into(),
            authentication: None,
            allow: None,
            rules: Vec::new(),
            max_body_bytes: None,
            head_bytes: None,
            heartbeat: None,
            on_disconnect,
            template: None,
            suspension: None,
        };
        let domain = Domain {
            routes: vec![route],
            ..Domain::default()
        };
        let snapshots = [Snapshot::Rules(rules), Snapshot::Domain(domain)];
        snapshots.map(|snapshot| snapshot.features())
    };
    let drain = [crate::ON_DISCONNECT.to_owned()];
    assert_eq!(features(Some(OnDisconnect::Drain)), [drain.clone(), drain]);
    for said in [None, Some(OnDisconnect::Cancel)] {
        assert_eq!(features(said), [[], []] as [[String; 0]; 2]);
    }
}

#[test]
fn an_old_data_plane_is_not_told_of_a_halted_provider() {
    let halted = Halted {
        halt: Halt::Drain,
        models: Vec::new(),
    };
    let halted = Snapshot::Provider(Provider::Halted(halted));
    assert_eq!(halted.features(), [crate::HALT]);
}

#[test]
fn a_provider_in_the_cluster_needs_its_endpoints_and_a_data_plane_that_knows_them() {
    let port: ServicePort = "tenant/vllm/8000".parse().expect("a name");
    let upstream = Upstream {
        kind: ProviderKind::Protocol("OpenAI".into()),
        url: None,
        service: Some(Box::new(Service {
            port: port.clone(),
            path: None,
        })),
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
        keys: Vec::new(),
        models: Vec::new(),
        timeouts: Timeouts {
            connect: Duration::ZERO,
            first_token: Duration::ZERO,
            idle: Duration::ZERO,
            total: Duration::ZERO,
        },
    };
    let provider = Snapshot::Provider(Provider::Upstream(upstream));
    assert_eq!(provider.references(), [Name::Endpoints(port)]);
    assert_eq!(provider.features(), ["protocol/OpenAI", "endpoints"]);
    let endpoints = Snapshot::Endpoints(Endpoints::default());
    assert_eq!(endpoints.features(), ["endpoints"]);
    let endpoints = Snapshot::Endpoints(Endpoints {
        is_http2: true,
        ..Endpoints::default()
    });
    assert_eq!(endpoints.features(), ["endpoints", "h2c"]);
}

#[test]
fn a_data_plane_that_would_ignore_how_to_connect_gets_nothing() {
    let upstream = Upstream {
        kind: ProviderKind::Vendor("OpenAI".into()),
        url: None,
        service: None,
        tls: Some(Box::new(UpstreamTls::default())),
        egress_proxy: Some(Box::new(EgressProxy {
            address: "proxy:3128".into(),
            user: None,
        })),
        manner: Some(Box::new(Manner::default())),
        cloud: None,
        keys: Vec::new(),
        models: Vec::new(),
        timeouts: Timeouts {
            connect: Duration::ZERO,
            first_token: Duration::ZERO,
            idle: Duration::ZERO,
            total: Duration::ZERO,
        },
    };
    let provider = Snapshot::Provider(Provider::Upstream(upstream));
    let features = [
        "vendor/OpenAI",
        "provider-tls",
        "egress-proxy",
        "provider-manner",
    ];
    assert_eq!(provider.features(), features);
}

fn of_cloud(cloud: Option<Cloud>, secret: KeySecret) -> Snapshot {
    let name = "main".into();
    Snapshot::Provider(Provider::Upstream(Upstream {
        kind: ProviderKind::Vendor("OpenAI".into()),
        url: None,
        service: None,
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: cloud.map(Box::new),
        keys: vec![ProviderKey { name, secret }],
        models: Vec::new(),
        timeouts: Timeouts {
            connect: Duration::ZERO,
            first_token: Duration::ZERO,
            idle: Duration::ZERO,
            total: Duration::ZERO,
        },
    }))
}

fn made() -> [KeySecret; 3] {
    let canary = || "canary".to_owned();
    [
        KeySecret::Aws(AwsKey {
            access_key: canary(),
            secret_key: canary(),
            session_token: Some(canary()),
        }),
        KeySecret::GoogleServiceAccount(GoogleServiceAccount {
            email: canary(),
            key_id: Some(canary()),
            private_key: b"canary".to_vec(),
            token_uri: Some(canary()),
        }),
        KeySecret::Entra(EntraKey {
            tenant_id: canary(),
            client_id: canary(),
            client_secret: canary(),
            authority: Some(canary()),
        }),
    ]
}

#[test]
fn only_a_data_plane_that_signs_is_told_of_what_signs() {
    let features = |cloud, secret| of_cloud(cloud, secret).features();
    assert_eq!(features(None, "k".into()), ["vendor/OpenAI"]);
    let region = "eu-west-1".into();
    let aws = Some(Cloud::Aws { region });
    assert_eq!(features(aws, "k".into()), ["vendor/OpenAI", "clouds"]);
    for secret in made() {
        assert_eq!(features(None, secret), ["vendor/OpenAI", "clouds"]);
    }
}

#[test]
fn a_plain_key_is_said_as_it_always_was() {
    let key = ProviderKey {
        name: "main".into(),
        secret: "k".into(),
    };
    let said = prost::Message::encode_to_vec(&proto::ProviderKey::from(&key));
    assert_eq!(said, b"\x0a\x04main\x12\x01k");
}

#[test]
fn what_signs_is_never_shown() {
    for secret in made() {
        let shown = match &secret {
            KeySecret::Plain(_) => String::new(),
            KeySecret::Aws(key) => format!("{key:?}"),
            KeySecret::GoogleServiceAccount(account) => format!("{account:?}"),
            KeySecret::Entra(key) => format!("{key:?}"),
        };
        let shown = format!("{shown} {:?}", of_cloud(None, secret));
        let canaries = ["canary", "99, 97, 110"];
        assert!(canaries.iter().all(|it| !shown.contains(it)), "{shown}");
    }
}

#[test]
fn how_to_connect_is_shown_without_its_secrets() {
    let identity = Identity {
        chain: vec![b"canary".to_vec()],
        key: b"canary".to_vec(),
    };
    let user = ProxyUser {
        name: "canary".into(),
        password: "canary".into(),
    };
    let proxy = EgressProxy {
        address: "proxy:3128".into(),
        user: Some(user.clone()),
    };
    let shown = format!("{identity:?} {user:?} {proxy:?}");
    let canaries = ["canary", "99, 97, 110"];
    assert!(canaries.iter().all(|it| !shown.contains(it)), "{shown}");
    assert!(shown.contains("proxy:3128"), "{shown}");
}

#[test]
fn an_endpoint_without_an_address_is_refused() {
    let endpoint = |ip: &[u8], port| proto::Endpoint {
        ip: ip.to_vec(),
        port,
    };
    for endpoint in [endpoint(&[10, 0, 0], 80), endpoint(&[10, 0, 0, 1], 65_536)] {
        let endpoints = proto::Endpoints {
            endpoints: vec![endpoint],
            http2: false,
        };
        assert!(Endpoints::try_from(endpoints).is_err());
    }
}

#[test]
fn a_snapshot_under_the_name_of_another_kind_is_refused() {
    let content = Content::from(&Snapshot::Fleet(Fleet::default()));
    assert_eq!(
        read(&Name::Tenant("a".into()), content),
        Err(ConvertError::WrongKind("tenant/a".into()))
    );
}

#[test]
fn an_empty_message_is_refused_by_name() {
    assert_eq!(
        Snapshot::try_from(Content::default()),
        Err(ConvertError::Missing("content"))
    );
}

#[test]
fn only_a_domain_with_tls_needs_a_data_plane_that_knows_it() {
    let features = |certificates: &[ObjectName], client_authorities: &[ObjectName]| {
        let domain = Domain {
            namespace: "tenant".into(),
            routes: Vec::new(),
            certificates: certificates.into(),
            client_authorities: client_authorities.into(),
        };
        Snapshot::Domain(domain).features()
    };
    let name = [ObjectName::new("tenant", "own-cert")];
    assert!(features(&[], &[]).is_empty());
    assert_eq!(features(&name, &[]), ["tls"]);
    assert_eq!(features(&[], &name), ["tls"]);
}
