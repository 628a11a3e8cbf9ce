//! The controller killed at random moments of random edits: in the end both data planes hold
//! what the API server says, and so does a controller that has never seen anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use turnpike_crds::{AIProvider, AIRoute, Consumer};
use turnpike_e2e::fleet::{Controller, Source};
use turnpike_e2e::objects::Objects;
use turnpike_e2e::scene::is_long;
use turnpike_e2e::{Call, Scene, eventually, resources};

const ROUTES: usize = 40;
const CONSUMERS: usize = 8;
const PROVIDERS: usize = 4;
/// Keys of one consumer, by turns.
const KEYS: u32 = 3;
/// Names asked for in one go.
const NAMES: usize = 50;

#[test]
fn kills_in_the_middle_of_edits_leave_nothing_behind() -> Result<()> {
    let (kills, edits) = if is_long() { (200, 5000) } else { (6, 200) };
    Scene::run_alone(async |scene| {
        let objects = Objects::of(scene).await?;
        let mut editor = Editor {
            scene,
            objects: objects.clone(),
            random: SmallRng::seed_from_u64(4),
        };
        for number in 0..ROUTES {
            editor.put_route(number).await?;
        }
        for number in 0..CONSUMERS {
            editor.put_consumer(number).await?;
        }
        for number in 0..PROVIDERS {
            editor.put_provider(number).await?;
        }
        let callers = Callers::default();
        let work = async {
            let mut moments = SmallRng::seed_from_u64(5);
            let done = AtomicUsize::new(0);
            let editing = async {
                while done.load(Ordering::Relaxed) < edits {
                    editor.edit().await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            };
            let killing = async {
                for kill in 0..kills {
                    // Somewhere in this kill's share of the edits, and of the moment after.
                    let at = edits * kill / kills + moments.random_range(0..=edits / kills / 2);
                    while done.load(Ordering::Relaxed) < at {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(moments.random_range(0..40))).await;
                    scene.fleet.controller.process().kill();
                    scene.fleet.controller.start_again().await?;
                }
                anyhow::Ok(())
            };
            let outcome = tokio::try_join!(editing, killing);
            callers.stop.store(true, Ordering::Relaxed);
            outcome.map(drop)
        };
        let asking = async { tokio::join!(callers.run(scene, 0), callers.run(scene, 1)) };
        let (worked, _) = tokio::join!(work, asking);
        worked?;

        ask_for_all(scene).await;
        let names = await_equal(scene).await?;
        let folder = scene.folder.join("fresh");
        let fresh = Controller::start(&folder, Source::Cluster(scene.cluster)).await?;
        for part in names.chunks(NAMES) {
            let ours = versions(&scene.fleet.controller, part).await?;
            ensure!(
                ours == versions(&fresh, part).await?,
                "a fresh controller compiles something else"
            );
        }
        drop(fresh);
        await_truth(scene, &objects).await
    })
}

/// Makes random edits, all of one namespace.
struct Editor<'a> {
    scene: &'a Scene,
    objects: Objects,
    random: SmallRng,
}

impl Editor<'_> {
    async fn edit(&mut self) -> Result<()> {
        let is_gone = self.random.random_range(0..4) == 0;
        let comes_back = self.random.random();
        match self.random.random_range(0..10) {
            0..6 => {
                let number = self.random.random_range(0..ROUTES);
                if is_gone {
                    let name = format!("route-{number}");
                    self.objects.delete::<AIRoute>(&name).await?;
                }
                if !is_gone || comes_back {
                    self.put_route(number).await?;
                }
            }
            6..9 => {
                let number = self.random.random_range(0..CONSUMERS);
                if is_gone {
                    let name = format!("consumer-{number}");
                    self.objects.delete::<Consumer>(&name).await?;
                }
                if !is_gone || comes_back {
                    self.put_consumer(number).await?;
                }
            }
            _ => {
                let number = self.random.random_range(0..PROVIDERS);
                if is_gone {
                    let name = format!("provider-{number}");
                    self.objects.delete::<AIProvider>(&name).await?;
                }
                if !is_gone || comes_back {
                    self.put_provider(number).await?;
                }
            }
        }
        Ok(())
    }

    async fn put_route(&mut self, number: usize) -> Result<()> {
        let provider = self.random.random_range(0..PROVIDERS);
        let group = self.random.random_range(0..2);
        let spec = json!({
            "hostnames": [host(self.scene, number)],
            "authorization": {"allow": [{"groups": [format!("group-{group}")]}]},
            "rules": [{"backendRefs": [{"name": format!("provider-{provider}")}]}],
        });
        let name = format!("route-{number}");
        self.objects.put::<AIRoute>(&name, spec).await
    }

    async fn put_consumer(&mut self, number: usize) -> Result<()> {
        let key = key(self.scene, number, self.random.random_range(0..KEYS));
        let group = self.random.random_range(0..2);
        let spec = json!({
            "groups": [format!("group-{group}")],
            "apiKeys": [{"name": "main", "sha256": resources::digest(&key)}],
        });
        let name = format!("consumer-{number}");
        self.objects.put::<Consumer>(&name, spec).await
    }

    async fn put_provider(&mut self, number: usize) -> Result<()> {
        let model = self.random.random_range(0..3);
        let spec = json!({
            "vendor": "Echo", "models": [{"name": "echo"}, {"name": format!("echo-{model}")}],
        });
        let name = format!("provider-{number}");
        self.objects.put::<AIProvider>(&name, spec).await
    }
}

