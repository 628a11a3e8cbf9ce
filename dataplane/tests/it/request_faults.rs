//! What goes wrong with a provider, and what the client and the log are told of it.

use std::time::Duration;

use serde_json::{Value, json};
use turnpike_snapshot::provider::{Timeouts, Upstream};

use super::request_gateway::{Answer, TestGateway};
use super::request_provider::{End, FakeProvider, Script, chat_answer, events, json, reply};
use super::request_world::{World, timeouts, upstream};

const ROLE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const TEXT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"some words of the answer\"},\"finish_reason\":null}]}\n\n";
const ERROR: &str =
    "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"overloaded_error\"}}\n\n";
const SHORT: Duration = Duration::from_millis(100);

async fn gateway_to(provider: &FakeProvider) -> TestGateway {
    gateway_for(upstream("OpenAI", &provider.url())).await
}

async fn gateway_for(upstream: Upstream) -> TestGateway {
    TestGateway::start(World::with(upstream)).await
}

/// The same request, plain and streamed: before the first content both fail alike.
async fn both(gateway: &TestGateway) -> [Answer; 2] {
    [gateway.chat("x").await, gateway.chat_stream("x").await]
}

fn error(status: u16, code: &str) -> Script {
    json(
        status,
        json!({"error": {"message": "it said so", "type": code, "code": code}}),
    )
}

#[tokio::test]
async fn each_error_of_a_provider_has_its_class() {
    for (script, status, code, spent) in [
        (error(400, "invalid_value"), 400, "invalid_value", true),
        (
            error(400, "context_length_exceeded"),
            400,
            "context_length_exceeded",
            true,
        ),
        (
            error(401, "invalid_api_key"),
            502,
            "provider_credential",
            true,
        ),
        (error(403, "forbidden"), 502, "provider_credential", true),
        (error(404, "model_not_found"), 404, "model_not_found", true),
        (
            error(429, "rate_limit_exceeded"),
            429,
            "rate_limit_exceeded",
            true,
        ),
        (error(500, "internal_error"), 502, "", true),
        (error(503, "unavailable"), 503, "", true),
        (
            reply(500, "text/html", ["<html>".into()], End::Clean),
            502,
            "",
            true,
        ),
        (
            reply(302, "text/html", ["moved".into()], End::Clean),
            502,
            "",
            true,
        ),
    ] {
        let name = format!("{status} {code}");
        let provider = FakeProvider::start(script).await;
        let mut gateway = gateway_to(&provider).await;
        for answer in both(&gateway).await {
            assert_eq!(answer.status, status, "{name}: {answer:?}");
            if !code.is_empty() {
                assert_eq!(answer.code(), code, "{name}");
            }
            assert_eq!(
                answer.header("x-turnpike-error-source"),
                Some("provider"),
                "{name}"
            );
            assert_eq!(
                answer.header("content-type"),
                Some("application/json"),
                "{name}"
            );
            assert!(answer.header("www-authenticate").is_none());
            let line = gateway.log_line().await;
            assert_eq!(line["status"], status, "{name}");
            assert_eq!(line["end"], "error", "{name}");
            assert_eq!(line["tokens"].is_null(), spent, "{name}: {line}");
        }
    }
}

