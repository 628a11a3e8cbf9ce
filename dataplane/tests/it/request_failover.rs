//! What follows an attempt that failed: another backend, the same again, or the failure itself.

use std::time::Duration;

use serde_json::{Value, json};
use turnpike_snapshot::domain::Backend;
use turnpike_snapshot::provider::Provider;
use turnpike_snapshot::quota::Amount;
use turnpike_snapshot::retries::{Failure, Retries};

use super::request_gateway::{Answer, TestGateway};
use super::request_provider::{End, FakeProvider, Script, chat_answer, events, json, reply};
use super::request_world::{World, backend, object, quota, upstream};

pub(super) const ROLE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
pub(super) const HALF: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half an answer\"},\"finish_reason\":null}]}\n\n";
pub(super) const WORDS: &str = "data: {\"id\":\"d\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"the whole answer\"},\"finish_reason\":\"stop\"}]}\n\n";
pub(super) const USAGE: &str = "data: {\"id\":\"d\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n";
pub(super) const DONE: &str = "data: [DONE]\n\n";
pub(super) const ERROR: &str =
    "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"overloaded_error\"}}\n\n";
const NOBODY: &str = "http://127.0.0.1:1/v1";
const SHORT: Duration = Duration::from_millis(100);
pub(super) const ALL: [Failure; 5] = [
    Failure::Timeout,
    Failure::Connect,
    Failure::RateLimited,
    Failure::Server,
    Failure::CredentialRejected,
];

pub(super) fn to_others(conditions: &[Failure]) -> Retries {
    Retries {
        conditions: conditions.to_vec(),
        is_failover: true,
        ..Retries::default()
    }
}

pub(super) fn again(attempts: u32) -> Retries {
    Retries {
        conditions: ALL.to_vec(),
        attempts,
        ..Retries::default()
    }
}

/// Each provider in a tier of its own, in this order; the first for the model `m-0`, and so on.
pub(super) fn tiers(urls: &[String], retries: Retries) -> World {
    let mut world = World::with(upstream("OpenAI", &urls[0]));
    world.providers.clear();
    let mut backends = Vec::new();
    for (at, url) in urls.iter().enumerate() {
        let name = format!("p-{at}");
        let provider = Provider::Upstream(upstream("OpenAI", url));
        world.providers.push((object(&name), provider));
        backends.push(Backend {
            model: Some(format!("m-{at}")),
            priority: at as u32,
            ..backend(&name)
        });
    }
    let rule = &mut world.route().rules[0];
    rule.backends = backends;
    rule.retries = retries;
    world
}

/// Answers plainly, and in one stream.
pub(super) async fn good(is_streaming: bool) -> FakeProvider {
    FakeProvider::start(match is_streaming {
        false => json(200, chat_answer("the whole answer")),
        true => events([ROLE, WORDS, USAGE, DONE], End::Clean),
    })
    .await
}

pub(super) fn error(status: u16, code: &str) -> Script {
    json(
        status,
        json!({"error": {"message": "it said so", "type": code, "code": code}}),
    )
}

async fn ask(gateway: &TestGateway, is_streaming: bool) -> Answer {
    match is_streaming {
        false => gateway.chat("x").await,
        true => gateway.chat_stream("x").await,
    }
}

fn is_whole(answer: &Answer) -> bool {
    answer.status == 200
        && answer.is_clean
        && answer.text().matches("the whole answer").count() == 1
        && !answer.text().contains("half an answer")
        && !answer.text().contains("error")
}

