//! What must never get out, and what must never get in: keys, content, made-up identities.

use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use serde_json::json;

use super::request_gateway::{TestGateway, chat, chat_stream};
use super::request_provider::{End, FakeProvider, Script, chat_answer, events, json};
use super::request_world::{BOBS_KEY, HOST, KEY, PROVIDER_KEY, World, upstream};

const CONTENT: &str = "canary-content-4711";

#[tokio::test]
async fn no_key_and_no_content_is_in_a_log_line_or_an_error() {
    let echoing = |status| {
        let message = format!("Incorrect API key provided: {PROVIDER_KEY}. See http://10.0.0.7/x");
        json(
            status,
            json!({"error": {"message": message, "type": "x", "code": "x"}}),
        )
    };
    let late = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{CONTENT}\"}}}}]}}\n\n");
    let late_error = format!("data: {{\"error\":{{\"message\":\"bad key {PROVIDER_KEY}\"}}}}\n\n");
    for script in [
        echoing(400),
        echoing(401),
        echoing(403),
        echoing(429),
        echoing(500),
        json(200, json!({"error": {"message": PROVIDER_KEY}})),
        json(200, json!([PROVIDER_KEY])),
        json(200, chat_answer(CONTENT)),
        events([&late, &late_error], End::Clean),
        events([&late], End::Cut),
    ] {
        let provider = FakeProvider::start(script).await;
        let gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
        let answers = [
            gateway.chat(CONTENT).await,
            gateway.chat_stream(CONTENT).await,
            gateway.get("/v1/models", "sk-wrong-canary-key-0815").await,
        ];
        for answer in answers {
            let told = format!("{:?} {:?}", answer.headers, answer.text());
            for secret in [PROVIDER_KEY, KEY, "sk-wrong-canary-key-0815", "10.0.0.7"] {
                assert!(!told.contains(secret), "{secret} in {told}");
            }
        }
        let lines = gateway.stop().await;
        assert_eq!(lines.len(), 3);
        for line in lines {
            for secret in [PROVIDER_KEY, KEY, "sk-wrong-canary-key-0815", CONTENT] {
                assert!(!line.contains(secret), "{secret} in {line}");
            }
        }
    }
}

#[tokio::test]
async fn a_query_is_not_in_the_log() {
    let mut gateway = TestGateway::start(World::with(super::request_world::echo())).await;
    gateway
        .post("/v1/chat/completions?api-key=canary", &chat("x"))
        .await;
    assert_eq!(gateway.log_line().await["path"], "/v1/chat/completions");
}

#[tokio::test]
async fn made_up_identities_change_nothing_upstream_or_here() {
    let spoofed = [
        ("x-turnpike-consumer", "bob"),
        ("x_turnpike_consumer", "bob"),
        ("x-consumer", "bob"),
        ("x-consumer-groups", "iron"),
        ("x-mse-consumer", "bob"),
        ("x-forwarded-host", "other.test"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "host=other.test"),
        ("x-real-ip", "10.0.0.1"),
        ("x-original-url", "/v1/embeddings"),
        ("cookie", "session=1"),
        ("proxy-authorization", "Basic eDp5"),
        ("openai-organization", "org-of-the-caller"),
        ("x-portkey-config", "{}"),
        ("idempotency-key", "1"),
        ("connection", "x-turnpike-consumer"),
        ("x-api-base", "http://evil.test"),
    ];
    let mut provider = FakeProvider::start(json(200, chat_answer("x"))).await;
    let mut gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let request = || {
        Request::post("/v1/chat/completions")
            .header("host", HOST)
            .header("x-api-key", KEY)
            .header("x-request-id", "same")
            .body(Full::from(chat("x").to_string()))
            .unwrap()
    };
    assert_eq!(gateway.ask(request()).await.status, 200);
    let plain = provider.received().await;
    let plain_line = gateway.log_line().await;
    let mut twice = request();
    for (name, value) in spoofed {
        for _ in 0..2 {
            let name = HeaderName::from_static(name);
            twice
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
    }
    assert_eq!(gateway.ask(twice).await.status, 200);
    let received = provider.received().await;
    assert_eq!(received.headers, plain.headers);
    assert_eq!(received.body, plain.body);
    let line = gateway.log_line().await;
    for field in ["consumer", "namespace", "route", "rule", "host", "provider"] {
        assert_eq!(line[field], plain_line[field], "{field}");
    }
}

#[tokio::test]
async fn the_target_of_a_request_decides_not_its_host_header() {
    let gateway = TestGateway::start(World::with(super::request_world::echo())).await;
    for (target, host, status) in [
        ("http://tenant.test/v1/chat/completions", "other.test", 200),
        ("http://other.test/v1/chat/completions", HOST, 404),
        (
            "http://TENANT.test.:8080/v1/chat/completions",
            "other.test",
            200,
        ),
    ] {
        let body = chat("x").to_string();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = super::request_wire::exchange(&gateway, &[head.as_bytes()]).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_key_of_one_consumer_never_counts_for_another() {
    let mut gateway = TestGateway::start(World::with(super::request_world::echo())).await;
    for (key, name) in [(KEY, "alice"), (BOBS_KEY, "bob")] {
        let request = Request::post("/v1/chat/completions")
            .header("host", HOST)
            .header("x-api-key", key)
            .header("x-turnpike-consumer", "alice")
            .body(Full::from(chat_stream("x").to_string()))
            .unwrap();
        assert_eq!(gateway.ask(request).await.status, 200);
        assert_eq!(gateway.log_line().await["consumer"], name);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut elsewhere = FakeProvider::start(json(200, chat_answer("x"))).await;
    let Script::Reply {
        mut headers,
        chunks,
        end,
        ..
    } = json(307, json!({}))
    else {
        panic!("it replies")
    };
    headers.push(("location", elsewhere.url()));
    let script = Script::Reply {
        status: 307,
        headers,
        chunks,
        end,
    };
    let provider = FakeProvider::start(script).await;
    let gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let answer = gateway.chat("x").await;
    assert_eq!((answer.status, answer.header("location")), (502, None));
    assert!(elsewhere.is_idle());
}
