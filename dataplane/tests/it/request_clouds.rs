//! Providers in clouds: each request signed, or sent with a token that was asked for once.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::join_all;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use ring::{digest, hmac};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use turnpike_snapshot::provider::{
    AwsKey, Cloud, EntraKey, GoogleServiceAccount, KeySecret, ProviderKey, Upstream,
};

use super::request_gateway::{TestGateway, soon};
use super::request_provider::{FakeProvider, Received, Script, chat_answer, json as answers};
use super::request_world::{World, upstream};
use super::upstream_proxy::FakeProxy;

/// Made for tests; it is nobody's.
const PEM: &str = include_str!("../keys/service-account.pem");
/// Neither callers nor the log may see any of these.
const TOKEN: &str = "ya29.canary-token";
const SECRET_KEY: &str = "canary/secret+key";
const SESSION: &str = "canary-session==";
const CLIENT_SECRET: &str = "canary-client&secret";

fn good() -> Script {
    answers(200, chat_answer("hello"))
}

fn token() -> Value {
    json!({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})
}

fn with(provider: &str, secret: KeySecret) -> Upstream {
    Upstream {
        keys: vec![ProviderKey {
            name: "main".into(),
            secret,
        }],
        ..upstream("OpenAI", provider)
    }
}

fn private_key() -> Vec<u8> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(PEM.as_bytes()).unwrap();
    key.secret_pkcs8_der().to_vec()
}

fn google(token_uri: &str) -> KeySecret {
    KeySecret::GoogleServiceAccount(GoogleServiceAccount {
        email: "t@p.iam.gserviceaccount.com".into(),
        key_id: Some("id-1".into()),
        private_key: private_key(),
        token_uri: Some(token_uri.into()),
    })
}

fn entra(authority: &str) -> KeySecret {
    KeySecret::Entra(EntraKey {
        tenant_id: "t-1".into(),
        client_id: "c-1".into(),
        client_secret: CLIENT_SECRET.into(),
        authority: Some(authority.into()),
    })
}

fn aws(session_token: Option<&str>) -> KeySecret {
    KeySecret::Aws(AwsKey {
        access_key: "AKIDEXAMPLE".into(),
        secret_key: SECRET_KEY.into(),
        session_token: session_token.map(str::to_owned),
    })
}

/// Checks as Google does that the service account signed what it asks by.
fn check_assertion(received: &Received, audience: &str) {
    let form = str::from_utf8(&received.body).unwrap();
    let prefix = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let assertion = form.strip_prefix(prefix).unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = RsaKeyPair::from_pkcs8(&private_key()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public())
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    let claims = signed.split_once('.').unwrap().1;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], audience);
    assert_eq!(claims["iss"], "t@p.iam.gserviceaccount.com");
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(lifetime, 3600);
}

#[tokio::test]
async fn fifty_requests_at_once_ask_for_one_token() {
    let mut mint = FakeProvider::start(Script::Held(Box::new(answers(200, token())))).await;
    let mut provider = FakeProvider::start(good()).await;
    let uri = format!("http://{}/token", mint.address);
    let world = World::with(with(&provider.url(), google(&uri)));
    let mut gateway = TestGateway::start(world).await;
    let release = async {
        let asked = mint.received().await;
        check_assertion(&asked, &uri);
        assert_eq!((&*asked.method, &*asked.path), ("POST", "/token"));
        mint.go_on();
    };
    let all = join_all((0..50).map(|_| gateway.chat("x")));
    let (answers, ()) = soon(async { tokio::join!(all, release) }).await;
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.text().contains("canary"));
    }
    for _ in 0..50 {
        let received = provider.received().await;
        assert_eq!(received.headers["authorization"], format!("Bearer {TOKEN}"));
        assert!(!gateway.log_line().await.to_string().contains("canary"));
    }
    assert_eq!(gateway.chat("x").await.status, 200);
    assert!(mint.is_idle(), "one token serves all");
}

