//! One broken object among many of each kind: it alone is out of service, whatever is restarted.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use turnpike_crds::{AIProvider, AIRoute, Consumer, TokenQuota};
use turnpike_e2e::fleet::DataPlane;
use turnpike_e2e::objects::{Kind, Objects};
use turnpike_e2e::scene::is_long;
use turnpike_e2e::{Call, Scene, eventually, resources};

/// Tenants with a broken object, one of each kind.
const BROKEN_PROVIDER: usize = 11;
const BROKEN_ROUTE: usize = 22;
const BROKEN_CONSUMER: usize = 33;
const BROKEN_QUOTA: usize = 44;

/// Whose key the broken consumer claims too.
const OLDER: usize = 0;

#[test]
fn one_broken_object_of_each_kind_harms_itself_alone() -> Result<()> {
    let tenants = if is_long() { 1000 } else { 100 };
    Scene::run_alone(async |scene| {
        let world = World { scene, tenants };
        let objects = Objects::of(scene).await?;
        // The one whose key is claimed twice is the older.
        objects
            .put::<Consumer>(&format!("consumer-{OLDER}"), world.consumer(OLDER))
            .await?;
        world.create(&objects).await?;
        let controller = &scene.fleet.controller;
        let data_plane = DataPlane::start(&scene.folder, "own", controller, None).await?;
        world.await_statuses(&objects).await?;
        world.check(&data_plane).await?;

        controller.process().kill();
        controller.start_again().await?;
        world.check(&data_plane).await?;

        data_plane.process().kill();
        data_plane.start_again().await?;
        world.check(&data_plane).await?;

        controller.process().kill();
        data_plane.process().kill();
        controller.start_again().await?;
        data_plane.start_again().await?;
        world.check(&data_plane).await?;
        world.await_statuses(&objects).await
    })
}

struct World<'a> {
    scene: &'a Scene,
    tenants: usize,
}

impl World<'_> {
    async fn create(&self, objects: &Objects) -> Result<()> {
        let all = 0..self.tenants;
        let named = |prefix: &str, specs: Vec<Value>| -> Vec<(String, Value)> {
            let numbered = specs.into_iter().enumerate();
            numbered
                .map(|(number, spec)| (format!("{prefix}-{number}"), spec))
                .collect()
        };
        let providers = all.clone().map(|number| self.provider(number)).collect();
        let consumers = all.clone().map(|number| self.consumer(number)).collect();
        let quotas = all.clone().map(|number| self.quota(number)).collect();
        let routes = all.map(|number| self.route(number)).collect();
        objects
            .put_all::<AIProvider>(named("provider", providers))
            .await?;
        objects
            .put_all::<Consumer>(named("consumer", consumers))
            .await?;
        objects
            .put_all::<TokenQuota>(named("quota", quotas))
            .await?;
        objects.put_all::<AIRoute>(named("route", routes)).await
    }

    fn provider(&self, number: usize) -> Value {
        match number {
            BROKEN_PROVIDER => json!({
                "protocol": "OpenAI", "url": "http://127.0.0.1:9/v1",
                "credentials": [{"name": "main", "secretRef": {"name": "absent"}}],
            }),
            _ => json!({"vendor": "Echo", "models": [{"name": "echo"}]}),
        }
    }

    fn consumer(&self, number: usize) -> Value {
        let claimed = if number == BROKEN_CONSUMER {
            OLDER
        } else {
            number
        };
        let digest = resources::digest(&self.key(claimed));
        json!({
            "groups": [format!("group-{number}")],
            "apiKeys": [{"name": "main", "sha256": digest}],
        })
    }

    fn quota(&self, number: usize) -> Value {
        let mut selector = json!({"consumers": {"names": [format!("consumer-{number}")]}});
        if number == BROKEN_QUOTA {
            selector["namespaces"] = json!({"matchLabels": {"plan": "gold"}});
        }
        json!({
            "selector": selector,
            "limits": [{"name": "main", "requests": 1_000_000, "window": "1h"}],
        })
    }

    fn route(&self, number: usize) -> Value {
        let provider = match number {
            BROKEN_ROUTE => "absent".to_owned(),
            _ => format!("provider-{number}"),
        };
        json!({
            "hostnames": [self.host(number)],
            "authorization": {"allow": [{"groups": [format!("group-{number}")]}]},
            "rules": [{"backendRefs": [{"name": provider}]}],
        })
    }

    fn host(&self, number: usize) -> String {
        self.scene.host(&format!("tenant-{number}"))
    }

    fn key(&self, number: usize) -> String {
        self.scene.key(&format!("tenant-{number}"))
    }

    /// Each tenant calls once it may; none but the broken ones is refused.
    async fn check(&self, data_plane: &DataPlane) -> Result<()> {
        for number in 0..self.tenants {
            let (host, key) = (self.host(number), self.key(number));
            let call = Call::say(&host, "echo", "hello").key(&key);
            eventually(&host, async || {
                let answer = data_plane.gateway().send(call.clone()).await?;
                match number {
                    BROKEN_PROVIDER | BROKEN_ROUTE => {
                        ensure!(
                            answer.status == 503,
                            "{}: {}",
                            answer.status,
                            answer.text()?
                        );
                        answer.error_code().map(drop)
                    }
                    BROKEN_CONSUMER => answer.expect_error(401, "invalid_api_key"),
                    _ => answer.expect_ok().map(drop),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until the broken object of each kind is told of, and no other.
    async fn await_statuses(&self, objects: &Objects) -> Result<()> {
        let broken_provider = format!("provider-{BROKEN_PROVIDER}");
        let broken_consumer = format!("consumer-{BROKEN_CONSUMER}");
        let broken_quota = format!("quota-{BROKEN_QUOTA}");
        // A route is told of its provider's absence, not of its provider's troubles.
        let broken_route = format!("route-{BROKEN_ROUTE}");
        await_broken::<AIProvider>(objects, &broken_provider).await?;
        await_broken::<Consumer>(objects, &broken_consumer).await?;
        await_broken::<TokenQuota>(objects, &broken_quota).await?;
        await_broken::<AIRoute>(objects, &broken_route).await
    }
}

/// Waits until exactly this object of its kind is not accepted, or lacks what it refers to.
async fn await_broken<K: Kind + Serialize>(objects: &Objects, name: &str) -> Result<()> {
    eventually(name, async || {
        let mut broken = Vec::new();
        for object in objects.list::<K>().await? {
            let object = serde_json::to_value(&object)?;
            let conditions = object["status"]["conditions"].as_array();
            let conditions = conditions.context("an object without status")?;
            let is_told = |r#type: &str, status: &str| {
                let mut found = conditions
                    .iter()
                    .filter(|condition| condition["type"] == r#type);
                found.any(|condition| condition["status"] == status)
            };
            if is_told("Accepted", "False") || is_told("ResolvedRefs", "False") {
                broken.push(object["metadata"]["name"].clone());
            } else {
                ensure!(is_told("Accepted", "True"), "{object}");
            }
        }
        ensure!(broken == [name], "{broken:?} instead of {name}");
        Ok(())
    })
    .await
}
