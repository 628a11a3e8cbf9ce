//! What the gateway itself refuses: who asks, what is asked, how much; each in OpenAI's shape.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use turnpike_snapshot::domain::{Authentication, HeaderMatch, Match, PathMatch};
use turnpike_snapshot::provider::Provider;
use turnpike_snapshot::quota::Amount;

use super::request_gateway::{Answer, TestGateway, chat, request};
use super::request_provider::{FakeProvider, chat_answer, json};
use super::request_world::{
    BOBS_KEY, HOST, KEY, World, echo, grant, model, object, quota, rule, upstream,
};

const CHAT: &str = "/v1/chat/completions";

/// A chat with these headers and no others but the host.
async fn with_headers(gateway: &TestGateway, headers: &[(&str, &str)]) -> Answer {
    let mut builder = Request::post(CHAT).header("host", HOST);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    gateway
        .ask(builder.body(Full::from(chat("x").to_string())).unwrap())
        .await
}

/// The status and code that a body is answered with.
async fn with_body(gateway: &TestGateway, body: &str) -> (u16, String) {
    let mut asked = request(CHAT, &Value::Null);
    *asked.body_mut() = Full::from(body.to_owned());
    let answer = gateway.ask(asked).await;
    (answer.status, answer.code())
}

#[tokio::test]
async fn a_key_must_be_one_that_verifies() {
    let mut world = World::with(echo());
    let mut carol = world.consumers[1].0.clone();
    carol.name = object("carol");
    world
        .consumers
        .push((carol.clone(), "sk-turnpike-carol-expired", Some(1)));
    carol.name = object("dave");
    carol.is_suspended = true;
    world
        .consumers
        .push((carol, "sk-turnpike-dave-suspended", None));
    let gateway = TestGateway::start(world).await;
    let bearer = format!("Bearer {KEY}");
    for (headers, status, code) in [
        (&[][..], 401, "missing_api_key"),
        (&[("authorization", "Basic eDp5")], 401, "missing_api_key"),
        (
            &[("authorization", "Bearer sk-turnpike-nobody-here")],
            401,
            "invalid_api_key",
        ),
        (
            &[("x-api-key", "sk-turnpike-carol-expired")],
            401,
            "invalid_api_key",
        ),
        (
            &[("x-api-key", "sk-turnpike-dave-suspended")],
            403,
            "consumer_suspended",
        ),
        (
            &[("x-api-key", KEY), ("api-key", BOBS_KEY)],
            401,
            "multiple_keys",
        ),
        (&[("authorization", &bearer)], 200, ""),
        (&[("x-api-key", KEY)], 200, ""),
        (&[("api-key", KEY)], 200, ""),
        (&[("x-goog-api-key", KEY)], 200, ""),
        (&[("x-api-key", KEY), ("authorization", &bearer)], 200, ""),
        (
            &[
                ("x-api-key", "sk-left-over-from-a-vendor"),
                ("authorization", &bearer),
            ],
            200,
            "",
        ),
    ] {
        let answer = with_headers(&gateway, headers).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (status, code),
            "{headers:?}"
        );
        let scheme = (status == 401).then_some("Bearer");
        assert_eq!(answer.header("www-authenticate"), scheme, "{headers:?}");
    }
}

