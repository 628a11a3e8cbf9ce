//! A forward proxy that is asked to connect us to a provider.
//!
//! The proxy finds the provider's address, so that its own rules say what may be reached; ours say
//! whether it may be reached itself.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use turnpike_snapshot::provider::{EgressProxy, ProxyUser};

use super::way::WayError;

/// The longest answer that is read; what proxies say fits many times.
const MAX_ANSWER: usize = 16 << 10;
const END: &[u8] = b"\r\n\r\n";

/// A proxy, and who we are to it.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// A line of the request's head, or nothing.
    authorization: String,
}

/// The proxy has not connected us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the egress proxy refused: {}", .0.as_u16())]
    Refused(StatusCode),
    #[error("the egress proxy closed the connection")]
    Closed,
    #[error("the egress proxy's answer is no HTTP, or too long")]
    Unreadable,
}

impl Proxy {
    pub(super) fn new(proxy: &EgressProxy) -> Result<Self, WayError> {
        let authority: Authority = proxy.address.parse().map_err(|_| WayError::Proxy)?;
        Ok(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().ok_or(WayError::Proxy)?,
            authorization: proxy.user.as_ref().map_or_else(String::new, authorization),
        })
    }

    /// Asks for a connection to a host and port; all that comes after its answer is the provider's.
    pub(super) async fn connect<S>(&self, stream: &mut S, target: &str) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request = format!(
            "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{}\r\n",
            self.authorization
        );
        let sent = stream.write_all(request.as_bytes()).await;
        sent.map_err(|_| ProxyError::Closed)?;
        match status(&read_head(stream).await?) {
            Some(status) if status.is_success() => Ok(()),
            Some(status) => Err(ProxyError::Refused(status)),
            None => Err(ProxyError::Unreadable),
        }
    }
}

/// Source: RFC 7617, "The 'Basic' HTTP Authentication Scheme".
fn authorization(user: &ProxyUser) -> String {
    let pair = STANDARD.encode(format!("{}:{}", user.name, user.password));
    format!("proxy-authorization: Basic {pair}\r\n")
}

/// Reads up to the empty line. What follows it at once is nobody's: whoever speaks TLS or HTTP waits
/// for us, and the content of a refusal is not looked at.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::with_capacity(512);
    loop {
        let read = stream.read_buf(&mut head).await;
        match read.map_err(|_| ProxyError::Closed)? {
            0 => return Err(ProxyError::Closed),
            _ if head.windows(END.len()).any(|it| it == END) => return Ok(head),
            _ if head.len() >= MAX_ANSWER => return Err(ProxyError::Unreadable),
            _ => {}
        }
    }
}

/// Source: RFC 9112, section 4, "Status Line".
fn status(head: &[u8]) -> Option<StatusCode> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let code = rest.strip_prefix(b"0 ").or(rest.strip_prefix(b"1 "))?;
    StatusCode::from_bytes(code.get(..3)?).ok()
}

/// The line that is left out is a secret.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn proxy(user: Option<ProxyUser>) -> Proxy {
        let address = "proxy.test:3128".into();
        Proxy::new(&EgressProxy { address, user }).unwrap()
    }

    /// What is made of an answer, and what was asked.
    async fn asked(proxy: &Proxy, answer: &[u8]) -> (Result<(), ProxyError>, String) {
        let (mut ours, mut theirs) = duplex(64 << 10);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        let connected = proxy.connect(&mut ours, "a.test:443").await;
        drop(ours);
        let mut request = String::new();
        theirs.read_to_string(&mut request).await.unwrap();
        (connected, request)
    }

    #[tokio::test]
    async fn it_is_asked_for_the_provider_and_told_who_asks() {
        let user = ProxyUser {
            name: "Aladdin".into(),
            password: "open sesame".into(),
        };
        let (connected, request) =
            asked(&proxy(Some(user)), b"HTTP/1.1 200 OK\r\nvia: x\r\n\r\n").await;
        assert_eq!(connected, Ok(()));
        assert_eq!(
            request,
            "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\
             proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        let (_, request) = asked(&proxy(None), b"HTTP/1.0 200 OK\r\n\r\n").await;
        assert!(!request.contains("authorization"), "{request}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_its_status_and_an_answer_is_bounded() {
        let refused = |code| ProxyError::Refused(StatusCode::from_u16(code).unwrap());
        let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'x'; 2 * MAX_ANSWER]].concat();
        let cases: [(&[u8], ProxyError); 6] = [
            (
                b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                refused(407),
            ),
            (
                b"HTTP/1.1 403 No\r\ncontent-length: 1\r\n\r\nx",
                refused(403),
            ),
            (b"SSH-2.0-x\r\n\r\n", ProxyError::Unreadable),
            (b"HTTP/2 200 OK\r\n\r\n", ProxyError::Unreadable),
            (b"HTTP/1.1 200 OK\r\n", ProxyError::Closed),
            (&endless, ProxyError::Unreadable),
        ];
        for (answer, fault) in cases {
            assert_eq!(asked(&proxy(None), answer).await.0, Err(fault), "{fault}");
        }
        assert_eq!(refused(407).to_string(), "the egress proxy refused: 407");
    }
}
