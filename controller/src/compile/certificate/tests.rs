//! Secrets to certificates, and what routes are told of them.

use turnpike_snapshot::{Name, Snapshot};

use super::*;
use crate::compile::{findings, issues, objects, snapshot};
use crate::index::Touched;
use crate::source::{Event, Kind, ObjectKey};
use crate::testing::{self, Builder, Tell, apply, delete, name, route, secret};

/// Chain and key in PEM.
struct Pair {
    chain: String,
    key: String,
}

fn pair(names: &[&str]) -> Pair {
    let names: Vec<String> = testing::strings(names);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    Pair {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

impl Pair {
    fn secret(&self, name: &str) -> Event {
        secret("a", name, &[(CHAIN, &self.chain), (KEY, &self.key)])
    }
}

/// An index that also has what the routes send to.
fn index_of(events: impl IntoIterator<Item = Event>) -> Index {
    let provider = testing::provider("a", "echo").event();
    testing::index_of([provider].into_iter().chain(events))
}

fn with_certificates(hosts: &[&str], certificates: &[&str]) -> Builder<turnpike_crds::AIRoute> {
    let mut route = route("a", "r").rule(&[], "echo");
    for host in hosts {
        route = route.host(host);
    }
    for certificate in certificates {
        route = route.certificate(certificate);
    }
    route
}

fn certificate(secret: &str) -> Name {
    Name::Certificate(name("a", secret))
}

fn compiled(index: &Index, secret: &str) -> Option<Certificate> {
    match snapshot(index, &certificate(secret))? {
        Snapshot::Certificate(certificate) => Some(certificate),
        other => panic!("{other:?}"),
    }
}

fn told(index: &Index) -> Vec<(&'static str, String, String)> {
    let issues = issues(index, &ObjectKey::new(Kind::AIRoute, "a", "r")).unwrap();
    let parts = issues
        .into_iter()
        .map(|it| (it.reason, it.path, it.message));
    parts.collect()
}

#[test]
fn a_domain_refers_to_the_certificates_and_authorities_of_all_its_routes() {
    let old = with_certificates(&["a.test"], &["one", "two"]).created(1);
    let mut young = with_certificates(&["a.test"], &["two", "three"]).created(2);
    young.0.metadata.name = Some("s".into());
    let index = index_of([old.client_ca("ca").event(), young.event()]);
    let Some(Snapshot::Domain(domain)) = snapshot(&index, &Name::Domain("a.test".into())) else {
        panic!("no domain");
    };
    let expected = ["one", "two", "three"].map(|secret| name("a", secret));
    assert_eq!(domain.certificates, expected);
    assert_eq!(domain.client_authorities, [name("a", "ca")]);
}

#[test]
fn a_certificate_is_told_with_its_names_and_its_end_and_shows_no_key() {
    let made = pair(&["B.test", "*.a.test", "a.test"]);
    let route = with_certificates(&["x.a.test"], &["own"]);
    let index = index_of([route.event(), made.secret("own")]);
    let Some(Certificate::Usable(usable)) = compiled(&index, "own") else {
        panic!("not usable");
    };
    assert_eq!(usable.names, ["*.a.test", "a.test", "b.test"]);
    assert_eq!(usable.chain.len(), 1);
    assert!(told(&index).is_empty());
    let findings = findings(&index, &ObjectKey::new(Kind::AIRoute, "a", "r")).unwrap();
    assert!(findings.names.contains(&certificate("own")));
    let shown = Shown {
        secret: name("a", "own"),
        not_after: Timestamp::from_second(usable.not_after).unwrap(),
    };
    assert_eq!(findings.certificates, [shown]);
    let key = ObjectKey::new(Kind::AIRoute, "a", "r");
    assert_eq!(objects(&index, &certificate("own")), [key]);
}

#[test]
fn what_is_no_certificate_keeps_the_last_good_one_and_is_told_with_its_mend() {
    let (made, other) = (pair(&["a.test"]), pair(&["a.test"]));
    let foreign = pair(&["elsewhere.test"]);
    let half = made.chain.replace("END CERT", "END");
    let cases: [([(&str, &str); 2], &str); 6] = [
        (
            [(CHAIN, "canary-chain"), (KEY, &made.key)],
            "no certificate in PEM",
        ),
        ([(CHAIN, &half), (KEY, &made.key)], "no certificate in PEM"),
        (
            [(CHAIN, &made.chain), (KEY, "canary-key")],
            "no private key in PEM",
        ),
        (
            [(CHAIN, &made.chain), (KEY, &other.key)],
            "not the key of the certificate",
        ),
        (
            [(CHAIN, &foreign.chain), (KEY, &foreign.key)],
            "for elsewhere.test, none of which",
        ),
        (
            [(CHAIN, &made.chain), ("other", "x")],
            "has no key \"tls.key\"",
        ),
    ];
    for (values, words) in cases {
        let route = with_certificates(&["a.test"], &["own"]);
        let index = index_of([route.event(), secret("a", "own", &values)]);
        let compiled = snapshot(&index, &certificate("own")).unwrap();
        assert!(compiled.keeps_previous(), "{words}");
        let told = told(&index);
        let [(reason, path, message)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(*reason, "InvalidCertificateRef");
        assert_eq!(path, "spec.tls.certificateRefs[0]");
        assert!(
            message.contains(words) && message.contains("Secret a/own"),
            "{message}"
        );
        let shown = format!("{told:?} {compiled:?}");
        assert!(
            !shown.contains("canary") && !shown.contains("PRIVATE KEY"),
            "{shown}"
        );
    }
}

#[test]
fn a_certificate_that_is_gone_leaves_nothing_and_one_that_nobody_shows_is_none() {
    let made = pair(&["a.test"]);
    let route = with_certificates(&["a.test"], &["own"]);
    let mut index = index_of([route.event(), made.secret("own"), made.secret("free")]);
    assert!(compiled(&index, "own").is_some() && compiled(&index, "free").is_none());
    let touched = apply(&mut index, [delete(Kind::Secret, "a", "own")]);
    assert!(touched.names.contains(&certificate("own")));
    assert_eq!(compiled(&index, "own"), None);
    let told = told(&index);
    assert!(
        told[0].2.contains("Secret a/own does not exist"),
        "{told:?}"
    );
}

#[test]
fn a_renewed_certificate_touches_itself_and_conditions_and_no_domain() {
    let route = with_certificates(&["a.test"], &["own"]);
    let mut index = index_of([route.event(), pair(&["a.test"]).secret("own")]);
    let touched = apply(&mut index, [pair(&["a.test"]).secret("own")]);
    let authority = Name::Authority(name("a", "own"));
    let expected = Touched {
        names: [certificate("own"), authority].into(),
        objects: [ObjectKey::new(Kind::AIRoute, "a", "r")].into(),
        ..Touched::default()
    };
    assert_eq!(touched, expected);
}

#[test]
fn a_wildcard_host_takes_certificates_of_names_below_it() {
    for (host, names, is_fine) in [
        ("*.a.test", "*.a.test", true),
        ("*.a.test", "x.a.test", true),
        ("*.a.test", "a.test", false),
        ("*.a.test", "*.b.test", false),
        ("*", "b.test", true),
        ("x.y.a.test", "*.a.test", false),
    ] {
        let route = with_certificates(&[host], &["own"]);
        let index = index_of([route.event(), pair(&[names]).secret("own")]);
        assert_eq!(told(&index).is_empty(), is_fine, "{host} {names}");
    }
}

#[test]
fn the_platforms_certificate_needs_no_route() {
    let mut index = testing::index().with_fleet_certificates(vec![name("a", "fleet")]);
    let missing = fleet_fault(&index, &name("a", "fleet")).unwrap();
    assert!(missing.contains("does not exist"), "{missing}");
    let touched = apply(&mut index, [pair(&["*.maas.test"]).secret("fleet")]);
    assert!(touched.names.contains(&certificate("fleet")));
    assert!(matches!(
        compiled(&index, "fleet"),
        Some(Certificate::Usable(_))
    ));
    assert_eq!(fleet_fault(&index, &name("a", "fleet")), None);
    let fleet = snapshot(&index, &Name::FleetCertificates).unwrap();
    assert_eq!(fleet.references(), [certificate("fleet")]);
}

#[test]
fn authorities_are_read_from_their_secret_and_a_broken_one_stays_as_it_was() {
    let made = pair(&["ca"]);
    let route = || with_certificates(&["a.test"], &[]).client_ca("ca");
    let authority = Name::Authority(name("a", "ca"));
    let index = index_of([route().event(), secret("a", "ca", &[(CA, &made.chain)])]);
    assert!(matches!(
        snapshot(&index, &authority),
        Some(Snapshot::Authority(Authority::Usable(certificates))) if certificates.len() == 1
    ));
    assert!(told(&index).is_empty());
    assert_eq!(snapshot(&index, &certificate("ca")), None);

    let index = index_of([route().event(), secret("a", "ca", &[(CA, "x")])]);
    assert!(snapshot(&index, &authority).unwrap().keeps_previous());
    let told = told(&index);
    assert_eq!(told[0].1, "spec.tls.clientCARef");
    assert!(told[0].2.contains("no list of CA certificates"), "{told:?}");
}