#[tokio::test]
async fn a_full_providers_retry_after_is_passed_on() {
    let Script::Reply {
        mut headers,
        chunks,
        status,
        end,
    } = error(429, "rate_limit_exceeded")
    else {
        panic!("it replies")
    };
    headers.push(("retry-after", "17".into()));
    let provider = FakeProvider::start(Script::Reply {
        headers,
        chunks,
        status,
        end,
    })
    .await;
    let gateway = gateway_to(&provider).await;
    for answer in both(&gateway).await {
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (429, Some("17"))
        );
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_502_without_its_address() {
    let mut gateway = gateway_for(upstream("OpenAI", "http://127.0.0.1:1/v1")).await;
    for answer in both(&gateway).await {
        assert_eq!(
            (answer.status, answer.code()),
            (502, "provider_unreachable".into())
        );
        assert!(
            answer.text().contains("connection refused"),
            "{}",
            answer.text()
        );
        assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
        assert_eq!(gateway.log_line().await["error"], "provider_unreachable");
    }
    let gateway = gateway_for(upstream("OpenAI", "http://no-such-host.invalid/v1")).await;
    let answer = gateway.chat("x").await;
    assert!(
        answer.text().contains("does not resolve"),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("no-such-host"), "{}", answer.text());
}

#[tokio::test]
async fn garbage_is_502() {
    for script in [
        reply(200, "text/html", ["<html>busy</html>".into()], End::Clean),
        reply(200, "application/json", ["[1".into()], End::Clean),
        reply(200, "application/json", ["".into()], End::Clean),
        reply(200, "application/json", ["{\"id\":".into()], End::Cut),
    ] {
        let provider = FakeProvider::start(script).await;
        let mut gateway = gateway_to(&provider).await;
        for answer in both(&gateway).await {
            assert_eq!(answer.status, 502, "{answer:?}");
            assert!(!answer.text().contains("busy"));
            let line = gateway.log_line().await;
            assert_eq!(line["status"], 502);
            // It took the request, so its prompt is charged, as an estimate.
            assert_eq!(line["tokens"]["estimated"], true);
        }
    }
}

#[tokio::test]
async fn an_error_within_a_success_is_an_error() {
    let body = json!({"error": {"message": "no", "type": "rate_limit_error", "code": "rate_limit_exceeded"}});
    let provider = FakeProvider::start(json(200, body)).await;
    let mut gateway = gateway_to(&provider).await;
    for answer in both(&gateway).await {
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(gateway.log_line().await["tokens"], Value::Null);
    }
}

#[tokio::test]
async fn a_fault_before_the_first_content_is_a_real_status() {
    for (script, status) in [
        (events([ROLE], End::Cut), 502),
        (events([ROLE], End::Clean), 502),
        (events([ROLE, ERROR], End::Clean), 429),
        (events([ERROR], End::Clean), 429),
        (events([": ping\n\n"], End::Cut), 502),
    ] {
        let provider = FakeProvider::start(script).await;
        let gateway = gateway_to(&provider).await;
        let answer = gateway.chat_stream("x").await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!answer.code().is_empty());
        assert!(answer.is_clean);
    }
}

#[tokio::test]
async fn a_stream_cut_after_content_ends_with_an_error_and_uncleanly() {
    for (script, end) in [
        (events([ROLE, TEXT], End::Cut), "provider_cut"),
        (events([ROLE, TEXT], End::Clean), "provider_cut"),
        (events([ROLE, TEXT, ERROR], End::Clean), "provider_fault"),
    ] {
        let provider = FakeProvider::start(script).await;
        let mut gateway = gateway_to(&provider).await;
        for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
            let body = super::request_gateway::chat_stream("x");
            let mut request = super::request_gateway::request("/v1/chat/completions", &body);
            if version == http::Version::HTTP_2 {
                *request.uri_mut() = "http://tenant.test/v1/chat/completions".parse().unwrap();
                request.headers_mut().remove("host");
                *request.version_mut() = version;
            }
            let answer = gateway.ask(request).await;
            assert_eq!(answer.status, 200);
            assert!(!answer.is_clean, "{version:?} {end}");
            let (events, is_done) = answer.events();
            assert!(!is_done);
            let last = events.last().unwrap();
            assert!(
                last["error"]["code"].is_string(),
                "{version:?} {end}: {last}"
            );
            let line = gateway.log_line().await;
            assert_eq!(line["end"], end, "{version:?}");
            assert_eq!(line["status"], 200);
            assert_eq!(line["tokens"]["estimated"], true);
            assert!(line["tokens"]["output"].as_u64().unwrap() > 0);
        }
        let fault = if end == "provider_cut" {
            "cut"
        } else {
            "capacity"
        };
        let name = format!("turnpike_upstream_faults_total{{fault=\"{fault}\"}}");
        assert_eq!(gateway.metric(&name), 2);
        let failed = if fault == "cut" { "5xx" } else { "4xx" };
        let name = format!("turnpike_requests_total{{operation=\"chat\",status=\"{failed}\"}}");
        assert_eq!(gateway.metric(&name), 2);
        assert!(gateway.stop().await.is_empty());
    }
}

