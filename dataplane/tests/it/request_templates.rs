//! Routes that take what they lack from a template, and providers that do not admit them.

use serde_json::{Value, json};
use turnpike_snapshot::domain::{Authentication, Template};
use turnpike_snapshot::provider::Provider;
use turnpike_snapshot::rules::Rules;
use turnpike_snapshot::{Name, Snapshot};

use super::request_gateway::{Answer, TestGateway};
use super::request_world::{World, echo, grant, model, object, rule};

const CHAT: &str = "/v1/chat/completions";

/// A template that sends `lent` to provider `lent`, for group gold, bodies up to 1000 bytes.
fn plan() -> Rules {
    Rules {
        authentication: Authentication::Required,
        allow: vec![grant(&[], &["gold"], &[])],
        rules: vec![rule("lent", &["lent"])],
        max_body_bytes: 1000,
        head_bytes: None,
        heartbeat: None,
        on_disconnect: None,
    }
}

/// A route whose own rule serves `own`; all else is the template's.
fn borrowing() -> World {
    let mut world = World::with(echo());
    let mut lent = echo();
    lent.models = vec![model("lent", None)];
    world
        .providers
        .push((object("lent"), Provider::Upstream(lent)));
    world.templates.push((object("plan"), plan()));
    let route = world.route();
    route.rules = vec![rule("main", &["own"])];
    route.template = Some(Template::Rules(object("plan")));
    (route.authentication, route.allow, route.max_body_bytes) = (None, None, None);
    world
}

async fn ask(gateway: &TestGateway, model: &str) -> Answer {
    gateway.post(CHAT, &chat(model)).await
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[tokio::test]
async fn own_rules_come_first_and_the_templates_follow() {
    let mut world = borrowing();
    world.route().rules.push(rule("main", &["both"]));
    world.templates[0].1.rules.push(rule("lent", &["both"]));
    let mut gateway = TestGateway::start(world).await;
    for (model, provider) in [("own", "main"), ("both", "main"), ("lent", "lent")] {
        assert_eq!(ask(&gateway, model).await.status, 200, "{model}");
        let line = gateway.log_line().await;
        assert_eq!(line["provider"], format!("tenant/{provider}"), "{model}");
        assert_eq!(line["route"], "main");
    }
    assert_eq!(
        told(&ask(&gateway, "none").await),
        (404, "model_not_found".into())
    );
}

#[tokio::test]
async fn what_a_route_does_not_say_its_template_does() {
    let gateway = TestGateway::start(borrowing()).await;
    let mut large = chat("own");
    large["user"] = "u".repeat(1000).into();
    let answer = gateway.post(CHAT, &large).await;
    assert_eq!(told(&answer), (413, "request_too_large".into()));

    let mut world = borrowing();
    world.route().allow = Some(vec![grant(&["bob"], &[], &[])]);
    world.route().max_body_bytes = Some(5000);
    let gateway = TestGateway::start(world).await;
    // Alice is gold, but the route's own word counts.
    let answer = gateway.post(CHAT, &large).await;
    assert_eq!(told(&answer), (403, "consumer_not_allowed".into()));
}

#[tokio::test]
async fn a_change_of_the_template_is_one_swap_for_all_who_take_it() {
    let world = borrowing();
    let store = world.store();
    let gateway = TestGateway::with_store(store.clone()).await;
    assert_eq!(ask(&gateway, "lent").await.status, 200);
    let mut other = plan();
    other.allow = vec![grant(&["bob"], &[], &[])];
    let name = Name::Rules(object("plan"));
    assert!(
        store
            .replace(vec![(name, Snapshot::Rules(other))])
            .is_empty()
    );
    for model in ["own", "lent"] {
        assert_eq!(
            told(&ask(&gateway, model).await),
            (403, "consumer_not_allowed".into())
        );
    }
}

#[tokio::test]
async fn without_its_template_nothing_is_let_through_that_it_might_refuse() {
    let reason = "AIRoute platform/plan does not admit namespace tenant";
    let fault = Template::Faulty {
        reason: reason.into(),
    };
    let mut world = borrowing();
    world.route().template = Some(fault.clone());
    let gateway = TestGateway::start(world).await;
    for model in ["own", "lent", "none"] {
        let answer = ask(&gateway, model).await;
        assert_eq!(told(&answer), (503, "route_unavailable".into()), "{model}");
        assert!(answer.text().contains(reason));
    }

    // A route that says itself who may use it goes on with its own rules.
    let mut world = borrowing();
    world.route().template = Some(fault);
    world.route().allow = Some(Vec::new());
    let gateway = TestGateway::start(world).await;
    assert_eq!(ask(&gateway, "own").await.status, 200);
    assert_eq!(
        told(&ask(&gateway, "lent").await),
        (503, "route_unavailable".into())
    );
}

#[tokio::test]
async fn another_route_of_the_host_goes_on_beside_a_faulty_one() {
    let mut world = World::with(echo());
    let mut sound = world.domain.routes[0].clone();
    sound.name = "sound".into();
    let faulty = world.route();
    faulty.rules.clear();
    faulty.template = Some(Template::Rules(object("gone")));
    (faulty.authentication, faulty.allow) = (None, None);
    world.domain.routes.push(sound);
    let mut gateway = TestGateway::start(world).await;
    assert_eq!(ask(&gateway, "m").await.status, 200);
    assert_eq!(gateway.log_line().await["route"], "sound");
}

#[tokio::test]
async fn a_backend_serves_what_its_provider_grants_and_nothing_else() {
    let mut world = World::with(echo());
    world.route().rules[0].backends[0].models = vec!["deep*".into()];
    let gateway = TestGateway::start(world).await;
    assert_eq!(ask(&gateway, "deep-1").await.status, 200);
    assert_eq!(
        told(&ask(&gateway, "other").await),
        (404, "model_not_found".into())
    );

    let mut world = World::with(echo());
    let reason = "AIProvider platform/qwen does not admit namespace tenant";
    world.route().rules[0].backends[0].fault = Some(reason.into());
    let gateway = TestGateway::start(world).await;
    let answer = ask(&gateway, "m").await;
    assert_eq!(told(&answer), (503, "provider_unavailable".into()));
    assert!(answer.text().contains(reason));
}
