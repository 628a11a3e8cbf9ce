use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::*;

/// Made for tests; it is nobody's.
const PEM: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/keys/service-account.pem"
));
const NOW: u64 = 1_700_000_000;

fn account(token_uri: Option<&str>) -> GoogleServiceAccount {
    let key = PrivatePkcs8KeyDer::from_pem_slice(PEM.as_bytes()).unwrap();
    GoogleServiceAccount {
        email: "t@p.iam.gserviceaccount.com".into(),
        key_id: Some("id-1".into()),
        private_key: key.secret_pkcs8_der().to_vec(),
        token_uri: token_uri.map(str::to_owned),
    }
}

fn entra(authority: Option<&str>) -> KeySecret {
    KeySecret::Entra(EntraKey {
        tenant_id: "t-1".into(),
        client_id: "c 1".into(),
        client_secret: "s&=+%".into(),
        authority: authority.map(str::to_owned),
    })
}

fn body(grant: &Grant) -> String {
    let request = grant.request(NOW).unwrap();
    String::from_utf8(request.into_body().to_vec()).unwrap()
}

fn json(part: &str) -> serde_json::Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_service_account_asks_by_what_it_signed() {
    let account = account(None);
    let key = RsaKeyPair::from_pkcs8(&account.private_key).unwrap();
    let grant = Grant::new(&KeySecret::GoogleServiceAccount(account)).unwrap();
    let request = grant.request(NOW).unwrap();
    assert_eq!(request.uri(), "https://oauth2.googleapis.com/token");
    assert_eq!(request.method(), Method::POST);
    let body = body(&grant);
    let assertion = body
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .unwrap();
    let (unsigned, signature) = assertion.rsplit_once('.').unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public())
        .verify(unsigned.as_bytes(), &signature)
        .unwrap();
    let (header, claims) = unsigned.split_once('.').unwrap();
    let expected = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "id-1"});
    assert_eq!(json(header), expected);
    let expected = serde_json::json!({
        "iss": "t@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": NOW, "exp": NOW + 3600,
    });
    assert_eq!(json(claims), expected);
}

#[test]
fn an_application_asks_by_its_secret() {
    let grant = Grant::new(&entra(None)).unwrap();
    assert_eq!(
        grant.request(NOW).unwrap().uri(),
        "https://login.microsoftonline.com/t-1/oauth2/v2.0/token"
    );
    assert_eq!(
        body(&grant),
        "grant_type=client_credentials&client_id=c%201&client_secret=s%26%3D%2B%25\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
}

#[test]
fn each_cloud_of_microsofts_has_its_scope() {
    for (authority, scope) in [
        ("https://login.microsoftonline.com/", "azure.com"),
        ("https://login.partner.microsoftonline.cn", "azure.cn"),
        ("https://login.microsoftonline.us", "azure.us"),
    ] {
        let grant = Grant::new(&entra(Some(authority))).unwrap();
        let uri = grant.request(NOW).unwrap().uri().to_string();
        let base = authority.trim_end_matches('/');
        assert_eq!(uri, format!("{base}/t-1/oauth2/v2.0/token"));
        assert!(body(&grant).ends_with(&format!("cognitiveservices.{scope}%2F.default")));
    }
}

#[test]
fn what_cannot_be_used_is_refused_at_once() {
    let fault = |secret: &KeySecret| Grant::new(secret).err();
    for url in ["x", "ftp://a.test/x", "/token", "https://u:p@a.test/"] {
        let account = KeySecret::GoogleServiceAccount(account(Some(url)));
        assert_eq!(fault(&account), Some(CredentialError::Address));
        assert_eq!(fault(&entra(Some(url))), Some(CredentialError::Address));
    }
    let mut broken = account(None);
    broken.private_key.truncate(20);
    let broken = KeySecret::GoogleServiceAccount(broken);
    assert_eq!(fault(&broken), Some(CredentialError::PrivateKey));
}

#[test]
fn a_token_is_read_with_its_life() {
    for (body, seconds) in [
        (
            r#"{"access_token":"canary","expires_in":3599,"token_type":"Bearer"}"#,
            3599,
        ),
        (r#"{"access_token":"canary","expires_in":"120"}"#, 120),
        (r#"{"access_token":"canary"}"#, 300),
    ] {
        let given = read(StatusCode::OK, body.as_bytes()).unwrap();
        assert_eq!(given.header, "Bearer canary");
        assert_eq!(given.lifetime, Duration::from_secs(seconds));
        assert!(!format!("{given:?}").contains("canary"));
    }
}

#[test]
fn of_a_refusal_only_the_protocols_word_is_told() {
    for (body, reason) in [
        (
            r#"{"error":"invalid_grant","error_description":"canary"}"#,
            "invalid_grant",
        ),
        (r#"{"error":"canary at <host>"}"#, "unknown"),
        (r#"{"error":{"code":400}}"#, "unknown"),
        ("<html>", "unknown"),
        ("", "unknown"),
    ] {
        let error = read(StatusCode::BAD_REQUEST, body.as_bytes()).unwrap_err();
        let reason = reason.to_owned();
        assert_eq!(
            error,
            TokenError::Refused {
                status: 400,
                reason
            }
        );
        assert!(!error.to_string().contains("canary"));
    }
}

#[test]
fn an_answer_without_a_token_is_none() {
    let long = format!(
        r#"{{"access_token":"{}"}}"#,
        "x".repeat(MAX_TOKEN_BYTES + 1)
    );
    for body in [
        "",
        "[]",
        "{}",
        r#"{"access_token":""}"#,
        r#"{"access_token":"a\nb"}"#,
        r#"{"access_token":7}"#,
        &long,
    ] {
        let read = read(StatusCode::OK, body.as_bytes());
        assert!(matches!(read, Err(TokenError::Garbage)), "{body}");
    }
}