async fn timed(provider: &FakeProvider, timeouts: Timeouts) -> TestGateway {
    let mut upstream = upstream("OpenAI", &provider.url());
    upstream.timeouts = timeouts;
    gateway_for(upstream).await
}

fn names_timeout(answer: &Answer, name: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (504, "provider_timeout".into()),
        "{name}"
    );
    assert!(
        answer.text().contains(&format!("{name} timeout 100ms")),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_silent_provider_times_out_by_name_and_is_let_go() {
    let provider = FakeProvider::start(Script::Silent).await;
    let mut gateway = timed(
        &provider,
        Timeouts {
            first_token: SHORT,
            ..timeouts()
        },
    )
    .await;
    names_timeout(&gateway.chat_stream("x").await, "firstToken");
    provider.left().await;
    assert_eq!(gateway.log_line().await["end"], "timeout:firstToken");
    let gateway = timed(
        &provider,
        Timeouts {
            total: SHORT,
            ..timeouts()
        },
    )
    .await;
    for answer in both(&gateway).await {
        names_timeout(&answer, "total");
        provider.left().await;
    }
}

#[tokio::test]
async fn frames_without_content_do_not_stop_the_first_tokens_clock() {
    let provider = FakeProvider::start(events([ROLE, ": ping\n\n"], End::Hang)).await;
    let gateway = timed(
        &provider,
        Timeouts {
            first_token: SHORT,
            ..timeouts()
        },
    )
    .await;
    names_timeout(&gateway.chat_stream("x").await, "firstToken");
    provider.left().await;
}

#[tokio::test]
async fn a_provider_that_stalls_in_mid_stream_ends_it_with_an_error() {
    let provider = FakeProvider::start(events([ROLE, TEXT], End::Hang)).await;
    let mut gateway = timed(
        &provider,
        Timeouts {
            idle: SHORT,
            ..timeouts()
        },
    )
    .await;
    let answer = gateway.chat_stream("x").await;
    assert_eq!((answer.status, answer.is_clean), (200, false));
    let (events, _) = answer.events();
    let message = events.last().unwrap()["error"]["message"].to_string();
    assert!(message.contains("idle timeout 100ms"), "{message}");
    provider.left().await;
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["end"], &line["error"]),
        (&json!("timeout:idle"), &json!("provider_timeout"))
    );
}

#[tokio::test]
async fn a_whole_answer_may_be_long_in_coming_but_not_stall() {
    let silent = reply(200, "application/json", [], End::Hang);
    let stalled = reply(200, "application/json", ["{".to_owned()], End::Hang);
    let idle = Timeouts {
        idle: SHORT,
        ..timeouts()
    };
    let both = Timeouts {
        idle: SHORT / 10,
        total: SHORT,
        ..timeouts()
    };
    for (script, timeouts, name) in [(silent, both, "total"), (stalled, idle, "idle")] {
        let provider = FakeProvider::start(script).await;
        let gateway = timed(&provider, timeouts).await;
        names_timeout(&gateway.chat("x").await, name);
        provider.left().await;
    }
}

#[tokio::test]
async fn a_provider_that_never_accepts_times_out_on_connect() {
    // A listener whose queue is full does not accept and does not refuse.
    let stuck = Stuck::start();
    let mut upstream = upstream("OpenAI", &format!("http://{}/v1", stuck.address));
    upstream.timeouts.connect = SHORT;
    let mut gateway = gateway_for(upstream).await;
    for answer in both(&gateway).await {
        names_timeout(&answer, "connect");
        let line = gateway.log_line().await;
        assert_eq!(
            (&line["end"], &line["tokens"]),
            (&json!("timeout:connect"), &Value::Null)
        );
    }
}

