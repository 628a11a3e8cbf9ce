//! What connections to a provider are made with, and what is told where that cannot be had.

use turnpike_crds::AIProvider;
use turnpike_crds::ai_provider::CaCertificateKind::{self, ConfigMap};
use turnpike_snapshot::provider::{EgressProxy, ProxyUser, UpstreamTls};

use super::*;
use crate::index::Touched;
use crate::source::Event;

/// The provider `a/p`, at a vendor's address.
fn vendor() -> Builder<AIProvider> {
    let mut provider = provider("a", "p");
    provider.0.spec.vendor = Some(turnpike_crds::ai_provider::Vendor::OpenAI);
    provider
}

fn compiled(index: &Index) -> Provider {
    match snapshot(index, &Name::Provider(name("a", "p"))) {
        Some(Snapshot::Provider(provider)) => provider,
        other => panic!("{other:?}"),
    }
}

fn tls(index: &Index) -> UpstreamTls {
    match compiled(index) {
        Provider::Upstream(upstream) => *upstream.tls.expect("TLS settings"),
        other => panic!("{other:?}"),
    }
}

fn issues_of(index: &Index) -> Vec<String> {
    told(index, Kind::AIProvider, "a", "p")
}

struct Made {
    chain: String,
    key: String,
    der: Vec<u8>,
}

fn made() -> Made {
    let made = rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
    Made {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().to_vec(),
    }
}

#[test]
fn what_is_named_comes_along_and_is_shown_without_its_secrets() {
    let (made, ca) = (made(), made());
    let provider = vendor()
        .authorities(ConfigMap, "ca")
        .client_certificate("own")
        .server_name("inner.test")
        .egress_proxy("http://proxy.test:3128", Some("user"));
    let index = index_of([
        provider.event(),
        config_map("a", "ca", Some(&format!("{}{}", ca.chain, made.chain))),
        secret(
            "a",
            "own",
            &[("tls.crt", &made.chain), ("tls.key", &made.key)],
        ),
        secret(
            "a",
            "user",
            &[("username", "gateway"), ("password", "canary")],
        ),
    ]);
    let found = findings(&index, &ObjectKey::new(Kind::AIProvider, "a", "p")).unwrap();
    let shown = found.certificates.iter().map(|shown| &shown.secret);
    assert_eq!(shown.collect::<Vec<_>>(), [&name("a", "own")]);
    let tls = tls(&index);
    assert_eq!(tls.authorities, [ca.der, made.der.clone()]);
    assert_eq!(tls.server_name.as_deref(), Some("inner.test"));
    assert_eq!(tls.identity.expect("a certificate").chain, [made.der]);
    let Provider::Upstream(upstream) = compiled(&index) else {
        panic!("not usable");
    };
    assert!(!format!("{upstream:?}").contains("canary"));
    let user = ProxyUser {
        name: "gateway".into(),
        password: "canary".into(),
    };
    let proxy = EgressProxy {
        address: "proxy.test:3128".into(),
        user: Some(user),
    };
    assert_eq!(upstream.egress_proxy, Some(Box::new(proxy)));
    assert!(issues_of(&index).is_empty());
}

#[test]
fn cas_may_be_in_a_secret_as_well() {
    let made = made();
    let provider = vendor().authorities(CaCertificateKind::Secret, "ca");
    let index = index_of([
        provider.event(),
        secret("a", "ca", &[("ca.crt", &made.chain)]),
    ]);
    assert_eq!(tls(&index).authorities, [made.der]);
}