#[tokio::test]
async fn whatever_fails_before_content_is_answered_by_the_next() {
    let scripts = || {
        [
            (error(429, "rate_limit_exceeded"), "capacity"),
            (error(500, "internal_error"), "transient"),
            (error(401, "invalid_api_key"), "credential"),
            (
                reply(502, "text/html", ["<html>".into()], End::Clean),
                "transient",
            ),
            (
                reply(200, "text/html", ["<html>".into()], End::Clean),
                "garbage",
            ),
        ]
    };
    let streams = [
        (events([ROLE], End::Cut), "cut"),
        (events([ROLE], End::Clean), "cut"),
        (events([ERROR], End::Clean), "capacity"),
        (events([": ping\n\n", ROLE, ERROR], End::Clean), "capacity"),
    ];
    let plain = scripts().map(|(script, fault)| (script, fault, false));
    let streamed = scripts().map(|(script, fault)| (script, fault, true));
    let held = streams.map(|(script, fault)| (script, fault, true));
    for (script, fault, is_streaming) in plain.into_iter().chain(streamed).chain(held) {
        let mut bad = FakeProvider::start(script).await;
        let mut next = good(is_streaming).await;
        let world = tiers(&[bad.url(), next.url()], to_others(&ALL));
        let mut gateway = TestGateway::start(world).await;
        let answer = ask(&gateway, is_streaming).await;
        assert!(is_whole(&answer), "{fault} {is_streaming}: {answer:?}");
        // Each is sent the request as it came, with its own name for the model.
        for (provider, model) in [(&mut bad, "m-0"), (&mut next, "m-1")] {
            let body: Value = serde_json::from_slice(&provider.received().await.body).unwrap();
            assert_eq!(body["model"], model);
            assert_eq!(
                body["messages"],
                super::request_gateway::chat("x")["messages"]
            );
            assert!(provider.is_idle());
        }
        let line = gateway.log_line().await;
        assert_eq!(line["provider"], "tenant/p-1", "{line}");
        assert_eq!(line["failed_attempts"], 1, "{line}");
        assert_eq!(line["end"], "complete", "{line}");
        assert_eq!(line["tokens"]["input"], 11, "{line}");
        let name = format!("turnpike_upstream_faults_total{{fault=\"{fault}\"}}");
        assert_eq!(gateway.metric(&name), 1, "{fault} {is_streaming}");
    }
}

#[tokio::test]
async fn content_and_an_error_in_one_piece_are_not_tried_again() {
    let both = format!("{ROLE}{HALF}{ERROR}");
    let bad = FakeProvider::start(events([both.as_str()], End::Clean)).await;
    let mut next = good(true).await;
    let gateway = TestGateway::start(tiers(&[bad.url(), next.url()], to_others(&ALL))).await;
    let answer = gateway.chat_stream("x").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.is_clean);
    assert!(answer.text().contains("half an answer"), "{answer:?}");
    assert!(!answer.text().contains("the whole answer"), "{answer:?}");
    assert!(next.is_idle());
}

#[tokio::test]
async fn the_callers_own_faults_go_nowhere_else() {
    for (script, status) in [
        (error(400, "invalid_value"), 400),
        (error(400, "context_length_exceeded"), 400),
        (error(404, "model_not_found"), 404),
    ] {
        let bad = FakeProvider::start(script).await;
        let mut next = good(false).await;
        let gateway = TestGateway::start(tiers(&[bad.url(), next.url()], to_others(&ALL))).await;
        assert_eq!(gateway.chat("x").await.status, status);
        assert!(next.is_idle());
    }
}

#[tokio::test]
async fn only_the_conditions_of_the_rule_count() {
    let bad = FakeProvider::start(error(401, "invalid_api_key")).await;
    let mut next = good(false).await;
    let usual = [Failure::Timeout, Failure::Connect, Failure::RateLimited];
    let gateway = TestGateway::start(tiers(&[bad.url(), next.url()], to_others(&usual))).await;
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (502, "provider_credential".into())
    );
    assert!(next.is_idle());
}

#[tokio::test]
async fn when_the_last_fails_as_well_its_failure_is_a_real_status() {
    let first = FakeProvider::start(events([ROLE, ERROR], End::Clean)).await;
    let second = FakeProvider::start(error(500, "internal_error")).await;
    let urls = [first.url(), NOBODY.to_owned(), second.url()];
    let mut gateway = TestGateway::start(tiers(&urls, to_others(&ALL))).await;
    let answer = gateway.chat_stream("x").await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.is_clean);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let line = gateway.log_line().await;
    assert_eq!(line["failed_attempts"], 2, "{line}");
    assert_eq!(line["provider"], "tenant/p-2", "{line}");
}