#[tokio::test]
async fn a_provider_over_tls_is_reached_by_http2_if_its_certificate_is_trusted() {
    let (mut provider, certificate) =
        FakeProvider::start_tls(events([ROLE, TEXT, "data: [DONE]\n\n"], End::Clean)).await;
    let url = format!("https://localhost:{}/v1", provider.address.port());
    let gateway = TestGateway::trusting(World::with(upstream("OpenAI", &url)), certificate).await;
    for _ in 0..3 {
        let answer = gateway.chat_stream("x").await;
        assert!(answer.is_clean && answer.events().1, "{answer:?}");
        let received = provider.received().await;
        assert_eq!(received.version, http::Version::HTTP_2);
        assert_eq!(received.path, "/v1/chat/completions");
    }
    assert_eq!(provider.connections(), 1);

    let (_, other) = FakeProvider::start_tls(Script::Silent).await;
    let gateway = TestGateway::trusting(World::with(upstream("OpenAI", &url)), other).await;
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "provider_unreachable".into())
    );
    assert!(
        answer.text().contains("TLS certificate"),
        "{}",
        answer.text()
    );
    assert!(provider.is_idle());
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_on_a_shared_connection() {
    let (mut provider, certificate) =
        FakeProvider::start_tls(events([ROLE, TEXT], End::Hang)).await;
    let url = format!("https://localhost:{}/v1", provider.address.port());
    let gateway = TestGateway::trusting(World::with(upstream("OpenAI", &url)), certificate).await;
    let body = super::request_gateway::chat_stream("x");
    for _ in 0..3 {
        let request = super::request_gateway::request("/v1/chat/completions", &body);
        drop(gateway.open(request).await);
        super::request_gateway::soon(provider.left()).await;
        provider.received().await;
    }
    assert_eq!(provider.connections(), 1);
}

/// A port that nobody takes connections from, its queue filled.
struct Stuck {
    address: std::net::SocketAddr,
    _socket: tokio::net::TcpListener,
    _queue: Vec<std::net::TcpStream>,
}

impl Stuck {
    fn start() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let socket = socket.listen(1).unwrap();
        let address = socket.local_addr().unwrap();
        let fill = || std::net::TcpStream::connect_timeout(&address, SHORT);
        let queue = std::iter::from_fn(|| fill().ok()).take(64).collect();
        Self {
            address,
            _socket: socket,
            _queue: queue,
        }
    }
}

#[tokio::test]
async fn a_compressed_answer_is_502() {
    let Script::Reply {
        mut headers,
        chunks,
        status,
        end,
    } = json(200, chat_answer("x"))
    else {
        panic!("it replies")
    };
    headers.push(("content-encoding", "gzip".into()));
    let provider = FakeProvider::start(Script::Reply {
        headers,
        chunks,
        status,
        end,
    })
    .await;
    let answer = gateway_to(&provider).await.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "provider_bad_answer".into())
    );
}

#[tokio::test]
async fn the_echo_vendor_fails_on_request() {
    let mut echo = super::request_world::echo();
    echo.timeouts = Timeouts {
        first_token: SHORT,
        idle: SHORT,
        total: SHORT,
        ..timeouts()
    };
    let gateway = gateway_for(echo).await;
    for (text, plain, streamed) in [
        ("/fail 401", 502, 502),
        ("/fail 429", 429, 429),
        ("/fail 500", 502, 502),
        ("/fail garbage", 502, 502),
        ("/fail hang", 504, 504),
    ] {
        assert_eq!(gateway.chat(text).await.status, plain, "{text}");
        assert_eq!(gateway.chat_stream(text).await.status, streamed, "{text}");
    }
    assert!(
        !gateway
            .chat_stream("/fail cut one two three four")
            .await
            .is_clean
    );
}
