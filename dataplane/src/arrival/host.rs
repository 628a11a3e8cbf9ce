//! The host that a request is for, in the one form that domains are named by.
//!
//! An absolute-form target or `:authority` goes before the `Host` header
//! (RFC 9112 §3.2.2, RFC 9113 §8.3.1); the port and a trailing dot are cut off,
//! letters become lower case. The name in a TLS handshake is read the same way. Names of other
//! scripts are known by their A-labels (`xn--…`, RFC 5890 §2.3.2.1); a client that does not make these
//! itself is helped (UTS #46).

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use http::header::HOST;

/// Lower case, no port, no trailing dot, never a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(Arc<str>);

/// The request does not say, in a way that can be trusted, whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Neither a target with an authority nor a `Host` header.
    #[error("the request has no Host header")]
    Missing,
    /// Two `Host` headers (RFC 9112 §3.2: answer 400).
    #[error("the request has more than one Host header")]
    Several,
    /// Not the name of a host.
    #[error("the Host header is not a host name")]
    Malformed,
}

impl HostName {
    /// Finds the host of a request.
    pub fn of<B>(request: &http::Request<B>) -> Result<Self, HostError> {
        let mut headers = request.headers().get_all(HOST).iter();
        let header = headers.next();
        if headers.next().is_some() {
            return Err(HostError::Several);
        }
        match (request.uri().authority(), header) {
            (Some(authority), _) => Self::parse(authority.as_str()),
            (None, Some(value)) => {
                let text = std::str::from_utf8(value.as_bytes());
                Self::parse(text.map_err(|_| HostError::Malformed)?)
            }
            (None, None) => Err(HostError::Missing),
        }
    }

    /// Normalises `host[:port]`.
    pub fn parse(authority: &str) -> Result<Self, HostError> {
        let host = without_port(authority).ok_or(HostError::Malformed)?;
        let host = to_ascii(host).ok_or(HostError::Malformed)?;
        let host = host.strip_suffix('.').unwrap_or(&host);
        // RFC 1035 §2.3.4: at most 255 octets.
        let is_name = !host.is_empty() && host.len() <= 255 && host.bytes().all(is_host_byte);
        if !is_name {
            return Err(HostError::Malformed);
        }
        Ok(Self(
            match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
                true => host.to_ascii_lowercase().into(),
                false => host.into(),
            },
        ))
    }

    /// The name, shared.
    pub fn to_shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cuts off `:port`; `None` if what stands there is no port. IPv6 addresses keep their brackets.
fn without_port(authority: &str) -> Option<&str> {
    let name_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[name_end..].find(':') {
        None => Some(authority),
        Some(colon) => {
            let (host, port) = authority.split_at(name_end + colon);
            port[1..]
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(host)
        }
    }
}

/// The A-labels of a name; most are ASCII already.
fn to_ascii(host: &str) -> Option<Cow<'_, str>> {
    match host.is_ascii() {
        true => Some(Cow::Borrowed(host)),
        false => idna::domain_to_ascii(host).ok().map(Cow::Owned),
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(authority: &str) -> Result<String, HostError> {
        HostName::parse(authority).map(|host| host.to_string())
    }

    #[test]
    fn port_case_and_trailing_dot_do_not_matter() {
        for written in ["a.test", "A.Test:8080", "a.test.", "a.test.:443", "a.test:"] {
            assert_eq!(parsed(written), Ok("a.test".into()), "{written}");
        }
        assert_eq!(parsed("[::1]:80"), Ok("[::1]".into()));
        assert_eq!(
            parsed("XN--BCHER-KVA.Test."),
            Ok("xn--bcher-kva.test".into())
        );
    }

    #[test]
    fn other_scripts_become_their_a_labels() {
        for written in [
            "bücher.test",
            "BÜCHER.test:80",
            "bu\u{308}cher.test.",
            "bücher。test",
        ] {
            assert_eq!(
                parsed(written),
                Ok("xn--bcher-kva.test".into()),
                "{written}"
            );
        }
        let bytes = http::HeaderValue::from_bytes("例え.test".as_bytes()).unwrap();
        let request = http::Request::get("/").header(HOST, bytes).body(());
        let host = HostName::of(&request.unwrap()).unwrap();
        assert_eq!(host.as_str(), "xn--r8jz45g.test");
        let broken = http::HeaderValue::from_bytes(b"\xff.test").unwrap();
        let request = http::Request::get("/").header(HOST, broken).body(());
        assert_eq!(HostName::of(&request.unwrap()), Err(HostError::Malformed));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for written in [
            "",
            ".",
            ":80",
            "*.test",
            "*",
            "a/b",
            "a b",
            "u@a.test",
            "a:x",
            "a\u{ad}/é",
        ] {
            assert_eq!(parsed(written), Err(HostError::Malformed), "{written}");
        }
    }

    #[test]
    fn an_absolute_target_goes_before_the_header() {
        let request = http::Request::get("http://target.test/x")
            .header(HOST, "header.test")
            .body(())
            .unwrap();
        assert_eq!(HostName::of(&request).unwrap().as_str(), "target.test");
    }

    #[test]
    fn what_an_absolute_target_says_is_normalised_too() {
        let request = http::Request::get("https://A.Test:8443/x").body(());
        let host = HostName::of(&request.unwrap()).unwrap();
        assert_eq!(host.as_str(), "a.test");
        let request = http::Request::get("https://user@a.test/x").body(());
        assert_eq!(HostName::of(&request.unwrap()), Err(HostError::Malformed));
    }

    #[test]
    fn two_host_headers_are_refused_whatever_the_target() {
        for target in ["/x", "http://a.test/x"] {
            let request = http::Request::get(target)
                .header(HOST, "a.test")
                .header(HOST, "b.test")
                .body(())
                .unwrap();
            assert_eq!(HostName::of(&request), Err(HostError::Several), "{target}");
        }
    }

    #[test]
    fn no_host_at_all_is_missing() {
        let request = http::Request::get("/x").body(()).unwrap();
        assert_eq!(HostName::of(&request), Err(HostError::Missing));
    }
}
