//! Handshakes over a pipe in memory, with certificates made here.

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;
use turnpike_snapshot::certificate::{Authority, Certificate, FleetCertificates, KeyedCertificate};
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::domain::Domain;
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::tenant::{Fleet, Tenant};
use turnpike_snapshot::{Name, Snapshot, Version};

use super::*;
use crate::store::view::PROVIDER;
use crate::testing::{Shows, authority};

const TENANT: &str = "tenant";

/// A certificate that signs itself.
struct Made {
    der: CertificateDer<'static>,
    keyed: KeyedCertificate,
}

fn made(names: &[&str]) -> Made {
    let texts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(texts.clone()).unwrap();
    let der = made.cert.der().clone();
    Made {
        keyed: KeyedCertificate {
            names: texts,
            chain: vec![der.to_vec()],
            key: made.signing_key.serialize_der(),
            not_after: i64::MAX,
        },
        der,
    }
}

pub(super) fn certificate(names: &[&str]) -> CertificateView {
    let certificate = Certificate::Usable(made(names).keyed);
    let version = Version::of(&Snapshot::Certificate(certificate.clone()));
    CertificateView::compile(version, &certificate).unwrap()
}

fn object(name: &str) -> ObjectName {
    ObjectName::new(TENANT, name)
}

/// What a store is given, dependencies first.
struct World(Vec<(Name, Snapshot)>);

impl World {
    fn new() -> Self {
        let tenant = Snapshot::Tenant(Tenant::default());
        Self(vec![
            (Name::Tenant(TENANT.into()), tenant),
            (Name::Fleet, Snapshot::Fleet(Fleet::default())),
        ])
    }

    fn certificate(mut self, name: &str, made: &Made) -> Self {
        self.0.push(certificate_snapshot(name, made));
        self
    }

    fn authority(mut self, name: &str, ca: &CertificateDer<'_>) -> Self {
        let authority = Snapshot::Authority(Authority::Usable(vec![ca.to_vec()]));
        self.0.push((Name::Authority(object(name)), authority));
        self
    }

    fn fleet(mut self, certificates: &[&str]) -> Self {
        let certificates = certificates.iter().map(|name| object(name)).collect();
        let fleet = Snapshot::FleetCertificates(FleetCertificates { certificates });
        self.0.push((Name::FleetCertificates, fleet));
        self
    }

    fn domain(mut self, host: &str, certificates: &[&str], authorities: &[&str]) -> Self {
        let objects = |names: &[&str]| names.iter().map(|name| object(name)).collect();
        let domain = Domain {
            namespace: TENANT.into(),
            routes: Vec::new(),
            certificates: objects(certificates),
            client_authorities: objects(authorities),
        };
        self.0
            .push((Name::Domain(host.into()), Snapshot::Domain(domain)));
        self
    }

    fn store(self) -> Store {
        Store::with_snapshots(vec![FleetKey::new("1", vec![5; 32])], self.0)
    }

    fn handshakes(self) -> Handshakes {
        Handshakes::new(self.store(), Arc::new(Metrics::default()))
    }
}

fn certificate_snapshot(name: &str, made: &Made) -> (Name, Snapshot) {
    let certificate = Certificate::Usable(made.keyed.clone());
    (
        Name::Certificate(object(name)),
        Snapshot::Certificate(certificate),
    )
}

/// Trusts these certificates.
fn client(trusted: &[&Made]) -> Arc<ClientConfig> {
    Arc::new(client_with(trusted, rustls::ALL_VERSIONS, None))
}

