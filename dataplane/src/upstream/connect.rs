//! A connection to a provider, step by step: TCP, through a proxy or not, then TLS if the URL says
//! so.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::dial::{self, DialError, Dialer};
use super::kept::Stream;
use super::peer::Spoken;
use super::proxy::{Proxy, ProxyError};

/// Which versions of HTTP a connection may speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Any,
    /// HTTP/1.1, which alone has upgrades.
    Http1,
}

/// How to connect.
pub(super) enum Connect {
    /// To providers, by whatever way they want.
    Provider {
        dialer: Dialer,
        proxy: Option<Proxy>,
        tls: TlsConnector,
        tls_http1: TlsConnector,
        /// `None`: the host's.
        server_name: Option<ServerName<'static>>,
    },
    /// To addresses that were looked at before, in the clear.
    Endpoint,
    /// To this one, where HTTP/2 is spoken in the clear.
    Http2Endpoint(SocketAddr),
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no host and port to connect to")]
    NoHost,
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the egress proxy cannot be reached: {0}")]
    DialProxy(DialError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("TLS: {0}")]
    Tls(io::Error),
}

impl Connect {
    pub(super) fn to_providers(
        dialer: Dialer,
        tls: ClientConfig,
        server_name: Option<ServerName<'static>>,
        proxy: Option<Proxy>,
    ) -> Self {
        let mut http1 = tls.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Connect::Provider {
            dialer,
            proxy,
            tls: Arc::new(tls).into(),
            tls_http1: Arc::new(http1).into(),
            server_name,
        }
    }

    /// What is spoken wherever this leads; `None`: each connection says it.
    pub(super) fn spoken(&self) -> Option<Spoken> {
        match self {
            Connect::Provider { .. } | Connect::Http2Endpoint(_) => None,
            Connect::Endpoint => Some(Spoken::Http1),
        }
    }

    /// Connects to the host of a URI.
    pub(super) async fn connect(
        &self,
        uri: &Uri,
        versions: Versions,
    ) -> Result<Stream, ConnectError> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().ok_or(ConnectError::NoHost)?;
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let (dialer, proxy, tls, server_name) = match self {
            Connect::Provider {
                dialer,
                proxy,
                tls,
                tls_http1,
                server_name,
            } => match versions {
                Versions::Any => (dialer, proxy, tls, server_name),
                Versions::Http1 => (dialer, proxy, tls_http1, server_name),
            },
            Connect::Endpoint => return to_endpoint(host, port).await.map(Stream::Plain),
            Connect::Http2Endpoint(address) => {
                let connected = dial::connect(*address).await;
                return Ok(Stream::PlainHttp2(connected.map_err(DialError::from)?));
            }
        };
        let stream = match proxy {
            Some(proxy) => through(dialer, proxy, host, port).await?,
            None => dialer.dial(host, port).await?,
        };
        if !is_https {
            return Ok(Stream::Plain(stream));
        }
        let name = match server_name {
            Some(name) => name.clone(),
            None => own_name(host)?,
        };
        let stream = tls.connect(name, stream).await;
        Ok(Stream::Tls(Box::new(stream.map_err(ConnectError::Tls)?)))
    }
}

/// Connects through a proxy, which finds the address of the host. One that is an address itself is
/// looked at all the same.
async fn through(
    dialer: &Dialer,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<TcpStream, ConnectError> {
    dialer.check_literal(host)?;
    let dialed = dialer.dial(&proxy.host, proxy.port).await;
    let mut stream = dialed.map_err(ConnectError::DialProxy)?;
    let target = format!("{host}:{port}");
    proxy.connect(&mut stream, &target).await?;
    Ok(stream)
}

async fn to_endpoint(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let address = dial::literal(host).ok_or(ConnectError::NoHost)?;
    let connected = dial::connect((address, port).into()).await;
    connected.map_err(|fault| DialError::from(fault).into())
}

fn own_name(host: &str) -> Result<ServerName<'static>, ConnectError> {
    let name = match dial::literal(host) {
        Some(address) => Ok(ServerName::from(address)),
        None => ServerName::try_from(host.to_owned()),
    };
    name.map_err(|_| ConnectError::NoHost)
}

pub(super) const NO_HOST: &str = "its URL names no host that can be connected to";
pub(super) const NO_HTTP: &str = "what answers at its address speaks no HTTP";
pub(super) const FORBIDDEN: &str =
    "its address is private or reserved; who runs the gateway may open it by --allow-provider-cidr";
const PROXY_FORBIDDEN: &str = "the egress proxy's address is private or reserved; who runs the gateway may open it by \
                               --allow-provider-cidr";

/// What a caller is told; never an address.
pub(super) fn words(fault: &ConnectError, has_roots: bool) -> Cow<'static, str> {
    match fault {
        ConnectError::NoHost => NO_HOST.into(),
        ConnectError::Dial(fault) => dial_words(fault).into(),
        ConnectError::DialProxy(DialError::Forbidden) => PROXY_FORBIDDEN.into(),
        ConnectError::DialProxy(DialError::Name(_)) => {
            "the egress proxy's host name does not resolve".into()
        }
        ConnectError::DialProxy(DialError::Network(fault)) => format!(
            "the egress proxy cannot be reached: {}",
            network_words(fault)
        )
        .into(),
        ConnectError::Proxy(fault) => fault.to_string().into(),
        ConnectError::Tls(fault) if !is_tls(fault) => network_words(fault).into(),
        ConnectError::Tls(_) if !has_roots => {
            "this machine has no root certificates; install ca-certificates".into()
        }
        ConnectError::Tls(_) => "its TLS certificate or handshake was not accepted".into(),
    }
}

fn dial_words(fault: &DialError) -> &'static str {
    match fault {
        DialError::Forbidden => FORBIDDEN,
        DialError::Name(fault) => fault.words(),
        DialError::Network(fault) => network_words(fault),
    }
}

fn network_words(fault: &io::Error) -> &'static str {
    match fault.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::TimedOut => "the network timed out",
        _ => "its address cannot be reached",
    }
}

fn is_tls(fault: &io::Error) -> bool {
    let inner = fault.get_ref();
    inner.is_some_and(|inner| inner.is::<rustls::Error>())
}
