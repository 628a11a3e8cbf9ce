//! Suspended routes: their requests are refused with the words of whoever suspended them.

use serde_json::json;

use super::request_gateway::TestGateway;
use super::request_world::{KEY, World, echo, rule};

const MESSAGE: &str = "pay the bill of November";

#[tokio::test]
async fn a_suspended_tenant_is_told_so_whoever_calls() {
    let mut world = World::with(echo());
    world.route().suspension = Some(MESSAGE.into());
    let gateway = TestGateway::start(world).await;
    let known = gateway.chat("m").await;
    assert_eq!(
        (known.status, known.code()),
        (403, "tenant_suspended".into())
    );
    assert!(known.text().contains(MESSAGE), "{}", known.text());
    let models = gateway.get("/v1/models", KEY).await;
    assert_eq!(models.code(), "tenant_suspended");
}

#[tokio::test]
async fn other_routes_of_the_host_are_in_force() {
    let mut world = World::with(echo());
    let mut second = world.domain.routes[0].clone();
    second.name = "second".into();
    second.suspension = Some(MESSAGE.into());
    second.rules = vec![rule("main", &["n"])];
    world.route().rules = vec![rule("main", &["m"])];
    world.domain.routes.push(second);
    let gateway = TestGateway::start(world).await;
    let ask = async |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
        gateway.post("/v1/chat/completions", &body).await
    };
    assert_eq!(ask("m").await.status, 200);
    assert_eq!(ask("n").await.code(), "tenant_suspended");
    let models = gateway.get("/v1/models", KEY).await;
    assert_eq!(models.status, 200);
    assert!(models.text().contains(r#""id":"m""#), "{}", models.text());
    assert!(!models.text().contains(r#""id":"n""#), "{}", models.text());
}
