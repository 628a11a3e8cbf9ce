//! A TLS handshake, from the first byte to the secured connection.
//!
//! ```text
//! ClientHello ── SNI ──► domain (loaded if need be) ──► its certificate, else the platform's
//!                                                  └──► what callers must show
//! ```
//!
//! A name that nobody serves is shown the platform's certificate where one is for it, so that a
//! tenant made a moment later works at once, and else an alert. Each handshake is a task of its own.

mod ready;
mod tickets;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Acceptor, ResolvesServerCert};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;
use turnpike_snapshot::certificate::choose;

use self::ready::{Offer, Ready, ReadyCache};
use crate::arrival::{HostName, Tls};
use crate::metrics::{HandshakeLabel, Metrics};
use crate::store::view::{CertificateSlot, CertificateView, ClientRule, DomainView};
use crate::store::{Asker, FetchError, Store};

/// From the connection to the end of the handshake: a round trip or three, and a look-up.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes that are past their look-up, at once; each takes some 30 KiB and a signature. With a
/// hundred milliseconds to the caller these are 10,000 a second, more than a core can sign.
const AT_ONCE: usize = 1024;
/// How long others wait for their turn, in the order in which they came.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// From a handshake's turn to its end. Who stops answering holds a place for so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What all handshakes share.
pub struct Handshakes {
    store: Store,
    ready: ReadyCache,
    metrics: Arc<Metrics>,
    turns: Semaphore,
}

/// Why a handshake is not gone on with; each is an alert of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// No certificate is for the name, or no name was sent.
    UnknownName,
    /// Nobody can say just now.
    Unavailable,
    /// A certificate is needed of the caller, and there is nothing to check it by.
    NoAuthority,
}

/// Why there is no connection.
#[derive(Debug)]
enum Failure {
    Refused(Refusal),
    /// Too many others were under way.
    Crowded,
    /// The caller stopped answering.
    Timeout,
    Broken(io::Error),
}

impl Handshakes {
    /// Handshakes over what the store knows.
    pub fn new(store: Store, metrics: Arc<Metrics>) -> Self {
        Self {
            ready: ReadyCache::new(store.clone(), ready::BUDGET),
            store,
            metrics,
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Secures a connection; `None`: that failed, and is counted.
    pub async fn secure<I>(&self, io: I, asker: Asker) -> Option<(TlsStream<I>, Arc<Tls>)>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let secured = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.shake(io, asker)).await;
        let (label, secured) = match secured {
            Ok(Ok(secured)) => (HandshakeLabel::Done, Some(secured)),
            Ok(Err(Failure::Refused(refusal))) => (refusal.label(), None),
            Ok(Err(Failure::Broken(error))) => {
                debug!(%error, "handshake failed");
                (HandshakeLabel::Failed, None)
            }
            Ok(Err(Failure::Crowded)) => (HandshakeLabel::Crowded, None),
            Ok(Err(Failure::Timeout)) | Err(_) => (HandshakeLabel::Timeout, None),
        };
        self.metrics.handshake(label);
        secured
    }

    async fn shake<I>(&self, io: I, asker: Asker) -> Result<(TlsStream<I>, Arc<Tls>), Failure>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let name = start.client_hello().server_name().map(HostName::parse);
        let ready = match name {
            Some(Ok(host)) => self.choose(&host, asker).await,
            Some(Err(_)) | None => Err(Refusal::UnknownName),
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(refusal) => {
                start.io.write_all(&refusal.alert()).await?;
                start.io.shutdown().await?;
                return Err(Failure::Refused(refusal));
            }
        };
        let turn = tokio::time::timeout(TURN_WITHIN, self.turns.acquire()).await;
        let turn = turn.map_err(|_| Failure::Crowded)?;
        let securing = start.into_stream(ready.server.clone());
        let secured = tokio::time::timeout(ANSWER_WITHIN, securing).await;
        let stream = secured.map_err(|_| Failure::Timeout)??;
        drop(turn);
        let peer = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let tls = Tls {
            names: ready.names.clone(),
            asked: ready.asked.clone(),
            peer: peer.iter().map(|one| one.clone().into_owned()).collect(),
        };
        Ok((stream, Arc::new(tls)))
    }

    /// Finds what a host is shown.
    async fn choose(&self, host: &HostName, asker: Asker) -> Result<Arc<Ready>, Refusal> {
        let found = match self.store.get_domain(host) {
            Some(domain) => Ok(domain),
            None => self.store.fetch_domain(host, asker).await,
        };
        let domain = found.as_ref().ok();
        let Some(certificate) = self.certificate(domain.map(|it| &**it), host) else {
            return Err(match found {
                Ok(_) | Err(FetchError::Unknown) => Refusal::UnknownName,
                Err(FetchError::Unavailable | FetchError::TooManyLookups(_)) => {
                    Refusal::Unavailable
                }
            });
        };
        let open = ClientRule::default();
        let rule = domain.map_or(&open, |domain| &domain.client_rule);
        self.ready
            .get(&certificate, rule)
            .map_err(|offer| match offer {
                Offer::NoAuthority => Refusal::NoAuthority,
                Offer::Unusable(error) => {
                    debug!(%host, %error, "certificate not usable");
                    Refusal::Unavailable
                }
            })
    }

    /// The domain's own certificates go before the platform's.
    fn certificate(&self, domain: Option<&DomainView>, host: &str) -> Option<Arc<CertificateView>> {
        let own = domain.and_then(|domain| best(&domain.certificates, host));
        own.or_else(|| best(&self.store.fleet_certificates()?.certificates, host))
    }
}

fn best(slots: &[Arc<CertificateSlot>], host: &str) -> Option<Arc<CertificateView>> {
    let views: Vec<_> = slots.iter().filter_map(|slot| slot.load()).collect();
    choose(views.iter().map(|view| (view, view.names())), host).cloned()
}

impl Refusal {
    /// A fatal alert as the first and last record.
    ///
    /// Source: RFC 8446 §5.1 and §6: content type 21, legacy version 1.2, two bytes.
    fn alert(self) -> [u8; 7] {
        let description = match self {
            Refusal::UnknownName => 112,
            Refusal::Unavailable => 80,
            Refusal::NoAuthority => 49,
        };
        [21, 3, 3, 0, 2, 2, description]
    }

    fn label(self) -> HandshakeLabel {
        match self {
            Refusal::UnknownName => HandshakeLabel::UnknownName,
            Refusal::Unavailable => HandshakeLabel::Unavailable,
            Refusal::NoAuthority => HandshakeLabel::NoAuthority,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Shows one certificate, whatever the name: it was chosen by that.
struct Shown(Arc<rustls::sign::CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

#[cfg(test)]
mod tests;