#[tokio::test]
async fn a_provider_that_is_gone_or_silent_is_passed_over() {
    let next = good(false).await;
    let urls = [NOBODY.to_owned(), next.url()];
    let gateway = TestGateway::start(tiers(&urls, to_others(&[Failure::Connect]))).await;
    assert!(is_whole(&gateway.chat("x").await));

    for (is_streaming, script) in [
        (false, Script::Silent),
        (true, Script::Silent),
        (true, events([ROLE], End::Hang)),
    ] {
        let silent = FakeProvider::start(script).await;
        let next = good(is_streaming).await;
        let retries = Retries {
            per_attempt_timeout: SHORT,
            ..to_others(&[Failure::Timeout])
        };
        let world = tiers(&[silent.url(), next.url()], retries);
        let gateway = TestGateway::start(world).await;
        let answer = ask(&gateway, is_streaming).await;
        assert!(is_whole(&answer), "{is_streaming}: {answer:?}");
        silent.left().await;
    }
}

#[tokio::test]
async fn the_timeout_of_an_attempt_ends_with_its_first_content() {
    let slow = FakeProvider::start(events([ROLE, HALF], End::Hang)).await;
    let retries = Retries {
        per_attempt_timeout: SHORT,
        ..to_others(&ALL)
    };
    let mut upstream = upstream("OpenAI", &slow.url());
    upstream.timeouts.idle = Duration::from_secs(1);
    let mut world = tiers(&[slow.url(), NOBODY.to_owned()], retries);
    world.providers[0].1 = Provider::Upstream(upstream);
    let mut gateway = TestGateway::start(world).await;
    let answer = gateway.chat_stream("x").await;
    assert!(answer.text().contains("idle timeout 1s"), "{answer:?}");
    assert_eq!(gateway.log_line().await["end"], "timeout:idle");
}

#[tokio::test]
async fn the_same_is_asked_again_as_often_as_the_rule_says() {
    let mut bad = FakeProvider::start(error(500, "internal_error")).await;
    let mut gateway = TestGateway::start(tiers(&[bad.url()], again(2))).await;
    assert_eq!(gateway.chat("x").await.status, 502);
    for _ in 0..3 {
        bad.received().await;
    }
    assert!(bad.is_idle());
    assert_eq!(gateway.log_line().await["failed_attempts"], 2);
}

#[tokio::test]
async fn a_provider_that_asks_for_a_long_pause_is_left_alone() {
    for (after, asked) in [("60", 1), ("1", 2)] {
        let mut script = error(429, "rate_limit_exceeded");
        if let Script::Reply { headers, .. } = &mut script {
            headers.push(("retry-after", after.into()));
        }
        let mut full = FakeProvider::start(script).await;
        let gateway = TestGateway::start(tiers(&[full.url()], again(1))).await;
        let answer = gateway.chat("x").await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (429, Some(after))
        );
        for _ in 0..asked {
            full.received().await;
        }
        assert!(full.is_idle(), "{after}");
    }
}

#[tokio::test]
async fn no_attempt_begins_after_the_requests_time() {
    let silent = FakeProvider::start(Script::Silent).await;
    let mut next = good(false).await;
    let mut world = tiers(&[silent.url(), next.url()], to_others(&ALL));
    for (_, provider) in &mut world.providers {
        if let Provider::Upstream(upstream) = provider {
            upstream.timeouts.total = SHORT;
        }
    }
    let gateway = TestGateway::start(world).await;
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (504, "provider_timeout".into())
    );
    assert!(next.is_idle());
}

#[tokio::test]
async fn a_request_is_charged_once_by_the_answer_that_it_got() {
    let bad = FakeProvider::start(error(500, "internal_error")).await;
    let next = good(false).await;
    let world =
        tiers(&[bad.url(), next.url()], to_others(&ALL)).limited(quota(Amount::Requests(2)));
    let gateway = TestGateway::start(world).await;
    for _ in 0..2 {
        assert!(is_whole(&gateway.chat("x").await));
        gateway.settled().await;
    }
    let refused = gateway.chat("x").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("x-turnpike-error-source"), Some("gateway"));
}