#[test]
fn what_is_gone_takes_the_provider_out_of_use_and_what_is_broken_keeps_its_last_good_form() {
    let made = made();
    let provider = || {
        vendor()
            .authorities(ConfigMap, "ca")
            .client_certificate("own")
    };
    let ca = || config_map("a", "ca", Some(&made.chain));
    let own = |key: &str| secret("a", "own", &[("tls.crt", &made.chain), ("tls.key", key)]);
    let ca_path = "InvalidCertificateRef spec.tls.caCertificateRef: ";
    let own_path = "InvalidCertificateRef spec.tls.clientCertificateRef: ";
    let lacking = "does not exist, or lacks the label turnpike.dev/credential: \"true\"";
    let cases: [(Vec<Event>, bool, String); 5] = [
        (
            vec![own(&made.key)],
            false,
            format!("{ca_path}ConfigMap a/ca {lacking}"),
        ),
        (
            vec![ca()],
            false,
            format!("{own_path}Secret a/own {lacking}"),
        ),
        (
            vec![own(&made.key), config_map("a", "ca", None)],
            true,
            format!("{ca_path}ConfigMap a/ca has no key \"ca.crt\"; add it"),
        ),
        (
            vec![own(&made.key), config_map("a", "ca", Some("no PEM"))],
            true,
            format!("{ca_path}ConfigMap a/ca: ca.crt is no list of CA certificates in PEM"),
        ),
        (
            vec![ca(), own("no PEM")],
            true,
            format!("{own_path}Secret a/own: tls.key is no private"),
        ),
    ];
    for (events, is_kept, words) in cases {
        let index = index_of([provider().event()].into_iter().chain(events));
        let snapshot = Snapshot::Provider(compiled(&index));
        assert_eq!(snapshot.keeps_previous(), is_kept, "{words}");
        let [issue] = &issues_of(&index)[..] else {
            panic!("{words}: {:?}", issues_of(&index));
        };
        assert!(issue.starts_with(&words), "{issue}\nis not\n{words}");
        assert_eq!(
            issue.ends_with("last good form stays in force"),
            is_kept,
            "{issue}"
        );
    }
}

#[test]
fn a_user_of_a_proxy_is_two_lines_of_text() {
    let provider = || vendor().egress_proxy("http://proxy.test:3128", Some("user"));
    let path = "spec.egressProxy.secretRef: ";
    for (values, is_kept, words) in [
        (
            None,
            false,
            "SecretNotFound spec.egressProxy.secretRef: Secret a/user does not exist",
        ),
        (
            Some([("username", "canary"), ("other", "x")]),
            true,
            "has no key \"password\"",
        ),
        (
            Some([("username", "can:ary"), ("password", "x")]),
            true,
            "username has a colon",
        ),
        (
            Some([("username", "x"), ("password", "ca\nnary")]),
            true,
            "password is not one line",
        ),
    ] {
        let values = values.map(|values| secret("a", "user", &values));
        let index = index_of([provider().event()].into_iter().chain(values));
        let snapshot = Snapshot::Provider(compiled(&index));
        assert_eq!(snapshot.keeps_previous(), is_kept, "{words}");
        let issue = issues_of(&index).join("; ");
        assert!(issue.contains(path) && issue.contains(words), "{issue}");
        assert!(
            !issue.contains("canary") && !issue.contains("can:ary"),
            "{issue}"
        );
    }
}

#[test]
fn settings_that_cannot_be_meant_are_told() {
    let long = "a".repeat(64);
    for (provider, words) in [
        (
            vendor().url("http://a.test/v1").server_name("b.test"),
            "InvalidTls spec.tls: spec.url begins with http://",
        ),
        (
            vendor().server_name(&long),
            "InvalidTls spec.tls.serverName: is no host name",
        ),
        (
            vendor().egress_proxy("http://proxy.test:99999", None),
            "InvalidUrl spec.egressProxy.url: is no URL, or its port is none of 1 to 65535",
        ),
    ] {
        let index = index_of([provider.event()]);
        assert!(
            matches!(compiled(&index), Provider::Faulty { .. }),
            "{words}"
        );
        let issues = issues_of(&index);
        assert!(issues.iter().any(|it| it.starts_with(words)), "{issues:?}");
    }
}

#[test]
fn a_config_map_and_a_secret_touch_the_providers_that_name_them_alone() {
    let with = vendor()
        .authorities(ConfigMap, "ca")
        .client_certificate("own");
    let mut index = index_of([with.event(), provider("a", "other").event()]);
    let expected = |touched: Touched| {
        assert_eq!(
            Vec::from_iter(touched.names),
            [Name::Provider(name("a", "p"))]
        );
        assert_eq!(touched.objects.len(), 1);
    };
    expected(index.apply(config_map("a", "ca", Some("x"))));
    assert!(index.apply(config_map("a", "ca", Some("x"))).is_empty());
    expected(index.apply(config_map("a", "ca", None)));
    expected(index.apply(delete(Kind::ConfigMap, "a", "ca")));
    expected(index.apply(secret("a", "own", &[])));
    assert!(index.apply(config_map("b", "ca", Some("x"))).is_empty());
}
