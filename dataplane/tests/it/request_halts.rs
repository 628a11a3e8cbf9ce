//! Providers that are drained or blocked: who is asked instead, and what becomes of the requests
//! under way.

use http_body_util::BodyExt;
use serde_json::json;
use turnpike_snapshot::provider::{Halt, Halted, Model, Provider};
use turnpike_snapshot::{Name, Snapshot};

use super::request_gateway::{TestGateway, chat, chat_stream, read, request, soon};
use super::request_provider::{End, FakeProvider, Script, chat_answer, events, json as answers};
use super::request_world::{KEY, World, backend, echo, model, object, rule, upstream};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"forty bytes of content, neither more nor\"},\"finish_reason\":null}]}\n\n";

fn halted(halt: Halt, models: Vec<Model>) -> Provider {
    Provider::Halted(Halted { halt, models })
}

/// Changes the provider `main`, as a controller would.
fn change(gateway: &TestGateway, provider: Provider) {
    let main = (Name::Provider(object("main")), Snapshot::Provider(provider));
    assert!(gateway.shared.store.replace(vec![main]).is_empty());
}

#[tokio::test]
async fn a_halted_provider_leaves_its_share_to_the_others() {
    for halt in [Halt::Drain, Halt::Blocked] {
        let mut world = World::with(echo());
        let resting = (object("resting"), halted(halt, Vec::new()));
        world.providers.push(resting);
        let mut both = rule("main", &[]);
        both.backends.push(backend("resting"));
        both.backends[1].weight = 1_000_000;
        world.route().rules = vec![both];
        let mut gateway = TestGateway::start(world).await;
        for _ in 0..5 {
            assert_eq!(gateway.chat("x").await.status, 200);
            assert_eq!(gateway.log_line().await["provider"], "tenant/main");
        }
    }
}

#[tokio::test]
async fn where_only_halted_providers_are_left_the_answer_says_so() {
    for (halt, code) in [
        (Halt::Drain, "provider_draining"),
        (Halt::Blocked, "provider_blocked"),
    ] {
        let gateway = TestGateway::start(World::with(echo())).await;
        change(&gateway, halted(halt, vec![model("m", None)]));
        let answer = gateway.chat("x").await;
        assert_eq!((answer.status, answer.code()), (503, code.into()));
        assert_eq!(answer.header("x-turnpike-error-source"), Some("gateway"));
        let unknown = json!({"model": "other", "messages": []});
        let answer = gateway.post(CHAT, &unknown).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "model_not_found".into())
        );
        let listed = gateway.get("/v1/models", KEY).await.json();
        assert_eq!(listed["data"], json!([]));
        let unavailable = "turnpike_upstream_faults_total{fault=\"unavailable\"}";
        assert_eq!(gateway.metric(unavailable), 1);
    }
}

#[tokio::test]
async fn a_stream_under_way_outlives_a_drain_and_ends_with_an_error_when_blocked() {
    let provider = FakeProvider::start(events([TEXT], End::Hang)).await;
    let active = upstream("OpenAI", &provider.url());
    let mut gateway = TestGateway::start(World::with(active.clone())).await;
    let (mut response, _connection) = gateway.open(request(CHAT, &chat_stream("x"))).await;
    let first = soon(response.frame()).await.unwrap().unwrap();
    assert_eq!(first.data_ref().unwrap(), TEXT);

    change(&gateway, halted(Halt::Drain, Vec::new()));
    assert_eq!(gateway.chat("x").await.code(), "provider_draining");
    assert_eq!(gateway.log_line().await["error"], "provider_draining");

    change(&gateway, halted(Halt::Blocked, Vec::new()));
    let rest = soon(read(response)).await;
    assert!(!rest.is_clean);
    let (events, is_done) = rest.events();
    assert_eq!(events[0]["error"]["code"], "provider_blocked", "{events:?}");
    assert!(!is_done && events.len() == 1);
    soon(provider.left()).await;
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["end"], &line["status"]),
        (&json!("error"), &json!(200))
    );
    assert_eq!(line["error"], "provider_blocked");

    change(&gateway, Provider::Upstream(active));
    let (mut response, _connection) = gateway.open(request(CHAT, &chat_stream("x"))).await;
    let first = soon(response.frame()).await.unwrap().unwrap();
    assert_eq!(first.data_ref().unwrap(), TEXT);
}

#[tokio::test]
async fn a_request_without_an_answer_yet_is_answered_503_when_its_provider_is_blocked() {
    for body in [chat("x"), chat_stream("x")] {
        let mut provider = FakeProvider::start(Script::Silent).await;
        let gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
        let (answer, ()) = tokio::join!(gateway.post(CHAT, &body), async {
            soon(provider.received()).await;
            change(&gateway, halted(Halt::Blocked, Vec::new()));
        });
        assert_eq!(
            (answer.status, answer.code()),
            (503, "provider_blocked".into())
        );
        soon(provider.left()).await;
    }
}

#[tokio::test]
async fn new_keys_end_no_request() {
    let provider = FakeProvider::start(answers(200, chat_answer("hi"))).await;
    let active = upstream("OpenAI", &provider.url());
    let slow = FakeProvider::start(events([TEXT], End::Hang)).await;
    let gateway = TestGateway::start(World::with(upstream("OpenAI", &slow.url()))).await;
    let (mut response, _connection) = gateway.open(request(CHAT, &chat_stream("x"))).await;
    soon(response.frame()).await.unwrap().unwrap();
    change(&gateway, Provider::Upstream(active));
    assert_eq!(gateway.chat("x").await.status, 200);
    tokio::select! {
        biased;
        () = slow.left() => panic!("the stream was ended"),
        () = tokio::task::yield_now() => {}
    }
}
