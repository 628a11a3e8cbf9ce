use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use turnpike_snapshot::provider::{Provider, Upstream};
use turnpike_snapshot::{Name, Snapshot};

use super::*;
use crate::compile::{issues, snapshot};
use crate::source::{Kind, ObjectKey};
use crate::testing::{Tell, index_of, name, provider, secret};

/// Made for this test; it is nobody's.
const RSA: &str = include_str!("tests/rsa.pem");

fn account(private_key: &str) -> String {
    serde_json::json!({
        "type": "service_account", "project_id": "p", "private_key_id": "id-1",
        "private_key": private_key, "client_email": "t@p.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}

fn set<'a>(values: &[(&'a str, &'a str)]) -> Set<'a> {
    let values = values.iter();
    let values = values.map(|(key, value)| (*key, Ok(value.as_bytes())));
    Set::new(name("a", "s"), values.collect())
}

fn upstream(index: &Index) -> Option<Upstream> {
    match snapshot(index, &Name::Provider(name("a", "p"))) {
        Some(Snapshot::Provider(Provider::Upstream(upstream))) => Some(upstream),
        _ => None,
    }
}

fn told(index: &Index) -> Vec<String> {
    let issues = issues(index, &ObjectKey::new(Kind::AIProvider, "a", "p")).unwrap();
    let words = issues.iter();
    words
        .map(|issue| format!("{} {}: {}", issue.reason, issue.path, issue.message))
        .collect()
}

#[test]
fn a_secret_of_a_cloud_is_one_key() {
    let index = index_of([
        secret(
            "a",
            "s",
            &[
                ("accessKey", "AK"),
                ("secretKey", "SK\n"),
                ("sessionToken", "ST"),
            ],
        ),
        provider("a", "p")
            .aws("eu-west-1")
            .credential("main", "s", None)
            .event(),
    ]);
    let upstream = upstream(&index).unwrap();
    let region = "eu-west-1".to_owned();
    assert_eq!(upstream.cloud.as_deref(), Some(&Cloud::Aws { region }));
    let secret = KeySecret::Aws(AwsKey {
        access_key: "AK".into(),
        secret_key: "SK".into(),
        session_token: Some("ST".into()),
    });
    let main = ProviderKey {
        name: "main".into(),
        secret,
    };
    assert_eq!(upstream.keys, [main]);
    assert_eq!(told(&index), [""; 0]);
}

#[test]
fn a_secret_that_lacks_something_says_what() {
    let index = index_of([
        secret("a", "s", &[("accessKey", "canary")]),
        provider("a", "p")
            .aws("eu-west-1")
            .credential("main", "s", None)
            .event(),
    ]);
    assert_eq!(
        told(&index),
        [
            "InvalidCredential spec.credentials[0].secretRef: Secret a/s has no key \"secretKey\": it \
          needs accessKey and secretKey, with sessionToken where the key was lent for a time, or else \
          apiKey"
        ]
    );
    assert_eq!(upstream(&index), None);
}

#[test]
fn a_key_that_needs_no_signing_goes_first() {
    for owner in [Owner::Amazon, Owner::Google, Owner::Microsoft] {
        let set = set(&[("accessKey", "AK"), ("apiKey", "k"), ("clientId", "c")]);
        assert_eq!(set.read(owner), Ok(KeySecret::Plain("k".into())));
    }
}

#[test]
fn a_service_account_is_read_from_its_json_whether_its_key_is_named_or_not() {
    let json = account(RSA);
    for key in [None, Some("serviceAccount")] {
        let index = index_of([
            secret("a", "s", &[("serviceAccount", &json), ("note", "x")]),
            provider("a", "p")
                .gcp(Some("p"), "us-central1")
                .credential("main", "s", key)
                .event(),
        ]);
        let upstream = upstream(&index).unwrap();
        let KeySecret::GoogleServiceAccount(account) = &upstream.keys[0].secret else {
            panic!("no service account");
        };
        assert_eq!(account.email, "t@p.iam.gserviceaccount.com");
        assert_eq!(account.key_id.as_deref(), Some("id-1"));
        assert_eq!(account.private_key.first(), Some(&0x30));
        assert_eq!(told(&index), [""; 0]);
    }
}

#[test]
fn a_service_account_needs_a_project() {
    let json = account(RSA);
    let index = index_of([
        secret("a", "s", &[("serviceAccount", &json)]),
        provider("a", "p")
            .gcp(None, "global")
            .credential("main", "s", None)
            .event(),
    ]);
    assert_eq!(
        told(&index),
        [
            "InvalidCredential spec.credentials[0].secretRef: a service account needs \
          spec.gcp.project, the project to ask in"
        ]
    );
}

#[test]
fn what_is_no_service_account_is_told_without_its_content() {
    let elliptic = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let fault = |json: &str| match set(&[("serviceAccount", json)]).google() {
        Err(CloudFault::Unreadable { fault, .. }) => fault,
        other => panic!("{:?}", other.err()),
    };
    for (json, words) in [
        ("canary".to_owned(), "is not the JSON"),
        ("{}".to_owned(), "is not of type service_account"),
        (account("canary"), "no RSA key in PEM"),
        (account(&elliptic.serialize_pem()), "no RSA key in PEM"),
        (account(RSA).replace("https://oauth2", "x y"), "no URL"),
        (
            account(RSA).replace("client_email", "x"),
            "has no client_email",
        ),
    ] {
        assert!(fault(&json).contains(words), "{}", fault(&json));
    }
    let absent = set(&[("json", "{}")]).google();
    assert!(matches!(
        absent,
        Err(CloudFault::Incomplete {
            lacks: "serviceAccount",
            ..
        })
    ));
}

#[test]
fn an_application_of_entra_needs_all_three() {
    let all = [
        ("tenantId", "t-1"),
        ("clientId", "c"),
        ("clientSecret", "s"),
    ];
    let whole = EntraKey {
        tenant_id: "t-1".into(),
        client_id: "c".into(),
        client_secret: "s".into(),
        authority: None,
    };
    assert_eq!(set(&all).entra(), Ok(whole));
    for at in 0..3 {
        let mut some = all.to_vec();
        let (missing, _) = some.remove(at);
        let fault = set(&some).entra();
        assert!(
            matches!(fault, Err(CloudFault::Incomplete { lacks, .. }) if lacks == missing),
            "{fault:?}"
        );
    }
    let mut odd = all;
    odd[0].1 = "t/../x?";
    assert!(matches!(
        set(&odd).entra(),
        Err(CloudFault::Unreadable {
            key: "tenantId",
            ..
        })
    ));
    assert!(set(&all).is_of_entra() && !set(&[("k1", "v")]).is_of_entra());
}