fn client_with(
    trusted: &[&Made],
    versions: &[&'static SupportedProtocolVersion],
    shows: Option<Shows>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for made in trusted {
        roots.add(made.der.clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match shows {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

/// What the caller saw.
#[derive(Debug)]
struct Seen {
    certificate: Option<CertificateDer<'static>>,
    kind: HandshakeKind,
    protocol: Option<Vec<u8>>,
    tls: Arc<Tls>,
}

/// One handshake, and a byte over it, so that the caller has heard all that the other side has to say.
async fn shake(
    handshakes: &Handshakes,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<Seen, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = async {
        let (mut stream, tls) = handshakes.secure(far, Asker::Nobody).await?;
        stream.write_all(b"x").await.ok()?;
        stream.flush().await.ok()?;
        Some((stream, tls))
    };
    let caller = async {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(client.clone());
        let mut stream = connector.connect(name, near).await?;
        stream.read_u8().await?;
        let connection = stream.get_ref().1;
        let certificates = connection.peer_certificates();
        Ok::<_, io::Error>((
            certificates.map(|chain| chain[0].clone().into_owned()),
            connection.handshake_kind().unwrap(),
            connection.alpn_protocol().map(<[u8]>::to_vec),
        ))
    };
    let (secured, seen) = tokio::join!(server, caller);
    let (certificate, kind, protocol) = seen.map_err(|error| error.to_string())?;
    let (_, tls) = secured.ok_or("the server failed")?;
    Ok(Seen {
        certificate,
        kind,
        protocol,
        tls,
    })
}

async fn refused(handshakes: &Handshakes, client: &Arc<ClientConfig>, name: &str, words: &str) {
    let error = shake(handshakes, client, name).await.unwrap_err();
    assert!(error.contains(words), "{name}: {error}");
}

#[tokio::test]
async fn each_name_is_shown_its_own_certificate_else_the_platforms() {
    let (own, wild, fleet) = (
        made(&["a.test"]),
        made(&["*.b.test"]),
        made(&["*.maas.test"]),
    );
    let handshakes = World::new()
        .certificate("own", &own)
        .certificate("wild", &wild)
        .certificate("fleet", &fleet)
        .fleet(&["fleet"])
        .domain("a.test", &["wild", "own"], &[])
        .domain("x.b.test", &["wild"], &[])
        .domain("t.maas.test", &[], &[])
        .domain("u.maas.test", &["own"], &[])
        .domain("c.test", &["own"], &[])
        .handshakes();
    let client = client(&[&own, &wild, &fleet]);
    for (name, expected) in [
        ("a.test", &own),
        ("x.b.test", &wild),
        ("t.maas.test", &fleet),
        ("u.maas.test", &fleet),
        ("nobody.maas.test", &fleet),
        ("T.MAAS.TEST", &fleet),
    ] {
        let seen = shake(&handshakes, &client, name).await.unwrap();
        assert_eq!(seen.certificate.as_ref(), Some(&expected.der), "{name}");
        assert!(seen.tls.peer.is_empty());
    }
    // Nobody serves it, it is not for this host, the wildcard is of one label, no name at all.
    for name in ["elsewhere.test", "c.test", "a.b.maas.test", "127.0.0.1"] {
        refused(&handshakes, &client, name, "UnrecognisedName").await;
    }
    let metrics = handshakes.metrics.encode().unwrap();
    assert!(metrics.contains("turnpike_tls_handshakes_total{end=\"done\"} 6"));
    assert!(metrics.contains("turnpike_tls_handshakes_total{end=\"unknown_name\"} 4"));
}

#[tokio::test]
async fn a_new_certificate_is_shown_at_once_and_a_faulty_one_leaves_the_old() {
    let (old, new) = (made(&["a.test"]), made(&["a.test"]));
    let handshakes = World::new()
        .certificate("own", &old)
        .domain("a.test", &["own"], &[])
        .handshakes();
    let client = client(&[&old, &new]);
    let shown = async || {
        shake(&handshakes, &client, "a.test")
            .await
            .unwrap()
            .certificate
    };
    assert_eq!(shown().await.as_ref(), Some(&old.der));

    let faulty = Certificate::Faulty {
        reason: "Secret tenant/own: it is broken".into(),
    };
    let name = Name::Certificate(object("own"));
    let refusals = handshakes
        .store
        .replace(vec![(name.clone(), Snapshot::Certificate(faulty))]);
    assert_eq!(
        refusals,
        ["certificate/tenant/own: Secret tenant/own: it is broken"]
    );
    assert_eq!(shown().await.as_ref(), Some(&old.der));

    handshakes
        .store
        .replace(vec![certificate_snapshot("own", &new)]);
    let client = super::tests::client(&[&old, &new]);
    let seen = shake(&handshakes, &client, "a.test").await.unwrap();
    assert_eq!(seen.certificate.as_ref(), Some(&new.der));

    handshakes.store.withdraw(vec![name]);
    refused(&handshakes, &client, "a.test", "UnrecognisedName").await;
}

#[tokio::test]
async fn both_versions_of_http_and_of_tls_are_spoken() {
    let own = made(&["a.test"]);
    let handshakes = World::new()
        .certificate("own", &own)
        .domain("a.test", &["own"], &[])
        .handshakes();
    for version in rustls::ALL_VERSIONS {
        for protocol in ["h2", "http/1.1"] {
            let mut client = client_with(&[&own], &[version], None);
            client.alpn_protocols = vec![protocol.into()];
            let seen = shake(&handshakes, &Arc::new(client), "a.test")
                .await
                .unwrap();
            assert_eq!(seen.protocol.as_deref(), Some(protocol.as_bytes()));
        }
    }
    let mut strange = client_with(&[&own], rustls::ALL_VERSIONS, None);
    strange.alpn_protocols = vec!["spdy/1".into()];
    refused(
        &handshakes,
        &Arc::new(strange),
        "a.test",
        "NoApplicationProtocol",
    )
    .await;
}

#[tokio::test]
async fn a_session_goes_on_at_another_replica_and_never_under_another_rule() {
    let own = made(&["a.test"]);
    let ca = authority();
    let world = || World::new().certificate("own", &own);
    let open = || world().domain("a.test", &["own"], &[]).handshakes();
    let (one, other) = (open(), open());
    let closed = world()
        .authority("ca", ca.der())
        .domain("a.test", &["own"], &["ca"])
        .handshakes();
    for version in rustls::ALL_VERSIONS {
        let client = Arc::new(client_with(&[&own], &[version], Some(ca.issue())));
        let kind = async |at: &Handshakes| shake(at, &client, "a.test").await.unwrap().kind;
        assert_eq!(kind(&one).await, HandshakeKind::Full);
        assert_eq!(kind(&other).await, HandshakeKind::Resumed);
        // The sessions that the caller holds were made without a certificate of its own.
        let seen = shake(&closed, &client, "a.test").await.unwrap();
        assert_eq!((seen.kind, seen.tls.peer.len()), (HandshakeKind::Full, 1));
        let seen = shake(&closed, &client, "a.test").await.unwrap();
        assert_eq!(
            (seen.kind, seen.tls.peer.len()),
            (HandshakeKind::Resumed, 1)
        );
        assert_eq!(kind(&one).await, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_without_a_fleet_key_of_then() {
    let own = made(&["a.test"]);
    let handshakes = World::new()
        .certificate("own", &own)
        .domain("a.test", &["own"], &[])
        .handshakes();
    let client = client(&[&own]);
    let kind = async || shake(&handshakes, &client, "a.test").await.unwrap().kind;
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
    handshakes
        .store
        .set_fleet_keys(vec![FleetKey::new("2", vec![6; 32])]);
    assert_eq!(kind().await, HandshakeKind::Full);
}

#[tokio::test]
async fn callers_must_show_a_certificate_where_the_domain_asks_for_one() {
    let own = made(&["a.test"]);
    let (ca, foreign) = (authority(), authority());
    let handshakes = World::new()
        .certificate("own", &own)
        .authority("ca", ca.der())
        .domain("a.test", &["own"], &["ca"])
        .handshakes();
    for version in rustls::ALL_VERSIONS {
        let client = |shows| {
            let mut client = client_with(&[&own], &[version], shows);
            client.resumption = Resumption::disabled();
            Arc::new(client)
        };
        let seen = shake(&handshakes, &client(Some(ca.issue())), "a.test").await;
        assert_eq!(seen.unwrap().tls.peer.len(), 1);
        assert!(shake(&handshakes, &client(None), "a.test").await.is_err());
        let of_another = client(Some(foreign.issue()));
        assert!(shake(&handshakes, &of_another, "a.test").await.is_err());
    }
    // Without a CA nobody is let in.
    let lost = made(&["lost.test"]);
    let handshakes = World::new()
        .certificate("own", &lost)
        .domain("lost.test", &["own"], &["gone"])
        .handshakes();
    refused(&handshakes, &client(&[&lost]), "lost.test", "AccessDenied").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_handshake_ends_and_is_counted() {
    let handshakes = World::new().handshakes();
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"[..],
        &[0xff; 64],
        &[22, 3, 1],
    ] {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        assert!(handshakes.secure(far, Asker::Nobody).await.is_none());
    }
    let (mut near, far) = tokio::io::duplex(1024);
    near.write_all(&[22, 3, 1, 0]).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(handshakes.secure(far, Asker::Nobody).await.is_none());
    assert_eq!(began.elapsed(), HANDSHAKE_TIMEOUT);
    let metrics = handshakes.metrics.encode().unwrap();
    assert!(
        metrics.contains("turnpike_tls_handshakes_total{end=\"failed\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("turnpike_tls_handshakes_total{end=\"timeout\"} 1"),
        "{metrics}"
    );
}
