//! The three layouts of docs/tenants.md, from the files of examples/tenants, and all that a
//! billing system does to a tenant.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, places, resources};

const NAMESPACES: [&str; 3] = ["tenant-42", "tenants-a", "tenants-b"];

#[test]
fn tenants_are_created_suspended_changed_and_deleted_as_the_documentation_says() -> Result<()> {
    Scene::run_alone(async |scene| {
        let tenants = Tenants { scene };
        for file in ["platform", "namespace-each", "groups", "wildcard"] {
            tenants.apply(file).await?;
        }
        let outcome = tenants.live().await;
        for namespace in NAMESPACES {
            let arguments = ["delete", "namespace", namespace, "--wait=false"];
            tenants.kubectl(&arguments).await?;
        }
        outcome
    })
}

struct Tenants<'a> {
    scene: &'a Scene,
}

impl Tenants<'_> {
    async fn live(&self) -> Result<()> {
        self.namespace_each().await?;
        self.groups().await?;
        self.wildcard().await
    }

    async fn namespace_each(&self) -> Result<()> {
        let host = "tenant-42.maas.example.com";
        self.served(host, "large", &key(42, 1)).await?;
        let patch = [
            "-n",
            "tenant-42",
            "patch",
            "airoute",
            "main",
            "--type",
            "merge",
            "-p",
        ];
        let state = |state: &str, message: &str| {
            format!(r#"{{"spec": {{"state": "{state}", "stateMessage": {message}}}}}"#)
        };
        let suspended = state("Suspended", r#""pay the bill of November""#);
        self.kubectl(&[&patch[..], &[&suspended]].concat()).await?;
        let told = self
            .refused(host, "large", &key(42, 1), 403, "tenant_suspended")
            .await?;
        ensure!(told.contains("pay the bill of November"), "{told}");
        let active = state("Active", "null");
        self.kubectl(&[&patch[..], &[&active]].concat()).await?;
        self.served(host, "large", &key(42, 1)).await?;

        let keys = [
            "-n",
            "tenant-42",
            "patch",
            "consumer",
            "default",
            "--type",
            "json",
            "-p",
        ];
        let digest = resources::digest(&key(42, 2));
        let added = format!(
            r#"[{{"op": "add", "path": "/spec/apiKeys/-", "value": {{"name": "2026-12", "sha256": "{digest}"}}}}]"#
        );
        self.kubectl(&[&keys[..], &[&added]].concat()).await?;
        self.served(host, "large", &key(42, 2)).await?;
        self.served(host, "large", &key(42, 1)).await?;
        let removed = r#"[{"op": "remove", "path": "/spec/apiKeys/0"}]"#;
        self.kubectl(&[&keys[..], &[removed]].concat()).await?;
        self.refused(host, "large", &key(42, 1), 401, "invalid_api_key")
            .await?;

        let free = r#"{"spec": {"rulesFrom": {"name": "plan-free"}}}"#;
        self.kubectl(&[&patch[..], &[free]].concat()).await?;
        self.refused(host, "large", &key(42, 2), 404, "model_not_found")
            .await?;
        let label = "maas.example.com/plan=free";
        self.kubectl(&["label", "namespace", "tenant-42", "--overwrite", label])
            .await?;
        // Until the quota of the plan is used up: so it is in force.
        let told = self
            .refused(host, "small", &key(42, 2), 429, "token_quota_exceeded")
            .await?;
        ensure!(told.contains("the free plan"), "{told}");

        // What deleting the namespace takes with it.
        self.kubectl(&["-n", "tenant-42", "delete", "airoute", "main"])
            .await?;
        self.refused(host, "small", &key(42, 2), 404, "unknown_host")
            .await?;
        self.kubectl(&["-n", "tenant-42", "delete", "consumer", "default"])
            .await
            .map(drop)
    }

    async fn groups(&self) -> Result<()> {
        let host = |number: usize| format!("tenant-{number}.a.maas.example.com");
        self.served(&host(43), "large", &key(43, 1)).await?;
        self.served(&host(44), "small", &key(44, 1)).await?;
        self.refused(&host(44), "large", &key(44, 1), 404, "model_not_found")
            .await?;
        self.refused(&host(44), "small", &key(43, 1), 403, "consumer_not_allowed")
            .await?;
        let deleted = ["-n", "tenants-a", "delete", "airoute,consumer", "tenant-43"];
        self.kubectl(&deleted).await?;
        self.refused(&host(43), "large", &key(43, 1), 404, "unknown_host")
            .await?;
        self.served(&host(44), "small", &key(44, 1)).await
    }

    async fn wildcard(&self) -> Result<()> {
        let host = "tenant-45.b.maas.example.com";
        self.served(host, "large", &key(45, 1)).await?;
        let suspended = r#"{"spec": {"state": "Suspended"}}"#;
        let patch = [
            "-n",
            "tenants-b",
            "patch",
            "consumer",
            "tenant-45",
            "--type",
            "merge",
        ];
        self.kubectl(&[&patch[..], &["-p", suspended]].concat())
            .await?;
        self.refused(host, "large", &key(45, 1), 403, "consumer_suspended")
            .await?;
        self.kubectl(&["-n", "tenants-b", "delete", "consumer", "tenant-45"])
            .await?;
        self.refused(host, "large", &key(45, 1), 401, "invalid_api_key")
            .await
            .map(drop)
    }

    async fn apply(&self, file: &str) -> Result<()> {
        let file = places::root()?.join(format!("examples/tenants/{file}.yaml"));
        let file = file.display().to_string();
        self.kubectl(&["apply", "-f", &file]).await
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        self.scene.cluster.kubectl(arguments).await.map(drop)
    }

    async fn served(&self, host: &str, model: &str, key: &str) -> Result<()> {
        for number in 0..2 {
            let call = Call::say(host, model, "hello").key(key);
            await_answer(self.scene.fleet.gateway(number), call).await?;
        }
        Ok(())
    }

    /// Waits until both data planes refuse so; gives the words.
    async fn refused(
        &self,
        host: &str,
        model: &str,
        key: &str,
        status: u16,
        code: &str,
    ) -> Result<String> {
        let mut told = None;
        for number in 0..2 {
            let answer = eventually(code, async || {
                let call = Call::say(host, model, "hello").key(key);
                let answer = self.scene.fleet.gateway(number).send(call).await?;
                answer.expect_error(status, code)?;
                Ok(answer)
            })
            .await?;
            told = Some(answer.text()?);
        }
        told.context("no data plane was asked")
    }
}

/// The key of an example, or its successor.
fn key(tenant: usize, number: usize) -> String {
    format!("tk-tenant-{tenant}-example-key-{number:04}")
}