#[tokio::test]
async fn where_a_key_is_optional_a_wrong_one_is_still_refused() {
    let mut world = World::with(echo());
    world.route().authentication = Some(Authentication::Optional {
        anonymous_consumer: Some("bob".into()),
    });
    world.route().allow = Some(vec![
        grant(&["bob"], &[], &["m"]),
        grant(&["alice"], &[], &[]),
    ]);
    let mut gateway = TestGateway::start(world).await;
    assert_eq!(with_headers(&gateway, &[]).await.status, 200);
    assert_eq!(gateway.log_line().await["consumer"], "bob");
    assert_eq!(
        with_headers(&gateway, &[("x-api-key", "sk-nobody")])
            .await
            .status,
        401
    );
    let other = Request::post(CHAT)
        .header("host", HOST)
        .body(Full::from(r#"{"model":"other","messages":[]}"#))
        .unwrap();
    assert_eq!(gateway.ask(other).await.code(), "model_not_allowed");
}

#[tokio::test]
async fn anonymous_callers_without_a_consumer_pass_only_where_nobody_is_named() {
    let mut world = World::with(echo());
    world.route().authentication = Some(Authentication::Optional {
        anonymous_consumer: None,
    });
    let gateway = TestGateway::start(world).await;
    assert_eq!(with_headers(&gateway, &[]).await.status, 200);
    let mut world = World::with(echo());
    world.route().authentication = Some(Authentication::Optional {
        anonymous_consumer: None,
    });
    world.route().allow = Some(vec![grant(&[], &["gold"], &[])]);
    let gateway = TestGateway::start(world).await;
    assert_eq!(with_headers(&gateway, &[]).await.code(), "missing_api_key");
    assert_eq!(
        with_headers(&gateway, &[("x-api-key", BOBS_KEY)])
            .await
            .code(),
        "consumer_not_allowed"
    );
    assert_eq!(
        with_headers(&gateway, &[("x-api-key", KEY)]).await.status,
        200
    );
}

#[tokio::test]
async fn what_does_not_exist_is_404_and_says_what() {
    let mut world = World::with(echo());
    world.route().rules = vec![rule("main", &["gpt-*"])];
    let mut gateway = TestGateway::start(world).await;
    let unknown = Request::post(CHAT)
        .header("host", "other.test")
        .body(Full::default())
        .unwrap();
    let answer = gateway.ask(unknown).await;
    assert_eq!((answer.status, answer.code()), (404, "unknown_host".into()));
    assert_eq!(answer.header("x-turnpike-error-source"), Some("gateway"));
    assert_eq!(
        answer.json()["request_id"],
        answer.header("x-request-id").unwrap()
    );
    assert_eq!(gateway.chat("x").await.code(), "model_not_found");
    assert_eq!(
        gateway.post("/v1/images", &json!({})).await.code(),
        "unknown_path"
    );
    let wrong_method = gateway.get(CHAT, KEY).await;
    assert_eq!(
        (wrong_method.status, wrong_method.header("allow")),
        (405, Some("POST"))
    );
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["status"], &line["error"]),
        (&json!(404), &json!("unknown_host"))
    );
    assert_eq!(
        (&line["end"], &line["tokens"]),
        (&json!("error"), &Value::Null)
    );
}

#[tokio::test]
async fn no_host_or_two_are_400() {
    let gateway = TestGateway::start(World::with(echo())).await;
    let two = Request::post(CHAT)
        .header("host", HOST)
        .header("host", "b.test");
    let answer = gateway.ask(two.body(Full::default()).unwrap()).await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_host".into()));
}