/// Ask for hosts with keys all the time, existing or not, so that data planes load and hold them.
#[derive(Default)]
struct Callers {
    stop: AtomicBool,
}

impl Callers {
    async fn run(&self, scene: &Scene, data_plane: usize) {
        let mut random = SmallRng::seed_from_u64(data_plane as u64);
        while !self.stop.load(Ordering::Relaxed) {
            let host = host(scene, random.random_range(0..ROUTES));
            let key = key(
                scene,
                random.random_range(0..CONSUMERS),
                random.random_range(0..KEYS),
            );
            // Whatever the answer: the edits go on beneath it.
            let call = Call::say(&host, "echo", "hello").key(&key);
            let _ = scene.fleet.gateway(data_plane).send(call).await;
        }
    }
}

/// Asks each data plane for every host, so that it holds enough to be compared, however few of them
/// were asked for meanwhile.
async fn ask_for_all(scene: &Scene) {
    for data_plane in 0..scene.fleet.data_planes.len() {
        for number in 0..ROUTES {
            let (host, key) = (host(scene, number), key(scene, 0, 0));
            let call = Call::say(&host, "echo", "hello").key(&key);
            // Whatever the answer: it is loaded, or known not to be there.
            let _ = scene.fleet.gateway(data_plane).send(call).await;
        }
    }
}

fn host(scene: &Scene, number: usize) -> String {
    scene.host(&format!("kills-{number}"))
}

fn key(scene: &Scene, consumer: usize, turn: u32) -> String {
    scene.key(&format!("kills-{consumer}-{turn}"))
}

/// Waits until both data planes hold, of this test's names, exactly what the controller compiles;
/// gives these names.
async fn await_equal(scene: &Scene) -> Result<Vec<String>> {
    let mut all = BTreeSet::new();
    for data_plane in &scene.fleet.data_planes {
        let held = eventually("the data plane equals the index", async || {
            let held = data_plane.held(&scene.namespace).await?;
            let names: Vec<String> = held.keys().cloned().collect();
            for part in names.chunks(NAMES) {
                let compiled = versions(&scene.fleet.controller, part).await?;
                for name in part {
                    ensure!(
                        held[name] == compiled[name],
                        "{name}: {:?} held, {:?} compiled",
                        held[name],
                        compiled[name]
                    );
                }
            }
            Ok(held)
        })
        .await?;
        ensure!(
            held.len() > ROUTES,
            "only {} names were compared",
            held.len()
        );
        all.extend(held.into_keys());
    }
    Ok(all.into_iter().collect())
}

/// What a controller compiles these names to; `None`: nothing.
async fn versions(
    controller: &Controller,
    names: &[String],
) -> Result<BTreeMap<String, Option<String>>> {
    let query: Vec<String> = names.iter().map(|name| format!("name={name}")).collect();
    let report = controller.debug_index(&query.join("&")).await?;
    let entries = report["names"].as_array().context("no names")?;
    ensure!(entries.len() == names.len(), "{report}");
    let version = |entry: &Value| {
        let name = entry["name"].as_str().context("no name")?.to_owned();
        Ok((name, entry["version"].as_str().map(str::to_owned)))
    };
    entries.iter().map(version).collect()
}

/// Waits until each host answers as the API server's objects say.
async fn await_truth(scene: &Scene, objects: &Objects) -> Result<()> {
    let routes = objects.list::<AIRoute>().await?;
    let there: BTreeSet<String> = routes
        .into_iter()
        .flat_map(|route| route.spec.hostnames)
        .collect();
    for number in 0..ROUTES {
        let host = host(scene, number);
        for data_plane in 0..2 {
            eventually(&host, async || {
                let call = Call::say(&host, "echo", "hello");
                let answer = scene.fleet.gateway(data_plane).send(call).await?;
                // Without a key: who is served asks for one.
                let expected = if there.contains(&host) { 401 } else { 404 };
                ensure!(
                    answer.status == expected,
                    "{}: {}",
                    answer.status,
                    answer.text()?
                );
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}
