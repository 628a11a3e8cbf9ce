//! A directory of YAML, served over a pipe as `turnpike serve` does.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use turnpike_controller::config::PLATFORM_NAMESPACE;
use turnpike_controller::run::Controller;
use turnpike_controller::serve::grpc::Dialer;
use turnpike_snapshot::Snapshot;
use turnpike_snapshot::credential::{FleetKey, sha256};

use crate::client::Client;

const PROVIDER: &str = "
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {name: echo}
spec: {vendor: Echo}
";

const ROUTE: &str = "
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: main}
spec:
  hostnames: [a.test]
  rules:
    - backendRefs: [{name: echo}]
";

/// A template, and a route that takes its rules from it.
const TEMPLATED: &str = "
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: plan}
spec:
  rules:
    - backendRefs: [{name: echo}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {name: templated}
spec:
  hostnames: [t.test]
  rulesFrom: {name: plan}
";

const CONSUMER: &str = "
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {name: alice}
spec:
  apiKeys:
    - {name: one, secretRef: {name: alice-keys, key: one}}
---
apiVersion: v1
kind: Secret
metadata: {name: alice-keys}
stringData: {one: sk-turnpike-alice-0123456789}
";

struct Running {
    directory: TempDir,
    dialer: Dialer,
    shutdown: CancellationToken,
    controller: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn start(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let (controller, dialer) =
            Controller::from_directory(directory.path(), PLATFORM_NAMESPACE).unwrap();
        let shutdown = CancellationToken::new();
        Self {
            directory,
            dialer,
            controller: tokio::spawn(controller.run(shutdown.clone())),
            shutdown,
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.directory.path().join(name)).unwrap();
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.controller.await.unwrap().unwrap();
    }
}

/// Fails instead of hanging when a condition never comes true.
async fn in_time<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test)
        .await
        .expect("the condition did not come true")
}

#[tokio::test]
async fn a_domain_arrives_with_all_it_refers_to() {
    in_time(async {
        let running = Running::start(&[("provider.yaml", PROVIDER), ("route.yaml", ROUTE)]);
        let mut client = Client::connect(&running.dialer).await;
        client.subscribe("domain/a.test").await;
        client
            .until(|held| held.contains_key("domain/a.test"))
            .await;
        let domain = client.held["domain/a.test"].clone().unwrap();
        for name in domain.references() {
            assert!(client.held[&name.to_string()].is_some(), "{name}");
        }
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_host_that_was_missed_works_once_its_file_is_written() {
    in_time(async {
        let running = Running::start(&[("provider.yaml", PROVIDER)]);
        let mut client = Client::connect(&running.dialer).await;
        client.subscribe("domain/a.test").await;
        client
            .until(|held| held.get("domain/a.test") == Some(&None))
            .await;
        running.write("route.yaml", ROUTE);
        client
            .until(|held| matches!(held.get("domain/a.test"), Some(Some(_))))
            .await;
        running.remove("route.yaml");
        client
            .until(|held| held.get("domain/a.test") == Some(&None))
            .await;
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_key_is_found_under_the_fleet_key_of_the_welcome() {
    in_time(async {
        let running = Running::start(&[("consumer.yaml", CONSUMER)]);
        let mut client = Client::connect(&running.dialer).await;
        let key = client.welcome.fleet_keys[0].clone();
        let id = FleetKey::new(key.id, key.secret)
            .credential_id(&sha256(b"sk-turnpike-alice-0123456789"));
        let name = format!("credential/default/key/{id}");
        client.subscribe(&name).await;
        client.until(|held| held.contains_key(&name)).await;
        assert!(matches!(client.held[&name], Some(Snapshot::Credential(_))));
        assert!(matches!(
            client.held["consumer/default/alice"],
            Some(Snapshot::Consumer(_))
        ));
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_breaks_keeps_its_last_good_form_and_the_rest_goes_on() {
    in_time(async {
        let running = Running::start(&[("provider.yaml", PROVIDER), ("route.yaml", ROUTE)]);
        let mut client = Client::connect(&running.dialer).await;
        client.subscribe("domain/a.test").await;
        client.subscribe("domain/b.test").await;
        client.until(|held| held.len() >= 5).await;
        running.write("route.yaml", "kind: AIRoute\nmetadata: {name: main");
        running.write(
            "other.yaml",
            &ROUTE.replace("a.test", "b.test").replace("main", "other"),
        );
        client
            .until(|held| matches!(held.get("domain/b.test"), Some(Some(_))))
            .await;
        assert!(client.held["domain/a.test"].is_some());
        running.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_old_data_plane_is_sent_what_it_can_obey_and_nothing_else() {
    in_time(async {
        let running = Running::start(&[
            ("provider.yaml", PROVIDER),
            ("route.yaml", ROUTE),
            ("templated.yaml", TEMPLATED),
        ]);
        let mut old = Client::connect_with(&running.dialer, &["vendor/Echo"]).await;
        // Asked for first, it would be the first to come.
        old.subscribe("domain/t.test").await;
        old.subscribe("domain/a.test").await;
        old.until(|held| held.contains_key("domain/a.test")).await;
        assert!(!old.held.contains_key("domain/t.test"), "{:?}", old.held);
        assert!(!old.held.contains_key("rules/default/plan"));

        // What it holds is never replaced by what it would misread.
        let plain = old.held["domain/a.test"].clone();
        let templated = ROUTE.replace(
            "  rules:\n    - backendRefs: [{name: echo}]",
            "  rulesFrom: {name: plan}",
        );
        assert_ne!(templated, ROUTE);
        running.write("route.yaml", &templated);
        let other = ROUTE.replace("a.test", "b.test").replace("main", "other");
        running.write("zz-other.yaml", &other);
        old.subscribe("domain/b.test").await;
        old.until(|held| matches!(held.get("domain/b.test"), Some(Some(_))))
            .await;
        assert_eq!(old.held["domain/a.test"], plain);

        // The same after its upgrade.
        let mut new = Client::connect(&running.dialer).await;
        for host in ["domain/t.test", "domain/a.test"] {
            new.subscribe(host).await;
            new.until(|held| matches!(held.get(host), Some(Some(_))))
                .await;
        }
        assert!(new.held["rules/default/plan"].is_some());
        assert_ne!(new.held["domain/a.test"], plain);
        running.stop().await;
    })
    .await;
}
