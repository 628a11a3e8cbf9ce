//! How a caller asks for a WebSocket, and how it is told yes. No I/O.
//!
//! Over HTTP/1.1 by an upgrade (RFC 6455 §4), over HTTP/2 by an extended CONNECT (RFC 8441). No
//! extension is agreed to: what is compressed cannot be metered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use hyper::ext::Protocol;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::request::error::{RequestError, Result};

/// The one version of the protocol (RFC 6455 §4.1).
pub const VERSION: HeaderValue = HeaderValue::from_static("13");
/// The protocol that clients of Realtime offer, and the previews that they ask for so. Others, among
/// them keys and the names of accounts, go no further.
const REALTIME: &str = "realtime";
const PREVIEW: &str = "openai-beta.";
/// Source: RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request for a WebSocket, well-formed.
#[derive(Debug)]
pub struct Handshake {
    /// Over HTTP/1.1: proves that the key was read.
    accept: Option<HeaderValue>,
    /// The protocols that a provider may see, in their order.
    pub protocols: Option<HeaderValue>,
    /// The caller offers the protocol of Realtime, and browsers insist on an answer to it.
    offers_realtime: bool,
}

/// The method by which an operation is recognised: extended CONNECT stands for GET.
pub fn method(parts: &Parts) -> &Method {
    let protocol = parts.extensions.get::<Protocol>();
    match protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket")) {
        true if parts.method == Method::CONNECT => &Method::GET,
        _ => &parts.method,
    }
}

impl Handshake {
    /// Errors: 426 for a request that asks for no WebSocket, or for another version; 400 for one
    /// that is malformed.
    pub fn parse(parts: &Parts) -> Result<Self> {
        let headers = &parts.headers;
        let is_extended = parts.method == Method::CONNECT;
        if !is_extended && !asks_for_upgrade(parts) {
            return Err(upgrade_required());
        }
        if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
            return Err(other_version());
        }
        let accept = match is_extended {
            true => None,
            false => Some(accept(headers)?),
        };
        let offered = || list(headers, SEC_WEBSOCKET_PROTOCOL);
        let seen: Vec<&str> = offered()
            .filter(|name| *name == REALTIME || name.starts_with(PREVIEW))
            .collect();
        Ok(Self {
            accept,
            offers_realtime: seen.contains(&REALTIME),
            protocols: match seen.is_empty() {
                true => None,
                false => HeaderValue::try_from(seen.join(", ")).ok(),
            },
        })
    }

    /// The status and the headers that say yes, with the protocol that the provider chose.
    pub fn answer(self, chosen: Option<HeaderValue>) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        let realtime = HeaderValue::from_static(REALTIME);
        if let Some(protocol) = chosen.or(self.offers_realtime.then_some(realtime)) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let Some(accept) = self.accept else {
            return (StatusCode::OK, headers);
        };
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        (StatusCode::SWITCHING_PROTOCOLS, headers)
    }
}

/// Makes a key to ask a provider with.
pub fn new_key() -> HeaderValue {
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    HeaderValue::try_from(key).expect("base64 is ASCII")
}

/// What proves that a key was read; `None`: it is none.
pub fn accept_of(key: &HeaderValue) -> Option<HeaderValue> {
    let decoded = STANDARD.decode(key.as_bytes()).ok()?;
    (decoded.len() == 16).then_some(())?;
    let text = [key.as_bytes(), GUID].concat();
    // Its weakness is of no account here: it only shows that the other side is no cache.
    let proof = digest(&SHA1_FOR_LEGACY_USE_ONLY, &text);
    HeaderValue::try_from(STANDARD.encode(proof)).ok()
}

fn accept(headers: &HeaderMap) -> Result<HeaderValue> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let accept = match (keys.next(), keys.next()) {
        (Some(key), None) => accept_of(key),
        _ => None,
    };
    accept.ok_or_else(|| {
        RequestError::bad_request(
            "invalid_websocket_key",
            "sec-websocket-key must come once, with 16 bytes in base64",
        )
    })
}