#[tokio::test]
async fn entra_is_asked_as_its_documents_say() {
    let mut mint = FakeProvider::start(answers(200, token())).await;
    let mut provider = FakeProvider::start(good()).await;
    let authority = format!("http://{}", mint.address);
    let world = World::with(with(&provider.url(), entra(&authority)));
    let gateway = TestGateway::start(world).await;
    for _ in 0..2 {
        assert_eq!(gateway.chat("x").await.status, 200);
        let received = provider.received().await;
        assert_eq!(received.headers["authorization"], format!("Bearer {TOKEN}"));
    }
    let asked = mint.received().await;
    assert_eq!(asked.path, "/t-1/oauth2/v2.0/token");
    let content_type = &asked.headers["content-type"];
    assert_eq!(content_type, "application/x-www-form-urlencoded");
    assert_eq!(
        asked.body,
        "grant_type=client_credentials&client_id=c-1&client_secret=canary-client%26secret\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    assert!(mint.is_idle(), "one token serves all");
}

#[tokio::test]
async fn a_refused_credential_is_the_gateways_and_is_not_tried_by_everybody() {
    let refusal = json!({"error": "invalid_grant", "error_description": "canary"});
    let mut mint = FakeProvider::start(answers(400, refusal)).await;
    let mut provider = FakeProvider::start(good()).await;
    let uri = format!("http://{}/token", mint.address);
    let world = World::with(with(&provider.url(), google(&uri)));
    let mut gateway = TestGateway::start(world).await;
    let answers = soon(join_all((0..20).map(|_| gateway.chat("x")))).await;
    for answer in answers {
        assert_eq!(
            (answer.status, answer.code()),
            (502, "provider_credential".into())
        );
        assert!(answer.text().contains("invalid_grant"), "{}", answer.text());
        assert!(!answer.text().contains("canary"), "{}", answer.text());
        assert!(!gateway.log_line().await.to_string().contains("canary"));
    }
    mint.received().await;
    assert!(mint.is_idle() && provider.is_idle());
}

#[tokio::test]
async fn nobody_at_the_token_endpoint_is_told_as_such() {
    let provider = FakeProvider::start(good()).await;
    // Nobody listens there.
    let world = World::with(with(&provider.url(), entra("http://127.0.0.1:1")));
    let gateway = TestGateway::start(world).await;
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "provider_credential".into())
    );
    assert!(
        answer.text().contains("token endpoint"),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
}

#[tokio::test]
async fn a_token_is_asked_for_through_the_providers_proxy() {
    let mut both = chat_answer("hello");
    both["access_token"] = TOKEN.into();
    let provider = FakeProvider::start(answers(200, both)).await;
    let proxy = FakeProxy::start(provider.address, None).await;
    let upstream = Upstream {
        egress_proxy: Some(Box::new(proxy.proxy(None))),
        ..with("http://models.test/v1", entra("http://entra.test"))
    };
    let gateway = TestGateway::start(World::with(upstream)).await;
    assert_eq!(gateway.chat("x").await.status, 200);
    let asked = proxy.asked.lock().clone();
    let hosts: Vec<_> = asked
        .iter()
        .filter_map(|head| head.split(' ').nth(1))
        .collect();
    assert_eq!(hosts, ["entra.test:80", "models.test:80"]);
}

#[tokio::test]
async fn a_token_endpoint_is_where_providers_may_be_and_nowhere_else() {
    let provider = FakeProvider::start(good()).await;
    let world = World::with(with(&provider.url(), entra("http://169.254.169.254")));
    let gateway = TestGateway::start(world).await;
    let answer = gateway.chat("x").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().contains("its address is private or reserved"),
        "{}",
        answer.text()
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// Computes the signature again, as AWS does: from what came, and by its own document alone.
///
/// Source: docs.aws.amazon.com, "Create a signed AWS API request".
fn check_signature(received: &Received, region: &str) {
    let header = |name: &str| received.headers[name].to_str().unwrap();
    let authorization = header("authorization");
    let date = header("x-amz-date");
    let day = &date[..8];
    let scope = format!("{day}/{region}/bedrock/aws4_request");
    let rest = authorization
        .strip_prefix(&format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders="
        ))
        .unwrap();
    let (names, signature) = rest.split_once(", Signature=").unwrap();
    let listed: Vec<&str> = names.split(';').collect();
    assert!(listed.is_sorted() && listed.contains(&"host") && listed.contains(&"x-amz-date"));
    let is_amazons = |name: &&str| name.starts_with("x-amz-");
    let sent = received.headers.keys().map(|name| name.as_str());
    assert!(sent.filter(is_amazons).all(|name| listed.contains(&name)));
    let headers: String = listed
        .iter()
        .map(|name| format!("{name}:{}\n", header(name)))
        .collect();
    // Encoded once on the wire and once more here.
    let path = received.path.replace('%', "%25");
    let payload = sha256(&received.body);
    let canonical = format!(
        "{}\n{path}\n\n{headers}\n{names}\n{payload}",
        received.method
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let mut key = hmac(format!("AWS4{SECRET_KEY}").as_bytes(), day);
    for part in [region, "bedrock", "aws4_request"] {
        key = hmac(&key, part);
    }
    assert_eq!(signature, hex(&hmac(&key, &to_sign)));
}

#[tokio::test]
async fn each_request_is_signed_for_aws() {
    let mut provider = FakeProvider::start(good()).await;
    let url = format!("http://{}/model/a.b%3A0", provider.address);
    for session in [None, Some(SESSION)] {
        let region = "eu-west-1".to_owned();
        let upstream = Upstream {
            cloud: Some(Box::new(Cloud::Aws { region })),
            ..with(&url, aws(session))
        };
        let mut gateway = TestGateway::start(World::with(upstream)).await;
        for text in ["x", "Grüße, 世界"] {
            let answer = gateway.chat(text).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let received = provider.received().await;
            assert_eq!(received.path, "/model/a.b%3A0/chat/completions");
            check_signature(&received, "eu-west-1");
            let token = received.headers.get("x-amz-security-token");
            assert_eq!(token.map(|token| token.to_str().unwrap()), session);
            assert!(!gateway.log_line().await.to_string().contains("canary"));
        }
    }
}
