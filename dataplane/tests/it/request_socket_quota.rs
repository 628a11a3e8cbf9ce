//! Realtime under quotas: each response is reserved, settled, and may be the last.

use serde_json::json;
use turnpike_snapshot::quota::{Amount, OnStoreFailure, Quota};
use turnpike_snapshot::{Name, Snapshot};

use super::request_gateway::{TestGateway, soon};
use super::request_socket_parties::{
    RealtimeProvider, Seen, asking, created, done, gateway_to, open, open_with, refused,
};
use super::request_world::{World, object, quota, upstream};

/// What is left of a quota, once what was settled is counted; less what asking reserves.
async fn remaining(gateway: &TestGateway, provider: &mut RealtimeProvider, unit: &str) -> u64 {
    gateway.settled().await;
    let (_client, headers) = open_with(gateway, asking()).await;
    let _server = provider.session().await;
    let left = headers[&format!("x-ratelimit-remaining-{unit}")].to_str();
    left.unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_response_is_settled_when_it_is_done_amid_the_session() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = gateway_to(&provider, 100_000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.respond("r1", 1000, 200).await;
    server.respond("r2", 1500, 300).await;
    for _ in 0..4 {
        client.hear().await;
    }
    // Settlements of an open session are on their way by themselves.
    let left = soon(async {
        loop {
            let (_client, headers) = open_with(&gateway, asking()).await;
            let left: u64 = headers["x-ratelimit-remaining-tokens"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            if left >= 100_000 - 3000 - 1024 {
                return left;
            }
        }
    });
    assert_eq!(left.await, 100_000 - 3000 - 1024);
}

#[tokio::test]
async fn a_session_counts_as_a_request_and_so_does_each_response() {
    let mut provider = RealtimeProvider::start().await;
    let world = World::with(upstream("OpenAI", &provider.url()));
    let gateway = TestGateway::start(world.limited(quota(Amount::Requests(10)))).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.respond("r1", 1, 1).await;
    server.respond("r2", 1, 1).await;
    let transcribed = json!({
        "type": "conversation.item.input_audio_transcription.completed",
        "usage": {"type": "tokens", "input_tokens": 5, "output_tokens": 5, "total_tokens": 10},
    });
    server.say(transcribed).await;
    for _ in 0..5 {
        client.hear().await;
    }
    drop((client, server));
    assert_eq!(
        remaining(&gateway, &mut provider, "requests").await,
        10 - 3 - 1
    );
}

#[tokio::test]
async fn a_response_over_the_quota_ends_the_session_with_an_error() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 5000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.respond("r1", 3000, 1500).await;
    server.say(created("r2")).await;
    server
        .say(json!({"type": "response.output_text.delta", "delta": "unpaid"}))
        .await;
    for kind in ["created", "done", "created"] {
        assert_eq!(client.hear().await["type"], format!("response.{kind}"));
    }
    let error = client.hear().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["error"]["code"], "token_quota_exceeded");
    assert_eq!(error["error"]["type"], "rate_limit_error");
    assert_eq!(error["error"]["message"], "gold plan: that much a minute");
    assert_eq!(
        client.end().await,
        Seen::Close(1008, "token_quota_exceeded".into())
    );
    server.end().await;
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["end"], &line["error"]),
        (&json!("error"), &json!("token_quota_exceeded"))
    );
    assert_eq!(
        line["tokens"],
        json!({"input": 3000, "cached": 1, "output": 1500})
    );
    let (status, headers, error) = refused(&gateway, asking()).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (429, &json!("token_quota_exceeded"))
    );
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test]
async fn what_was_used_unasked_counts_in_full_and_is_the_last() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = gateway_to(&provider, 5000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    // A server that does not say when a response begins.
    server.say(done("r1", 4000, 500)).await;
    assert_eq!(client.hear().await["type"], "response.done");
    server.say(done("r2", 4500, 500)).await;
    assert_eq!(client.hear().await["type"], "response.done");
    let error = client.hear().await;
    assert_eq!(error["error"]["code"], "token_quota_exceeded");
    drop((client, server));
    gateway.settled().await;
    let headers = refused(&gateway, asking()).await.1;
    assert_eq!(headers["x-ratelimit-remaining-tokens"], "0");
}

#[tokio::test]
async fn a_transcription_alone_is_counted_too() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 5000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    for tokens in [3000, 3000] {
        let transcribed = json!({
            "type": "conversation.item.input_audio_transcription.completed",
            "usage": {"type": "tokens", "input_tokens": tokens, "output_tokens": 0},
        });
        server.say(transcribed).await;
        client.hear().await;
    }
    assert_eq!(client.hear().await["error"]["code"], "token_quota_exceeded");
    drop(client);
    let line = gateway.log_line().await;
    assert_eq!(line["tokens"], json!({"input": 6000, "output": 0}));
}

#[tokio::test]
async fn a_response_cut_off_costs_what_was_reserved_for_it() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 100_000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.respond("r1", 700, 100).await;
    server.say(created("r2")).await;
    for _ in 0..3 {
        client.hear().await;
    }
    drop((client, server));
    let line = gateway.log_line().await;
    let tokens = json!({"input": 1400, "cached": 1, "output": 100 + 1024, "estimated": true});
    assert_eq!(line["tokens"], tokens);
    let left = remaining(&gateway, &mut provider, "tokens").await;
    assert_eq!(left, 100_000 - 800 - (700 + 1024) - 1024);
}

#[tokio::test]
async fn a_quota_laid_upon_an_open_session_holds_from_the_next_response_on() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = gateway_to(&provider, 100_000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.respond("r1", 700, 100).await;
    let tight = Quota {
        on_store_failure: OnStoreFailure::Allow,
        ..quota(Amount::Tokens(500))
    };
    let tight = (Name::Quota(object("quota-0")), Snapshot::Quota(tight));
    for _ in 0..2 {
        client.hear().await;
    }
    assert!(gateway.shared.store.replace(vec![tight]).is_empty());
    server.say(json!({"type": "session.updated"})).await;
    assert_eq!(client.hear().await["type"], "session.updated");
    server.say(created("r2")).await;
    assert_eq!(client.hear().await["type"], "response.created");
    let error = client.hear().await;
    assert_eq!(error["error"]["code"], "request_too_large_for_quota");
    assert!(matches!(client.end().await, Seen::Close(1008, _)));
}