fn asks_for_upgrade(parts: &Parts) -> bool {
    let has = |name, token: &str| {
        let mut tokens = list(&parts.headers, name);
        tokens.any(|one| one.eq_ignore_ascii_case(token))
    };
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && has(CONNECTION, "upgrade")
        && has(UPGRADE, "websocket")
}

/// Gives the members of a list, over all headers of the name.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

fn upgrade_required() -> RequestError {
    RequestError::new(
        StatusCode::UPGRADE_REQUIRED,
        "upgrade_required",
        "this path speaks WebSocket; connect with a WebSocket client to wss://HOST/v1/realtime?model=NAME",
    )
    .header(UPGRADE, HeaderValue::from_static("websocket"))
    .header(CONNECTION, HeaderValue::from_static("Upgrade"))
    .never_retry()
}

fn other_version() -> RequestError {
    RequestError::new(
        StatusCode::UPGRADE_REQUIRED,
        "unsupported_websocket_version",
        "version 13 of WebSocket is spoken here alone; send sec-websocket-version: 13",
    )
    .header(UPGRADE, HeaderValue::from_static("websocket"))
    .header(SEC_WEBSOCKET_VERSION, VERSION)
    .never_retry()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn asked(pairs: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/v1/realtime?model=m");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn good() -> Vec<(&'static str, &'static str)> {
        vec![
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-extensions", "permessage-deflate"),
        ]
    }

    fn with(pair: (&'static str, &'static str)) -> Parts {
        let mut pairs = good();
        pairs.retain(|(name, _)| *name != pair.0);
        pairs.push(pair);
        asked(&pairs)
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_it_says() {
        let (status, headers) = Handshake::parse(&asked(&good())).unwrap().answer(None);
        assert_eq!(status, 101);
        assert_eq!(
            headers["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(
            (&headers["upgrade"], headers.len()),
            (&"websocket".parse().unwrap(), 3)
        );
    }

    #[test]
    fn what_asks_for_no_websocket_is_told_what_to_do() {
        for (parts, code) in [
            (asked(&[]), "upgrade_required"),
            (with(("upgrade", "h2c")), "upgrade_required"),
            (with(("connection", "close")), "upgrade_required"),
            (
                with(("sec-websocket-version", "8")),
                "unsupported_websocket_version",
            ),
            (
                with(("sec-websocket-key", "c2hvcnQ=")),
                "invalid_websocket_key",
            ),
            (with(("sec-websocket-key", "?")), "invalid_websocket_key"),
        ] {
            assert_eq!(Handshake::parse(&parts).unwrap_err().code(), code);
        }
    }

    #[test]
    fn keys_among_the_protocols_go_no_further() {
        let offered = "realtime, openai-insecure-api-key.sk-1, openai-organization.o, openai-beta.realtime-v1, x";
        let handshake = Handshake::parse(&with(("sec-websocket-protocol", offered))).unwrap();
        let seen = handshake.protocols.clone().unwrap();
        assert_eq!(seen, "realtime, openai-beta.realtime-v1");
        // A browser that offered it fails without an answer.
        let (_, headers) = handshake.answer(None);
        assert_eq!(headers["sec-websocket-protocol"], "realtime");
    }

    #[test]
    fn an_extended_connect_needs_no_key() {
        let mut parts = asked(&[("sec-websocket-version", "13")]);
        parts.method = Method::CONNECT;
        parts.version = Version::HTTP_2;
        assert_eq!(method(&parts), Method::CONNECT);
        parts.extensions.insert(Protocol::from_static("websocket"));
        assert_eq!(method(&parts), Method::GET);
        let (status, headers) = Handshake::parse(&parts).unwrap().answer(None);
        assert_eq!((status.as_u16(), headers.len()), (200, 0));
        parts
            .extensions
            .insert(Protocol::from_static("connect-udp"));
        assert_eq!(method(&parts), Method::CONNECT);
    }
}
