//! The chart as Helm renders it: for each way to set it up, an API server takes all of it.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::kubernetes::{Cluster, PLATFORM_NAMESPACE};
use turnpike_e2e::scene::run_beside;
use turnpike_e2e::{Scene, places};

/// Values of one way to set the chart up, and what must be in what is rendered.
const WAYS: [(&str, &[&str]); 6] = [
    (
        "{}",
        &[
            "--drain-delay=10s",
            "--drain=600s",
            "terminationGracePeriodSeconds: 620",
            "--listen-tls=0.0.0.0:8443",
            "ports: [{port: http}, {port: https}]",
            "helm.sh/resource-policy: keep",
            "runAsUser: 65532",
        ],
    ),
    (
        r#"
hostnamePolicy: ["{namespace}.maas.example.com", "*.{namespace}.lab.example.com", "shared.example.com"]
redis: {embedded: true}
fleetCertificates: [maas, lab.example.com]
dataPlane:
  autoscaling: {enabled: true, openStreams: {enabled: true, averageValue: 200}}
  service: {type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerSourceRanges: [10.0.0.0/8], tlsPort: 8443, tlsNodePort: 30443}
"#,
        &[
            "--fleet-certificates=maas,lab.example.com",
            "port: 8443",
            "nodePort: 30443",
            "name: turnpike_requests_in_flight",
            "redis://turnpike-redis.turnpike-system.svc:6379",
            "--hostname-policy={namespace}.maas.example.com,*.{namespace}.lab.example.com,shared.example.com",
        ],
    ),
    (
        r#"
hostnamePolicy: ["*"]
openshift: true
ipFamily: IPv6
redis: {existingSecret: {name: redis-login}}
networkPolicy: {callersFrom: [{namespaceSelector: {matchLabels: {team: a}}}], metricsFrom: [{namespaceSelector: {}}]}
controller: {podDisruptionBudget: {maxUnavailable: 50%}, topologySpreadConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]}
"#,
        &[
            "--listen=[::]:18000",
            "name: redis-login",
            "topologyKey: rack",
        ],
    ),
    (
        r#"
image: {repository: registry.example.com/turnpike, tag: "1", pullSecrets: [{name: login}]}
fullnameOverride: gateway
redis: {url: "rediss://redis.example.com:6380/2"}
admissionPolicy: {enabled: false}
tenantRoles: {create: false}
crds: {install: false}
networkPolicy: {enabled: false}
dataPlane:
  state: {enabled: false}
  nodeSelector: {pool: gateways}
  tolerations: [{key: gateways, operator: Exists}]
  allowProviderCidrs: [10.1.0.0/16, 10.2.0.0/16]
  extraArgs: [--store-bytes=1GiB]
  extraEnv: [{name: SSL_CERT_DIR, value: /etc/ssl/certs}]
"#,
        &[
            "name: gateway-dataplane",
            "image: registry.example.com/turnpike:1",
            "--allow-provider-cidr=10.1.0.0/16,10.2.0.0/16",
            "name: login",
        ],
    ),
    (
        "
className: blue
controller: {replicas: 1, podDisruptionBudget: {enabled: false}, acceptMassDelete: true}
",
        &["--accept-mass-delete", "--class=blue"],
    ),
    (
        "nameOverride: edge",
        &[
            "name: turnpike-edge-controller",
            "app.kubernetes.io/name: edge",
        ],
    ),
];

#[test]
fn an_api_server_takes_every_way_to_set_the_chart_up() -> Result<()> {
    Scene::run(async |scene| {
        for (values, expected) in WAYS {
            let rendered = template(scene.cluster, values).await?;
            for text in expected {
                ensure!(rendered.contains(text), "no {text:?} in:\n{rendered}");
            }
            dry_run(scene.cluster, &rendered).await?;
        }
        let values = format!("watchNamespaces: [{}]", scene.namespace);
        let rendered = template(scene.cluster, &values).await?;
        dry_run(scene.cluster, &rendered).await
    })
}

#[test]
fn monitors_are_rendered_only_when_asked_for() -> Result<()> {
    run_beside(async |_| {
        let cluster = Cluster::shared()?;
        let plain = template(cluster, "{}").await?;
        ensure!(!plain.contains("monitoring.coreos.com"), "{plain}");
        let values = "monitoring: {podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}";
        let rendered = template(cluster, values).await?;
        for kind in ["PodMonitor", "ServiceMonitor"] {
            let count = rendered.matches(&format!("kind: {kind}\n")).count();
            ensure!(count == 2, "{count} of {kind}");
        }
        Ok(())
    })
}

#[test]
fn helm_finds_no_fault_and_wrong_values_are_refused() -> Result<()> {
    run_beside(async |_| {
        let cluster = Cluster::shared()?;
        cluster.helm(&["lint", "--strict", &chart()?], "").await?;
        for (values, words) in [
            ("dataplane: {replicas: 3}", "'dataplane' not allowed"),
            ("redis: {url: \"redis://user:secret@host\"}", "/redis/url"),
            (
                "redis: {url: \"redis://host\", embedded: true}",
                "set one of them",
            ),
            (
                "hostnamePolicy: [\"{name}.example.com\"]",
                "/hostnamePolicy/0",
            ),
            ("dataPlane: {drainSeconds: 10s}", "/dataPlane/drainSeconds"),
            ("className: Blue", "/className"),
            ("fleetCertificates: [other/maas]", "/fleetCertificates/0"),
            (
                "dataPlane: {autoscaling: {enabled: true, cpuPercent: 0}}",
                "looks at nothing",
            ),
        ] {
            let fault = template(cluster, values).await.err();
            let fault = format!("{:#}", fault.with_context(|| format!("taken: {values}"))?);
            ensure!(fault.contains(words), "{values}: {fault}");
        }
        Ok(())
    })
}

/// How the chart is rendered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rendering<'a> {
    pub(crate) release: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) values: &'a str,
    /// These templates alone; empty: all.
    pub(crate) only: &'a [&'a str],
}

impl Rendering<'_> {
    pub(crate) async fn yaml(self, cluster: &Cluster) -> Result<String> {
        let chart = chart()?;
        let mut arguments = vec!["template", self.release, &chart];
        arguments.extend(["--namespace", self.namespace, "--values=-"]);
        arguments.push("--kube-version=1.30.0");
        arguments.extend(self.only.iter().flat_map(|name| ["--show-only", name]));
        cluster.helm(&arguments, self.values).await
    }
}

/// Renders all of it as the README installs it, with other values.
async fn template(cluster: &Cluster, values: &str) -> Result<String> {
    let rendering = Rendering {
        release: "turnpike",
        namespace: PLATFORM_NAMESPACE,
        values,
        only: &[],
    };
    rendering.yaml(cluster).await
}

async fn dry_run(cluster: &Cluster, yaml: &str) -> Result<()> {
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "-f",
        "-",
    ];
    let applied = cluster.kubectl_with_input(&apply, yaml).await;
    applied.map(drop).context("a server dry run of the chart")
}

pub(crate) fn chart() -> Result<String> {
    Ok(places::root()?
        .join("charts/turnpike")
        .display()
        .to_string())
}
