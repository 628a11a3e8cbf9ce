//! TLS with providers that say how: their own CAs, a certificate to show, another name to ask for.

use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use turnpike_snapshot::provider::{Identity, Provider, Upstream, UpstreamTls};
use turnpike_snapshot::{Name, Snapshot};

use super::request_gateway::{TestGateway, chat_stream, request};
use super::request_provider::{End, FakeProvider, Script, chat_answer, events, json};
use super::request_world::{World, object, rule, upstream};

const TEXT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"some words of the answer\"},\"finish_reason\":null}]}\n\n";

fn good() -> Script {
    json(200, chat_answer("hello"))
}

/// A CA.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate of a CA's, with its key.
struct Leaf {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(parameters, key).unwrap())
    }

    fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    fn sign(&self, name: &str) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new([name.to_owned()]).unwrap();
        let made = parameters.signed_by(&key, &self.0).unwrap();
        Leaf {
            chain: vec![made.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

impl Leaf {
    fn identity(&self) -> Option<Identity> {
        Some(Identity {
            chain: self.chain.iter().map(|der| der.to_vec()).collect(),
            key: self.key.secret_der().to_vec(),
        })
    }
}

/// Shows a certificate, and notes the name that it was asked for.
#[derive(Debug)]
struct Noting {
    shown: Arc<CertifiedKey>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_owned);
        self.asked.lock().push(name);
        Some(self.shown.clone())
    }
}

type Asked = Arc<Mutex<Vec<Option<String>>>>;

/// A server of this certificate, which asks callers for one of these CAs.
fn server(leaf: Leaf, callers: Option<&Authority>) -> (ServerConfig, Asked) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let shown = CertifiedKey::from_der(leaf.chain, leaf.key, &provider).unwrap();
    let asked = Asked::default();
    let noting = Noting {
        shown: Arc::new(shown),
        asked: asked.clone(),
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match callers {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(authority.roots(), provider)
                .build()
                .unwrap(),
        ),
    };
    let mut config = builder.with_cert_resolver(Arc::new(noting));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (config, asked)
}

fn localhost(provider: &FakeProvider) -> String {
    format!("https://localhost:{}/v1", provider.address.port())
}

fn with(url: &str, tls: UpstreamTls) -> Upstream {
    Upstream {
        tls: Some(Box::new(tls)),
        ..upstream("OpenAI", url)
    }
}

fn trusting(authority: &Authority) -> UpstreamTls {
    UpstreamTls {
        authorities: vec![authority.der()],
        ..UpstreamTls::default()
    }
}

/// A gateway whose machine trusts one CA.
async fn gateway(world: World, machine: &Authority) -> TestGateway {
    TestGateway::trusting(world, machine.0.der().clone()).await
}

const NOT_ACCEPTED: &str = "its TLS certificate or handshake was not accepted";

#[tokio::test]
async fn only_the_cas_that_a_provider_names_are_trusted_for_it_and_for_nobody_else() {
    let (machine, own) = (Authority::new(), Authority::new());
    let (config, _) = server(own.sign("localhost"), None);
    let inner = FakeProvider::start_tls_as(good(), config).await;
    let (config, _) = server(machine.sign("localhost"), None);
    let public = FakeProvider::start_tls_as(good(), config).await;
    let mut world = World::with(with(&localhost(&inner), trusting(&own)));
    let more = [
        ("untold", upstream("OpenAI", &localhost(&inner))),
        ("public", upstream("OpenAI", &localhost(&public))),
        ("wrong", with(&localhost(&public), trusting(&own))),
    ];
    for (name, provider) in more {
        let provider = Provider::Upstream(provider);
        world.providers.push((object(name), provider));
    }
    let names = ["untold", "public", "wrong", "main"];
    world.route().rules = names.map(|name| rule(name, &[name])).into();
    let gateway = gateway(world, &machine).await;
    for (model, is_trusted) in [
        ("main", true),
        ("untold", false),
        ("public", true),
        ("wrong", false),
    ] {
        let mut body = super::request_gateway::chat("x");
        body["model"] = model.into();
        let answer = gateway.post("/v1/chat/completions", &body).await;
        assert_eq!(answer.status, if is_trusted { 200 } else { 502 }, "{model}");
        assert_eq!(!answer.text().contains(NOT_ACCEPTED), is_trusted, "{model}");
    }
}

