//! A caller that makes handshakes and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::Authority;

/// Names whose sessions are kept.
pub(super) const SESSIONS: usize = 100;

/// Speaks TLS 1.3, and checks each certificate by its name.
pub(super) struct Shaker {
    config: Arc<ClientConfig>,
    resumes: bool,
}

/// How many handshakes went on with an earlier session, of all.
pub(super) struct Kinds {
    resumed: usize,
    all: usize,
}

impl Shaker {
    /// Each handshake is a full one.
    pub(super) fn full(authority: &Authority) -> Result<Self> {
        Self::new(authority, Resumption::disabled(), false)
    }

    /// Each goes on with an earlier session of its name, if there was one.
    pub(super) fn resuming(authority: &Authority) -> Result<Self> {
        // rustls reckons with eight sessions of a name; there is the plain server's name, too.
        let sessions = Resumption::in_memory_sessions(8 * (SESSIONS + 1));
        Self::new(authority, sessions, true)
    }

    fn new(authority: &Authority, resumption: Resumption, resumes: bool) -> Result<Self> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(authority.roots()?)
            .with_no_client_auth();
        config.alpn_protocols = vec!["http/1.1".into()];
        config.resumption = resumption;
        Ok(Self {
            config: Arc::new(config),
            resumes,
        })
    }

    pub(super) fn resumes(&self) -> bool {
        self.resumes
    }

    pub(super) fn name(&self) -> &'static str {
        match self.resumes {
            true => "resumed handshakes",
            false => "full handshakes",
        }
    }

    /// Makes one handshake with each host, so many at a time.
    pub(super) async fn shake(
        &self,
        to: SocketAddr,
        hosts: impl Iterator<Item = String>,
        connections: usize,
    ) -> Result<Kinds> {
        let shaking = stream::iter(hosts).map(|host| self.shake_once(to, host));
        let kinds: Vec<_> = shaking.buffer_unordered(connections).try_collect().await?;
        let resumed = kinds.iter().filter(|kind| **kind == HandshakeKind::Resumed);
        Ok(Kinds {
            resumed: resumed.count(),
            all: kinds.len(),
        })
    }

    async fn shake_once(&self, to: SocketAddr, host: String) -> Result<HandshakeKind> {
        let socket = TcpStream::connect(to).await.context("connecting")?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(host.clone())?;
        let mut stream = TlsConnector::from(self.config.clone())
            .connect(name, socket)
            .await
            .with_context(|| format!("the handshake for {host}"))?;
        let kind = stream.get_ref().1.handshake_kind();
        // The server closes first, and a reset ends what it keeps of the connection: else ports
        // would run out.
        stream.get_mut().1.send_close_notify();
        stream.flush().await?;
        stream
            .read_to_end(&mut Vec::new())
            .await
            .context("the end")?;
        stream.get_ref().0.set_zero_linger()?;
        kind.context("no kind of handshake")
    }
}

impl Kinds {
    /// Fails unless all were of the kind that is to be measured.
    pub(super) fn check(&self, resumes: bool) -> Result<()> {
        let wanted = if resumes { self.all } else { 0 };
        let (resumed, all) = (self.resumed, self.all);
        ensure!(resumed == wanted, "{resumed} of {all} were resumed");
        Ok(())
    }
}
