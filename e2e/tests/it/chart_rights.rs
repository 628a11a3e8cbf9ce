//! The chart's roles are enough and no more: the controller runs with its own in two namespaces, and a
//! tenant's account does all that a tenant does, in its namespace alone.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::gateway::get;
use turnpike_e2e::kubernetes::{Cluster, PLATFORM_NAMESPACE};
use turnpike_e2e::ports::free_address;
use turnpike_e2e::{Process, Program, Scene, eventually, places, resources};

use crate::chart_render::Rendering;

#[test]
fn the_controller_needs_no_more_than_its_roles_in_the_namespaces_it_reads() -> Result<()> {
    Scene::run(async |scene| {
        let tenant = scene.namespace.as_str();
        // The platform of an installation of its own, which competes with no other for a Lease.
        let platform = format!("{tenant}-platform");
        scene.kubectl(&["create", "namespace", &platform]).await?;
        let rendering = Rendering {
            release: tenant,
            namespace: &platform,
            values: &format!("watchNamespaces: [{tenant}]"),
            only: &[
                "templates/controller/rbac.yaml",
                "templates/controller/account.yaml",
            ],
        };
        let yaml = rendering.yaml(scene.cluster).await?;
        scene
            .cluster
            .kubectl_with_input(&["apply", "-f", "-"], &yaml)
            .await?;
        let account = format!("{tenant}-turnpike-controller");
        let limited = scene
            .cluster
            .as_account(&scene.folder, &platform, &account)
            .await?;

        let resources = resources::echo_provider("echo")
            + &resources::route("main", &scene.host("rights"), "echo");
        scene.apply(&resources).await?;
        let admin = free_address()?;
        let listen = free_address()?;
        let arguments = [
            "--kubeconfig".into(),
            limited.kubeconfig().as_os_str().to_owned(),
            "--namespaces".into(),
            tenant.into(),
            "--platform-namespace".into(),
            platform.as_str().into(),
            "--tls-secret".into(),
            format!("{tenant}-turnpike-snapshot-ca").into(),
            "--listen".into(),
            listen.to_string().into(),
            "--admin".into(),
            admin.to_string().into(),
        ];
        let file = places::program("turnpike-controller")?;
        let process = Process::spawn(&scene.folder, Program::new("limited", file, arguments))?;
        eventually("it is ready and leads", async || {
            process.check_runs()?;
            let answer = get(admin, "/readyz").await?;
            ensure!(answer.status == 200, "{}", answer.text()?);
            let metrics = get(admin, "/metrics").await?.text()?;
            let has = |line: &str| metrics.lines().any(|found| found == line);
            ensure!(has("turnpike_controller_leads 1"), "{metrics}");
            ensure!(
                has("turnpike_controller_status_failures_total 0"),
                "{metrics}"
            );
            let wrote = !has("turnpike_controller_status_writes_total 0");
            ensure!(wrote, "no status written: {metrics}");
            Ok(())
        })
        .await?;
        let log = process.stderr();
        ensure!(!log.contains("forbidden"), "{log}");
        let here = format!("--namespace={tenant}");

        for question in [
            &["list", "secrets", "--namespace=default"][..],
            &["list", "secrets", "--all-namespaces"],
            &["get", "secrets", "--namespace=turnpike-system"],
            &["list", "airoutes", "--all-namespaces"],
            &["list", "namespaces"],
            &["patch", "airoutes", &here],
            &["create", "secrets", &here],
        ] {
            refuses(&limited, question).await?;
        }
        drop(process);
        scene
            .cluster
            .kubectl_with_input(&["delete", "-f", "-"], &yaml)
            .await?;
        scene
            .kubectl(&["delete", "namespace", &platform, "--wait=false"])
            .await
            .map(drop)
    })
}