#[tokio::test]
async fn a_provider_that_asks_for_a_certificate_is_shown_it() {
    let (machine, callers) = (Authority::new(), Authority::new());
    let shown = |leaf: &Leaf| UpstreamTls {
        identity: leaf.identity(),
        ..UpstreamTls::default()
    };
    let (own, foreign) = (callers.sign("gateway"), machine.sign("gateway"));
    for (tls, status) in [
        (Some(shown(&own)), 200),
        (Some(shown(&foreign)), 502),
        (None, 502),
    ] {
        let (config, _) = server(machine.sign("localhost"), Some(&callers));
        let provider = FakeProvider::start_tls_as(good(), config).await;
        let upstream = Upstream {
            tls: tls.map(Box::new),
            ..upstream("OpenAI", &localhost(&provider))
        };
        let gateway = gateway(World::with(upstream), &machine).await;
        let answer = gateway.chat("x").await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test]
async fn another_name_is_asked_for_and_checked_and_the_host_header_stays() {
    let machine = Authority::new();
    let named = |name: &str| UpstreamTls {
        server_name: Some(name.into()),
        ..UpstreamTls::default()
    };
    for (name, status) in [("inner.test", 200), ("other.test", 502)] {
        let (config, asked) = server(machine.sign("inner.test"), None);
        let mut provider = FakeProvider::start_tls_as(good(), config).await;
        let url = format!("https://{}/v1", provider.address);
        let gateway = gateway(World::with(with(&url, named(name))), &machine).await;
        assert_eq!(gateway.chat("x").await.status, status);
        assert_eq!(*asked.lock(), [Some(name.to_owned())]);
        if status == 200 {
            let received = provider.received().await;
            assert_eq!(received.version, http::Version::HTTP_2);
            assert_eq!(received.authority, provider.address.to_string());
        }
    }
}

#[tokio::test]
async fn providers_that_say_the_same_share_connections_and_others_do_not() {
    let own = Authority::new();
    let (config, _) = server(own.sign("localhost"), None);
    let provider = FakeProvider::start_tls_as(good(), config).await;
    let url = localhost(&provider);
    let named = UpstreamTls {
        server_name: Some("localhost".into()),
        ..trusting(&own)
    };
    let mut world = World::with(with(&url, trusting(&own)));
    for (name, tls) in [("same", trusting(&own)), ("other", named)] {
        let provider = Provider::Upstream(with(&url, tls));
        world.providers.push((object(name), provider));
    }
    let names = ["same", "other", "main"];
    world.route().rules = names.map(|name| rule(name, &[name])).into();
    let gateway = gateway(world, &Authority::new()).await;
    for (model, connections) in [("main", 1), ("same", 1), ("other", 2), ("main", 2)] {
        let mut body = super::request_gateway::chat("x");
        body["model"] = model.into();
        let answer = gateway.post("/v1/chat/completions", &body).await;
        assert_eq!(answer.status, 200, "{model}");
        assert_eq!(provider.connections(), connections, "{model}");
    }
}

#[tokio::test]
async fn another_certificate_is_shown_on_new_connections_while_streams_run_on() {
    let (machine, callers) = (Authority::new(), Authority::new());
    let (config, _) = server(machine.sign("localhost"), Some(&callers));
    let provider = FakeProvider::start_tls_as(events([TEXT], End::Hang), config).await;
    let shown = |leaf: &Leaf| {
        let tls = UpstreamTls {
            identity: leaf.identity(),
            ..UpstreamTls::default()
        };
        with(&localhost(&provider), tls)
    };
    let (old, new) = (callers.sign("old"), callers.sign("new"));
    let gateway = gateway(World::with(shown(&old)), &machine).await;
    let ask = || gateway.open(request("/v1/chat/completions", &chat_stream("x")));
    let _first = ask().await;
    let _second = ask().await;
    assert_eq!(provider.connections(), 1);
    let changed = Snapshot::Provider(Provider::Upstream(shown(&new)));
    let name = Name::Provider(object("main"));
    assert!(
        gateway
            .shared
            .store
            .replace(vec![(name, changed)])
            .is_empty()
    );
    let _third = ask().await;
    assert_eq!(provider.connections(), 2);
    assert!(!provider.has_left(), "the streams go on");
}
