//! What goes well: plain, streamed, embedded, listed; and what is written down of it.

use serde_json::{Value, json};
use turnpike_snapshot::provider::Provider;
use turnpike_snapshot::quota::Amount;

use super::request_gateway::{TestGateway, chat_stream};
use super::request_provider::{End, FakeProvider, chat_answer, events, json};
use super::request_world::{
    BOBS_KEY, KEY, PROVIDER_KEY, World, backend, echo, grant, model, object, quota, rule, upstream,
};

const STREAM: [&str; 5] = [
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-2026\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-2026\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"grüß\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-2026\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-2026\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}\n\n",
    "data: [DONE]\n\n",
];

#[tokio::test]
async fn a_plain_answer_passes_byte_by_byte_and_is_written_down() {
    let mut provider = FakeProvider::start(json(200, chat_answer("hi"))).await;
    let mut gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let answer = gateway.chat("hello").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), chat_answer("hi").to_string());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let id = answer.header("x-request-id").unwrap().to_owned();

    let received = provider.received().await;
    assert_eq!(
        (&*received.method, &*received.path),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(
        received.headers["authorization"],
        format!("Bearer {PROVIDER_KEY}")
    );
    assert_eq!(received.headers["accept-encoding"], "identity");
    assert_eq!(received.headers["host"], provider.address.to_string());
    assert_eq!(
        received.body,
        super::request_gateway::chat("hello").to_string()
    );

    let line = gateway.log_line().await;
    for (field, expected) in [
        ("request_id", json!(id)),
        ("host", json!("tenant.test")),
        ("method", json!("POST")),
        ("path", json!("/v1/chat/completions")),
        ("status", json!(200)),
        ("operation", json!("ChatCompletions")),
        ("namespace", json!("tenant")),
        ("route", json!("main")),
        ("rule", json!("main")),
        ("consumer", json!("alice")),
        ("provider", json!("tenant/main")),
        ("credential", json!("main")),
        ("protocol", json!("OpenAI")),
        (
            "model",
            json!({"requested": "m", "upstream": "m", "response": "m-2026"}),
        ),
        ("stream", json!(false)),
        (
            "tokens",
            json!({"input": 11, "cached": 4, "output": 7, "reasoning": 2}),
        ),
        ("bytes_in", json!(received.body.len())),
        ("bytes_out", json!(answer.body.len())),
        ("end", json!("complete")),
        ("error", Value::Null),
    ] {
        assert_eq!(line[field], expected, "{field}");
    }
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_stream_passes_as_it_is_without_the_usage_nobody_asked_for() {
    let mut provider = FakeProvider::start(events(STREAM, End::Clean)).await;
    let mut gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let answer = gateway.chat_stream("hello").await;
    assert_eq!(answer.status, 200);
    assert!(answer.is_clean);
    assert_eq!(
        answer.text(),
        [STREAM[0], STREAM[1], STREAM[2], STREAM[4]].concat()
    );
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(answer.header("content-length"), None);

    let sent: Value = serde_json::from_slice(&provider.received().await.body).unwrap();
    assert_eq!(sent["stream_options"]["include_usage"], true);
    let line = gateway.log_line().await;
    assert_eq!(line["tokens"], json!({"input": 5, "output": 3}));
    assert_eq!(
        (&line["stream"], &line["end"]),
        (&json!(true), &json!("complete"))
    );
    assert!(line["first_token_ms"].is_u64());
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_providers_connection_serves_again_after_a_stream() {
    let mut provider = FakeProvider::start(events(STREAM, End::Clean)).await;
    let gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    for _ in 0..3 {
        assert!(gateway.chat_stream("hello").await.is_clean);
        provider.received().await;
    }
    assert_eq!(provider.connections(), 1);
}

#[tokio::test]
async fn an_embedding_passes() {
    let body = json!({"object": "list", "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}]});
    let mut provider = FakeProvider::start(json(200, body.clone())).await;
    let mut gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let answer = gateway
        .post("/v1/embeddings", &json!({"model": "e", "input": "x"}))
        .await;
    assert_eq!((answer.status, answer.json()), (200, body));
    assert_eq!(provider.received().await.path, "/v1/embeddings");
    assert_eq!(
        gateway.log_line().await["tokens"],
        json!({"input": 4, "output": 0})
    );
}

#[tokio::test]
async fn the_echo_vendor_answers_and_streams() {
    let mut gateway = TestGateway::start(World::with(echo())).await;
    let answer = gateway.chat("grüß Gott").await;
    assert_eq!(
        answer.json()["choices"][0]["message"]["content"],
        "grüß Gott"
    );
    let (events, is_done) = gateway.chat_stream("one two").await.events();
    let text: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!((text.as_str(), is_done), ("one two", true));
    for _ in 0..2 {
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "complete");
        assert_eq!(line["tokens"]["estimated"], Value::Null);
    }
}

#[tokio::test]
async fn a_model_goes_by_its_providers_name_upstream_and_members_keep_their_order() {
    let mut provider = FakeProvider::start(json(200, chat_answer("hi"))).await;
    let mut openai = upstream("OpenAI", &provider.url());
    openai.models = vec![model("fast", Some("gpt-4o-mini"))];
    let gateway = TestGateway::start(World::with(openai)).await;
    let body = r#"{"zeta": 1, "model":"fast", "messages" : [], "alpha":[1.10]}"#;
    let mut request = super::request_gateway::request("/v1/chat/completions", &Value::Null);
    *request.body_mut() = http_body_util::Full::from(body);
    assert_eq!(gateway.ask(request).await.status, 200);
    assert_eq!(
        provider.received().await.body,
        body.replace("fast", "gpt-4o-mini")
    );
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (404, "model_not_found".into())
    );
}

#[tokio::test]
async fn models_lists_what_the_caller_may_use_and_no_more() {
    let mut world = World::with(echo());
    let mut second = echo();
    second.models = vec![
        model("chat", None),
        model("glob-*", None),
        model("fine", None),
    ];
    world
        .providers
        .push((object("second"), Provider::Upstream(second)));
    let mut with_model = rule("main", &["coder*", "plain"]);
    with_model.backends[0].model = Some("coder-big".into());
    let mut rest = rule("second", &[]);
    rest.backends = vec![backend("second")];
    world.route().rules = vec![with_model, rest];
    world.route().allow = Some(vec![
        grant(&["alice"], &[], &[]),
        grant(&["bob"], &[], &["plain", "fine"]),
    ]);
    let gateway = TestGateway::start(world).await;
    let ids = |answer: super::request_gateway::Answer| -> Vec<String> {
        let list = answer.json();
        let data = list["data"].as_array().unwrap().clone();
        data.iter()
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ids(gateway.get("/v1/models", KEY).await);
    assert_eq!(all, ["chat", "coder-big", "fine", "plain"]);
    assert_eq!(
        ids(gateway.get("/v1/models", BOBS_KEY).await),
        ["fine", "plain"]
    );
    assert_eq!(
        gateway.get("/v1/models/coder-x", KEY).await.json()["id"],
        "coder-x"
    );
    assert_eq!(
        gateway.get("/v1/models/coder-x", BOBS_KEY).await.code(),
        "model_not_found"
    );
    assert_eq!(gateway.get("/v1/models", "sk-nobody").await.status, 401);
}

#[tokio::test]
async fn what_was_used_is_settled_and_told() {
    let provider = FakeProvider::start(json(200, chat_answer("hi"))).await;
    let world = World::with(upstream("OpenAI", &provider.url()))
        .limited(quota(Amount::Tokens(100_000)))
        .limited(quota(Amount::Requests(10)));
    let gateway = TestGateway::start(world).await;
    let first = gateway.chat("hello").await;
    assert_eq!(first.header("x-ratelimit-limit-tokens"), Some("100000"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("9"));
    assert!(
        first
            .header("x-ratelimit-reset-tokens")
            .unwrap()
            .ends_with('s')
    );
    gateway.settled().await;
    let second = gateway.chat("hello").await;
    let remaining = |answer: &super::request_gateway::Answer| -> u64 {
        answer
            .header("x-ratelimit-remaining-tokens")
            .unwrap()
            .parse()
            .unwrap()
    };
    // The first took 18 tokens; what the second reserves is known from the first (its estimate of
    // bytes per token may have moved by a few).
    let reserved = 100_000 - remaining(&first);
    let difference = remaining(&second).abs_diff(100_000 - 18 - reserved);
    assert!(difference <= 4, "{difference}");
}

#[tokio::test]
async fn an_http2_client_is_served_the_same() {
    let provider = FakeProvider::start(events(STREAM, End::Clean)).await;
    let gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let request = http::Request::post("http://tenant.test/v1/chat/completions")
        .version(http::Version::HTTP_2)
        .header("x-api-key", KEY)
        .body(http_body_util::Full::from(chat_stream("x").to_string()))
        .unwrap();
    let answer = gateway.ask(request).await;
    assert_eq!((answer.status, answer.is_clean), (200, true));
    assert!(answer.events().1);
}

#[tokio::test]
async fn head_is_answered_with_a_length_and_no_body_in_both_versions() {
    let gateway = TestGateway::start(World::with(echo())).await;
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        for (path, status) in [("/v1/models", 200), ("/v1/chat/completions", 405)] {
            let request = http::Request::head(format!("http://tenant.test{path}"))
                .version(version)
                .header("x-api-key", KEY)
                .body(http_body_util::Full::default())
                .unwrap();
            let answer = gateway.ask(request).await;
            let got = (answer.status, answer.is_clean, answer.body.len());
            assert_eq!(got, (status, true, 0), "{version:?} {path}");
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert!(length > 0, "{version:?} {path}");
        }
    }
}