#[tokio::test]
async fn a_body_must_be_one_json_object_with_a_model() {
    let gateway = TestGateway::start(World::with(echo())).await;
    for (body, code) in [
        ("", "invalid_json"),
        ("hello", "invalid_json"),
        ("[1]", "invalid_json"),
        (r#"{"model":"m"} x"#, "invalid_json"),
        (r#"{"messages":[]}"#, "missing_model"),
        (r#"{"model":7}"#, "invalid_type"),
        (r#"{"model":"m","model":"n"}"#, "duplicate_member"),
    ] {
        assert_eq!(
            with_body(&gateway, body).await,
            (400, code.into()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_body_over_the_routes_bound_is_413_and_names_the_knob() {
    let mut world = World::with(echo());
    world.route().max_body_bytes = Some(100);
    // A second route with more room: the bound is that of the route that matches.
    let mut second = world.domain.routes[0].clone();
    second.name = "second".into();
    second.max_body_bytes = Some(1000);
    world.route().rules = vec![rule("main", &["m"])];
    world.domain.routes.push(second);
    let gateway = TestGateway::start(world).await;
    let padded = |model: &str, length: usize| {
        let rest =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}}],"x":""}}"#);
        rest.replace(
            r#""x":"""#,
            &format!(r#""x":"{}""#, "y".repeat(length - rest.len())),
        )
    };
    assert_eq!(with_body(&gateway, &padded("m", 100)).await.0, 200);
    assert_eq!(
        with_body(&gateway, &padded("m", 101)).await,
        (413, "request_too_large".into())
    );
    assert_eq!(with_body(&gateway, &padded("n", 1000)).await.0, 200);
    let answer = gateway.chat(&"y".repeat(1000)).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("maxBodyBytes"), "{}", answer.text());
}

#[tokio::test]
async fn the_first_rule_that_matches_wins() {
    let mut world = World::with(echo());
    let matching = |one: Match| {
        let mut rule = rule("main", &[]);
        rule.matches = vec![one];
        rule
    };
    let mut rules = vec![
        matching(Match {
            path: Some(PathMatch::Exact("/exact/v1/chat/completions".into())),
            ..Match::default()
        }),
        matching(Match {
            path: Some(PathMatch::Prefix("/team".into())),
            ..Match::default()
        }),
        matching(Match {
            headers: vec![HeaderMatch {
                name: "x-beta".into(),
                value: "1".into(),
            }],
            ..Match::default()
        }),
        matching(Match {
            groups: vec!["gold".into()],
            models: vec!["m".into()],
            ..Match::default()
        }),
    ];
    for (i, rule) in rules.iter_mut().enumerate() {
        rule.name = format!("r{i}");
    }
    world.route().rules = rules;
    let mut gateway = TestGateway::start(world).await;
    for (path, header, key, expected) in [
        ("/exact/v1/chat/completions", "0", KEY, "r0"),
        ("/team/v1/chat/completions", "1", KEY, "r1"),
        ("/teams/v1/chat/completions", "1", KEY, "r2"),
        (CHAT, "0", KEY, "r3"),
    ] {
        let request = Request::post(path)
            .header("host", HOST)
            .header("x-beta", header)
            .header("x-api-key", key)
            .body(Full::from(chat("x").to_string()))
            .unwrap();
        assert_eq!(gateway.ask(request).await.status, 200, "{path}");
        assert_eq!(gateway.log_line().await["rule"], expected, "{path}");
    }
    let answer = with_headers(&gateway, &[("x-api-key", BOBS_KEY)]).await;
    assert_eq!(
        (answer.status, answer.code()),
        (404, "no_matching_rule".into())
    );
}

#[tokio::test]
async fn over_a_limit_is_429_in_the_quotas_own_words() {
    let mut provider = FakeProvider::start(json(200, chat_answer("hi"))).await;
    let world =
        World::with(upstream("OpenAI", &provider.url())).limited(quota(Amount::Requests(2)));
    let gateway = TestGateway::start(world).await;
    for _ in 0..2 {
        assert_eq!(gateway.chat("x").await.status, 200);
        provider.received().await;
    }
    let answer = gateway.chat("x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (429, "token_quota_exceeded".into())
    );
    assert_eq!(
        answer.json()["error"]["message"],
        "gold plan: that much a minute"
    );
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    let retry_after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=120).contains(&retry_after));
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
    assert!(provider.is_idle());
    // Bob has a counter of his own.
    assert_eq!(
        with_headers(&gateway, &[("x-api-key", BOBS_KEY)])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_that_no_limit_could_ever_hold_is_told_so_without_retry_after() {
    let world = World::with(echo()).limited(quota(Amount::Tokens(500)));
    let gateway = TestGateway::start(world).await;
    let mut body = chat("x");
    body["max_tokens"] = 501.into();
    let answer = gateway.post(CHAT, &body).await;
    assert_eq!(
        (answer.status, answer.code()),
        (429, "request_too_large_for_quota".into())
    );
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    body["max_tokens"] = 50.into();
    assert_eq!(gateway.post(CHAT, &body).await.status, 200);
}

#[tokio::test]
async fn a_request_that_never_reached_a_provider_counts_for_nothing() {
    let mut world = World::with(upstream("OpenAI", "http://127.0.0.1:1/v1"))
        .limited(quota(Amount::Requests(2)));
    let faulty = Provider::Faulty {
        reason: "Secret deepseek-keys does not exist".into(),
        keeps_previous: false,
    };
    world.providers.push((object("faulty"), faulty));
    world.route().rules = vec![rule("faulty", &["faulty"]), rule("main", &[])];
    let gateway = TestGateway::start(world).await;
    for _ in 0..4 {
        assert_eq!(gateway.chat("x").await.code(), "provider_unreachable");
        gateway.settled().await;
        let answer = gateway
            .post(CHAT, &json!({"model": "faulty", "messages": []}))
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (503, "provider_unavailable".into())
        );
        assert!(
            answer
                .text()
                .contains("Secret deepseek-keys does not exist")
        );
        gateway.settled().await;
    }
}

#[tokio::test]
async fn what_anthropic_has_no_word_for_is_refused_by_name() {
    let world = World::with(upstream("Anthropic", "http://127.0.0.1:1"));
    let gateway = TestGateway::start(world).await;
    let answer = gateway
        .post("/v1/embeddings", &json!({"model": "m", "input": "x"}))
        .await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "unsupported_parameter".into())
    );
    assert_eq!(answer.json()["error"]["param"], "model");
}

#[tokio::test]
async fn a_backend_without_the_model_is_not_chosen_for_it() {
    let mut world = World::with(echo());
    let mut other = echo();
    other.models = vec![model("other", None)];
    world
        .providers
        .push((object("other"), Provider::Upstream(other)));
    let mut both = rule("main", &[]);
    both.backends.push(super::request_world::backend("other"));
    both.backends[1].weight = 1_000_000;
    world.route().rules = vec![both];
    let mut gateway = TestGateway::start(world).await;
    for _ in 0..5 {
        assert_eq!(gateway.chat("x").await.status, 200);
        assert_eq!(gateway.log_line().await["provider"], "tenant/main");
    }
}

#[tokio::test]
async fn a_compressed_body_is_415() {
    let gateway = TestGateway::start(World::with(echo())).await;
    let mut asked = request(CHAT, &chat("x"));
    asked
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    let answer = gateway.ask(asked).await;
    assert_eq!(
        (answer.status, answer.code()),
        (415, "unsupported_content_encoding".into())
    );
}
