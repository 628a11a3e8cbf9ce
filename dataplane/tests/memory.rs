//! What a tenant costs in memory, that the store's estimate follows it, and what a certificate costs
//! that was shown. A process of its own, with the allocator of the programs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use turnpike_dataplane::Store;
use turnpike_dataplane::listen::Handshakes;
use turnpike_dataplane::store::Asker;
use turnpike_snapshot::certificate::{Certificate, KeyedCertificate};
use turnpike_snapshot::consumer::Consumer;
use turnpike_snapshot::credential::{Credential, FleetKey, sha256};
use turnpike_snapshot::domain::{Authentication, Backend, Domain, Match, PathMatch, Route, Rule};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{Provider, ProviderKind, Timeouts, Upstream};
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::tenant::{Fleet, Tenant};
use turnpike_snapshot::{Name, Snapshot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECOND: Duration = Duration::from_secs(1);
const TENANTS: usize = 4_000;
/// A domain with its key, consumer and tenant.
const MAX_BYTES: u64 = 8 * 1024;
const CERTIFICATES: usize = 500;
/// Of a domain with a certificate that was shown: 5,000 of them in 200 MB.
const MAX_SHOWN_BYTES: u64 = 40_000;

/// One measures at a time.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_certificate_that_was_shown_stays_small() {
    let _turn = TURN.lock();
    let ca_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = parameters.self_signed(&ca_key).unwrap();
    let issuer = Issuer::from_ca_cert_der(ca.der(), &ca_key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    let client = TlsConnector::from(Arc::new(client));

    let store = Store::with_snapshots(vec![fleet_key()], shared());
    let handshakes = Handshakes::new(store.clone(), Arc::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let show = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let refusals = store.replace(with_certificate(number, &issuer, &ca));
            assert_eq!(refusals, [] as [String; 0]);
            let name = ServerName::try_from(hostname(number)).unwrap();
            let (near, far) = tokio::io::duplex(16 * 1024);
            let (secured, connected) = runtime.block_on(async {
                tokio::join!(
                    handshakes.secure(far, Asker::Nobody),
                    client.connect(name, near)
                )
            });
            connected.unwrap();
            assert!(secured.is_some());
        }
    };
    show(0..50);
    let before = resident();
    show(50..50 + CERTIFICATES);
    let each = resident().saturating_sub(before) / CERTIFICATES as u64;
    println!("{each} bytes a certificate that was shown, with its domain");
    assert!(each <= MAX_SHOWN_BYTES, "{each} bytes");
}

/// A tenant whose certificate an intermediate has signed.
fn with_certificate(
    number: usize,
    issuer: &Issuer<'_, &KeyPair>,
    ca: &rcgen::Certificate,
) -> Vec<(Name, Snapshot)> {
    let key = KeyPair::generate().expect("a key");
    let parameters = CertificateParams::new(vec![hostname(number)]).expect("its parameters");
    let own = parameters.signed_by(&key, issuer).expect("a certificate");
    let certificate = Certificate::Usable(KeyedCertificate {
        names: vec![hostname(number)],
        chain: vec![own.der().to_vec(), ca.der().to_vec()],
        key: key.serialize_der(),
        not_after: i64::MAX,
    });
    let name = ObjectName::new(format!("tenant-{number}"), "own-cert");
    let mut snapshots = tenant(number, 1);
    if let Some((_, Snapshot::Domain(domain))) = snapshots.last_mut() {
        domain.certificates = vec![name.clone()];
    }
    let certificate = (Name::Certificate(name), Snapshot::Certificate(certificate));
    snapshots.insert(0, certificate);
    snapshots
}

fn hostname(number: usize) -> String {
    format!("tenant-{number}.maas.example.com")
}

#[test]
fn a_tenant_stays_small_and_the_estimate_follows() {
    let _turn = TURN.lock();
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
        tls: None,
        egress_proxy: None,
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
            head_bytes: None,
            template: None,
            suspension: None,
        }],
        ..Domain::default()
    };
    let host = hostname(number);
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
        priority: 0,
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
        retries: Retries::default(),
    }
}