#[test]
fn a_tenant_does_all_that_a_tenant_does_in_its_namespace_alone() -> Result<()> {
    Scene::run(async |scene| {
        let namespace = scene.namespace.as_str();
        let other = format!("{namespace}-other");
        scene.kubectl(&["create", "namespace", &other]).await?;
        let rendering = Rendering {
            release: namespace,
            namespace: PLATFORM_NAMESPACE,
            values: "{}",
            only: &["templates/cluster/tenant-roles.yaml"],
        };
        let yaml = rendering.yaml(scene.cluster).await?;
        scene
            .cluster
            .kubectl_with_input(&["apply", "-f", "-"], &yaml)
            .await?;
        let role = |name: &str| format!("{namespace}-turnpike-{name}");
        for (account, name) in [("tenant", "tenant"), ("provider", "tenant-provider")] {
            scene
                .kubectl(&["create", "serviceaccount", account])
                .await?;
            let role = format!("--clusterrole={}", role(name));
            let subject = format!("--serviceaccount={namespace}:{account}");
            let bind = ["create", "rolebinding", account, &role, &subject];
            scene.kubectl(&bind).await?;
        }
        let as_account = async |account: &str| {
            let cluster = scene.cluster;
            cluster.as_account(&scene.folder, namespace, account).await
        };
        let tenant = as_account("tenant").await?;
        let whole = resources::consumer("default", "gold", &scene.key("default"))
            + &resources::route("main", &scene.host("tenant"), "echo");
        apply(&tenant, namespace, &whole).await?;
        let kinds = "airoutes,consumers";
        let list = ["--namespace", namespace, "get", kinds, "--output=name"];
        let listed = tenant.kubectl(&list).await?;
        ensure!(listed.lines().count() == 2, "{listed}");
        let suspend = [
            "--namespace",
            namespace,
            "patch",
            "consumer",
            "default",
            "--type=merge",
            "--patch",
            r#"{"spec": {"groups": ["silver"]}}"#,
        ];
        tenant.kubectl(&suspend).await?;
        tenant
            .kubectl(&["--namespace", namespace, "delete", "consumer", "default"])
            .await?;

        let provider = resources::echo_provider("echo");
        forbids(apply(&tenant, namespace, &provider).await)?;
        forbids(apply(&tenant, &other, &whole).await)?;
        apply(&as_account("provider").await?, namespace, &provider).await?;
        let (here, elsewhere) = (
            format!("--namespace={namespace}"),
            format!("--namespace={other}"),
        );
        let question = ["auth", "can-i", "create", "airoutes", &here];
        ensure!(tenant.kubectl(&question).await? == "yes");
        for question in [
            &["list", "airoutes", &elsewhere][..],
            &["create", "consumers", &elsewhere],
            &["list", "airoutes", "--all-namespaces"],
            &["get", "secrets", &here],
            &["create", "tokenquotas", &here],
            &["patch", "airoutes", "--subresource=status", &here],
            &["list", "namespaces"],
        ] {
            refuses(&tenant, question).await?;
        }
        for name in ["tenant", "tenant-provider", "platform"] {
            let name = role(name);
            let path = "jsonpath={.metadata.labels}{.aggregationRule}";
            let labels = scene
                .kubectl(&["get", "clusterrole", &name, "--output", path])
                .await?;
            ensure!(!labels.contains("aggregate-to"), "{name}: {labels}");
            scene.kubectl(&["delete", "clusterrole", &name]).await?;
        }
        scene
            .kubectl(&["delete", "namespace", &other, "--wait=false"])
            .await
            .map(drop)
    })
}

async fn apply(cluster: &Cluster, namespace: &str, yaml: &str) -> Result<()> {
    let arguments = [
        "--namespace",
        namespace,
        "apply",
        "--server-side",
        "-f",
        "-",
    ];
    cluster.kubectl_with_input(&arguments, yaml).await.map(drop)
}

fn forbids(outcome: Result<()>) -> Result<()> {
    let words = format!("{:#}", outcome.err().context("it was allowed")?);
    ensure!(words.contains("orbidden"), "{words}");
    Ok(())
}

/// `kubectl auth can-i` says no.
async fn refuses(cluster: &Cluster, question: &[&str]) -> Result<()> {
    let asked = cluster
        .kubectl(&[&["auth", "can-i"], question].concat())
        .await;
    // It exits with 1 to say no.
    ensure!(asked.is_err(), "{question:?}: {asked:?}");
    Ok(())
}
