//! What a tenant costs in memory, that the store's estimate follows it, what a certificate costs that was
//! shown, and what an upload. A process of its own, with the allocator of the programs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_dataplane::access_log::AccessLog;
use turnpike_dataplane::budget::Budget;
use turnpike_dataplane::drains::Drains;
use turnpike_dataplane::listen::{Door, Drain, Handshakes, Listener};
use turnpike_dataplane::quota::{self, Estimator, MemoryStore, QuotaSettings, Quotas};
use turnpike_dataplane::store::Asker;
use turnpike_dataplane::upstream::{Addresses, Pool};
use turnpike_dataplane::{Gateway, Store};
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

const UPLOADS: usize = 20;
const UPLOAD_BYTES: usize = 16 << 20;
/// Of an upload in flight, with its caller's and its provider's buffers, and the threads that write to disk:
/// all are of this process.
const MAX_UPLOAD_BYTES: u64 = 5 << 19;

/// In this order: what one lets go of would be found by the next.
#[test]
fn tenants_certificates_and_uploads_stay_small() {
    a_tenant_stays_small_and_the_estimate_follows();
    a_certificate_that_was_shown_stays_small();
    a_large_body_that_passes_is_held_nowhere();
}

#[expect(clippy::unwrap_used, reason = "part of a test")]
fn a_certificate_that_was_shown_stays_small() {
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

#[expect(clippy::unwrap_used, reason = "part of a test")]
fn a_large_body_that_passes_is_held_nowhere() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let gateway = serve_uploads().await;
        let picture = "iVBORw0KGgoAAAANSUhEUgAAA".repeat(UPLOAD_BYTES / 25);
        let first = format!(r#"{{"model":"m","stream":false,"a":"{picture}"}}"#);
        let last = format!(r#"{{"a":"{picture}","model":"m"}}"#);
        for (name, body) in [("first", first), ("last", last)] {
            let body: Arc<str> = body.into();
            // Buffers, threads and pages that stay.
            upload(gateway, 2, &body).await;
            let before = resident();
            let watch = tokio::spawn(watch_resident());
            upload(gateway, UPLOADS, &body).await;
            watch.abort();
            let grown = PEAK.swap(0, Ordering::Relaxed).saturating_sub(before);
            let each = grown / UPLOADS as u64;
            println!("model {name}: {each} bytes an upload of {}", body.len());
            assert!(each <= MAX_UPLOAD_BYTES, "model {name}: {each} bytes");
        }
    });
}

static PEAK: AtomicU64 = AtomicU64::new(0);

async fn watch_resident() {
    loop {
        PEAK.fetch_max(resident(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Uploads at the same time; each is answered with 200.
async fn upload(gateway: SocketAddr, count: usize, body: &Arc<str>) {
    let one = |body: Arc<str>| async move {
        let mut stream = TcpStream::connect(gateway).await.expect("a connection");
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            hostname(0),
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("a head");
        stream.write_all(body.as_bytes()).await.expect("a body");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    let uploads = (0..count).map(|_| tokio::spawn(one(body.clone())));
    futures::future::try_join_all(uploads)
        .await
        .expect("all are answered");
}

/// A gateway to a provider that reads bodies and forgets them.
async fn serve_uploads() -> SocketAddr {
    let provider_listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = provider_listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = provider_listener.accept().await.expect("a caller");
            let service = service_fn(|request: Request<Incoming>| async move {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                let answer = r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}"#;
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(
                    answer.as_bytes(),
                ))))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    let mut snapshots = shared();
    for (_, snapshot) in &mut snapshots {
        if let Snapshot::Provider(Provider::Upstream(upstream)) = snapshot {
            upstream.kind = ProviderKind::Protocol("OpenAI".into());
            upstream.url = Some(format!("http://{address}/v1"));
            upstream.timeouts.total = SECOND * 600;
        }
    }
    for (name, mut snapshot) in tenant(0, 1) {
        if let Snapshot::Domain(domain) = &mut snapshot {
            let route = &mut domain.routes[0];
            route.authentication = Some(Authentication::Optional {
                anonymous_consumer: None,
            });
            // What names the model must be awaited.
            route.rules[0].matches[0].models = vec!["m*".into()];
            route.rules[0].matches[0].groups.clear();
        }
        snapshots.push((name, snapshot));
    }
    let store = Store::with_snapshots(vec![fleet_key()], snapshots);
    let (access_log, _writer) = AccessLog::spawn(std::io::sink()).expect("a thread");
    let memory = quota::Store::Memory(MemoryStore::default());
    let settings = QuotaSettings::default();
    let stop = CancellationToken::new();
    let (quotas, _task) = Quotas::spawn(memory, Arc::default(), settings, stop.clone());
    let gateway = Arc::new(Gateway {
        metrics: Arc::default(),
        drains: Drains::new(Arc::default()),
        store,
        quotas,
        estimator: Estimator::default(),
        upstream: Pool::new(Addresses::Any),
        budget: Budget::default(),
        access_log,
        settling: TaskTracker::new(),
    });
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = listener.address();
    let drain = Drain {
        delay: Duration::ZERO,
        limit: SECOND,
    };
    tokio::spawn(listener.serve(gateway, Door::default(), drain, stop));
    address
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
        manner: None,
        cloud: None,
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
            heartbeat: None,
            on_disconnect: None,
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
