//! Who gets in, who does not, and what they are told.

use serde_json::{Value, json};
use tonic::Code;

use super::*;
use crate::metrics::Refusals;
use crate::trust::scripted::{Server, failure};
use crate::trust::token::tests::token;

const HOUR: i64 = 3600;

fn payload() -> Value {
    json!({
        "sub": "system:serviceaccount:ns:dp", "aud": [AUDIENCE],
        "exp": Moment::now().0 + HOUR
    })
}

fn with(key: &str, value: impl Into<Value>) -> String {
    let mut payload = payload();
    payload[key] = value.into();
    token(&payload)
}

fn metadata(authorization: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", authorization.parse().unwrap());
    metadata
}

/// Says that each token is of `ns/dp`.
fn server() -> Server {
    let server = Server::default();
    server.review(|_| {
        let user = json!({"username": "system:serviceaccount:ns:dp"});
        let status = json!({"authenticated": true, "audiences": [AUDIENCE], "user": user});
        (201, json!({"status": status}))
    });
    server
}

fn gate(server: &Server, refusals: &Refusals) -> Gate {
    let accounts = vec!["ns/dp".parse().unwrap()];
    let reviewer = Reviewer::new(server.client());
    let complaints = Complaints::new(refusals.clone());
    Gate::new(reviewer, accounts, "--dataplane-account", complaints)
}

async fn refused(gate: &Gate, authorization: &str) -> Status {
    match gate.admit(&metadata(authorization), None).await {
        Ok(_) => panic!("admitted"),
        Err(status) => status,
    }
}

#[tokio::test]
async fn the_right_token_gets_in_under_any_case_of_the_scheme() {
    let server = server();
    let gate = gate(&server, &Refusals::default());
    for scheme in ["Bearer", "bearer"] {
        let metadata = metadata(&format!("{scheme} {}", token(&payload())));
        assert!(gate.admit(&metadata, None).await.is_ok());
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_with_the_mend_and_without_a_review() {
    let (server, refusals) = (server(), Refusals::default());
    let gate = gate(&server, &refusals);
    let other = "system:serviceaccount:ns:other";
    let cases = [
        (String::new(), Reason::NoToken, "--controller-token-file"),
        (
            "Basic x".into(),
            Reason::NoToken,
            "audience turnpike-controller",
        ),
        (
            "Bearer canary".into(),
            Reason::Token,
            "not a service-account token",
        ),
        (
            format!("Bearer {}", with("aud", "https://kubernetes.default.svc")),
            Reason::Token,
            "token of ns/dp is not accepted: it is for https://kubernetes.default.svc, not for",
        ),
        (
            format!("Bearer {}", with("exp", Moment::now().0)),
            Reason::Token,
            "token of ns/dp is not accepted: it has expired",
        ),
        (
            format!("Bearer {}", with("sub", other)),
            Reason::Account,
            "token of ns/other is not accepted: its account is not one of --dataplane-account",
        ),
    ];
    for (authorization, reason, words) in cases {
        let before = refusals.get(reason);
        let status = refused(&gate, &authorization).await;
        assert!(status.message().contains(words), "{status}");
        assert!(!format!("{status:?}").contains("canary"), "{status:?}");
        let code = match reason {
            Reason::Account => Code::PermissionDenied,
            _ => Code::Unauthenticated,
        };
        assert_eq!(status.code(), code);
        assert_eq!(refusals.get(reason), before + 1);
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn what_the_api_server_says_counts_more_than_what_a_token_says() {
    let server = Server::default();
    let gate = gate(&server, &Refusals::default());
    let bearer = |payload: &Value| format!("Bearer {}", token(payload));
    server.review(|_| (201, json!({"status": {"error": "invalid bearer token"}})));
    let status = refused(&gate, &bearer(&payload())).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(
        status.message().contains("invalid bearer token"),
        "{status}"
    );

    server.review(|_| {
        let user = json!({"username": "system:serviceaccount:ns:other"});
        let status = json!({"authenticated": true, "audiences": [AUDIENCE], "user": user});
        (201, json!({"status": status}))
    });
    let mut another = payload();
    another["jti"] = "2".into();
    let status = refused(&gate, &bearer(&another)).await;
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn without_the_api_server_the_answer_is_to_try_again() {
    let (server, refusals) = (Server::default(), Refusals::default());
    server.review(|_| failure(503, "ServiceUnavailable"));
    let gate = gate(&server, &refusals);
    let status = refused(&gate, &format!("Bearer {}", token(&payload()))).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("try again"), "{status}");
    assert_eq!(refusals.get(Reason::Unavailable), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_lapses_with_its_token_but_not_while_no_new_one_could_be_reviewed() {
    let server = server();
    let gate = gate(&server, &Refusals::default());
    let soon = Moment::now().0 + 100;
    let metadata = metadata(&format!("Bearer {}", with("exp", soon)));
    let pass = gate.admit(&metadata, None).await.ok().unwrap();
    server.review(|_| failure(503, "ServiceUnavailable"));
    let mut lapsed = std::pin::pin!(pass.lapsed());
    let hours = Duration::from_secs(7200);
    assert!(tokio::time::timeout(hours, &mut lapsed).await.is_err());
    server.review(|_| (201, json!({"status": {"error": "token has expired"}})));
    lapsed.await;
}

#[tokio::test(start_paused = true)]
async fn an_open_gate_asks_nobody_and_its_passes_last() {
    let pass = Gate::open()
        .admit(&MetadataMap::new(), None)
        .await
        .ok()
        .unwrap();
    let days = Duration::from_secs(100_000);
    assert!(tokio::time::timeout(days, pass.lapsed()).await.is_err());
}
