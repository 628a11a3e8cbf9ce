//! What a tenant costs in memory, and that the store's estimate follows it. A process of its own,
//! with the allocator of the programs.

use std::time::Duration;

use turnpike_dataplane::Store;
use turnpike_snapshot::consumer::Consumer;
use turnpike_snapshot::credential::{Credential, FleetKey, sha256};
use turnpike_snapshot::domain::{Authentication, Backend, Domain, Match, PathMatch, Route, Rule};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{Provider, ProviderKind, Timeouts, Upstream};
use turnpike_snapshot::tenant::{Fleet, Tenant};
use turnpike_snapshot::{Name, Snapshot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECOND: Duration = Duration::from_secs(1);
const TENANTS: usize = 4_000;
/// A domain with its key, consumer and tenant.
const MAX_BYTES: u64 = 8 * 1024;

#[test]
fn a_tenant_stays_small_and_the_estimate_follows() {
    // Kept, so that none is measured in what another has freed.
    let mut stores = Vec::new();
    for (shape, rules) in [("one rule", 1), ("eight rules", 8)] {
        let store = Store::with_snapshots(vec![fleet_key()], shared());
        load(&store, rules, 0..100);
        let (before, estimated_before) = (resident(), store.bytes());
        load(&store, rules, 100..100 + TENANTS);
        let real = resident().saturating_sub(before) / TENANTS as u64;
        let estimated = (store.bytes() - estimated_before) / TENANTS as u64;
        println!("{shape}: {real} bytes a tenant resident, {estimated} estimated");
        assert!(rules > 1 || real <= MAX_BYTES, "{shape}: {real} bytes");
        let is_close = estimated * 2 >= real && estimated <= real * 2;
        assert!(is_close, "{shape}: {estimated} for {real}");
        assert_eq!(store.census().domains, 100 + TENANTS);
        stores.push(store);
    }
}

fn load(store: &Store, rules: usize, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let refusals = store.replace(tenant(number, rules));
        assert_eq!(refusals, [] as [String; 0]);
    }
}

/// Bytes. Source: proc(5), `/proc/pid/statm`; pages are of 4 KiB.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
    pages.unwrap_or(0) * 4096
}

fn fleet_key() -> FleetKey {
    FleetKey::new("k1", vec![7; 32])
}

fn provider() -> ObjectName {
    ObjectName::new("turnpike-system", "deepseek")
}

fn shared() -> Vec<(Name, Snapshot)> {
    let upstream = Upstream {
        kind: ProviderKind::Vendor("Echo".into()),
        url: None,
        service: None,
        keys: Vec::new(),
        models: Vec::new(),
        timeouts: Timeouts {
            connect: SECOND,
            first_token: SECOND,
            idle: SECOND,
            total: SECOND,
        },
    };
    let upstream = Snapshot::Provider(Provider::Upstream(upstream));
    vec![
        (Name::Provider(provider()), upstream),
        (Name::Fleet, Snapshot::Fleet(Fleet::default())),
    ]
}

fn tenant(number: usize, rules: usize) -> Vec<(Name, Snapshot)> {
    let namespace = format!("tenant-{number}");
    let name = ObjectName::new(&*namespace, "default");
    let consumer = Consumer {
        name: name.clone(),
        groups: vec!["gold".into()],
        is_suspended: false,
    };
    let credential = Credential {
        consumer: name.clone(),
        not_after: None,
    };
    let id = fleet_key().credential_id(&sha256(namespace.as_bytes()));
    let tenant = Tenant {
        uid: format!("{number:08}-aaaa-bbbb-cccc-0123456789ab"),
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        quotas: Vec::new(),
    };
    let domain = Domain {
        namespace: namespace.clone(),
        routes: vec![Route {
            name: "main".into(),
            authentication: Some(Authentication::Required),
            allow: Some(Vec::new()),
            rules: (0..rules).map(rule).collect(),
            max_body_bytes: Some(32 << 20),
            template: None,
            suspension: None,
        }],
        ..Domain::default()
    };
    let host = format!("{namespace}.maas.example.com");
    let credential_name = Name::Credential {
        realm: namespace.clone(),
        id,
    };
    vec![
        (Name::Tenant(namespace), Snapshot::Tenant(tenant)),
        (Name::Consumer(name), Snapshot::Consumer(consumer)),
        (credential_name, Snapshot::Credential(credential)),
        (Name::Domain(host), Snapshot::Domain(domain)),
    ]
}

fn rule(number: usize) -> Rule {
    let backend = |model: &str| Backend {
        provider: provider(),
        model: Some(model.into()),
        weight: 1,
        models: Vec::new(),
        fault: None,
    };
    Rule {
        name: format!("rule-{number}"),
        matches: vec![Match {
            path: Some(PathMatch::Prefix("/v1".into())),
            models: vec![format!("model-{number}*")],
            headers: Vec::new(),
            groups: vec!["gold".into()],
        }],
        backends: vec![backend("deepseek-chat"), backend("qwen-plus")],
    }
}
