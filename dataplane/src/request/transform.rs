//! Step 6: what of a request's head a provider gets to see. Pure.
//!
//! A list of what passes, not of what does not: a caller's keys, cookies,
//! identity and whatever a header may mean to a server further on stay here,
//! however they are spelled. Bodies are `attempt`'s, since they depend on who
//! is asked.

use http::HeaderValue;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, USER_AGENT};
use turnpike_protocol::Endpoint;
use turnpike_protocol::vendor::WireProtocol;

use super::error::REQUEST_ID;

/// Passes to every provider: who made the call, and the trace it belongs to.
const PASSED: [HeaderName; 3] = [
    USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
/// Previews that a caller opts in to, understood by providers of the one protocol.
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
/// The same of the other.
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Makes the head for a provider, all but its credentials and `host`.
pub fn upstream_headers(
    caller: &HeaderMap,
    protocol: WireProtocol,
    endpoint: Endpoint,
    request_id: &HeaderValue,
    is_streaming: Option<bool>,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    for name in &PASSED {
        pass(caller, name, &mut headers);
    }
    match protocol {
        WireProtocol::OpenAI => pass(caller, &OPENAI_BETA, &mut headers),
        WireProtocol::Anthropic => pass(caller, &ANTHROPIC_BETA, &mut headers),
        _ => {}
    }
    let accept = match is_streaming {
        _ if matches!(
            endpoint,
            Endpoint::Speech | Endpoint::Transcriptions | Endpoint::Translations
        ) =>
        {
            "*/*"
        }
        Some(true) => "text/event-stream",
        Some(false) => "application/json",
        // It stands in what is still to come of the body.
        None => "application/json, text/event-stream",
    };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    match endpoint.is_form() {
        // Its boundary is in there.
        true => pass(caller, &CONTENT_TYPE, &mut headers),
        false => {
            let json = HeaderValue::from_static("application/json");
            headers.insert(CONTENT_TYPE, json);
        }
    }
    headers.insert(REQUEST_ID, request_id.clone());
    headers
}

/// Makes the same for a WebSocket, all but what opens it.
pub fn socket_headers(caller: &HeaderMap, request_id: &HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    for name in PASSED.iter().chain([&OPENAI_BETA]) {
        pass(caller, name, &mut headers);
    }
    headers.insert(REQUEST_ID, request_id.clone());
    headers
}

/// The type of an answer that passes unread. What a browser would run is none: it is the tenant's host
/// that it would run for.
pub fn passed_type(said: Option<&HeaderValue>) -> HeaderValue {
    const SAFE: [&str; 7] = [
        "audio/",
        "application/json",
        "application/octet-stream",
        "application/x-subrip",
        "text/plain",
        "text/vtt",
        "text/event-stream",
    ];
    let is_safe = |value: &&HeaderValue| {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        SAFE.iter().any(|safe| text.starts_with(safe))
    };
    let unknown = || HeaderValue::from_static("application/octet-stream");
    said.filter(is_safe).cloned().unwrap_or_else(unknown)
}

fn pass(caller: &HeaderMap, name: &HeaderName, headers: &mut HeaderMap) {
    for value in caller.get_all(name) {
        headers.append(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Endpoint = Endpoint::ChatCompletions;
    const ID: HeaderValue = HeaderValue::from_static("r-1");

    #[test]
    fn only_what_is_listed_passes() {
        let mut caller = HeaderMap::new();
        let plain = upstream_headers(&caller, WireProtocol::OpenAI, CHAT, &ID, Some(false));
        for name in [
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "cookie",
            "connection",
            "te",
            "transfer-encoding",
            "upgrade",
            "host",
            "content-length",
            "x-turnpike-consumer",
            "x_turnpike_consumer",
            "x-mse-consumer",
            "x-consumer-groups",
            "x-forwarded-for",
            "forwarded",
            "idempotency-key",
            "openai-organization",
            "x-request-id",
            "accept",
            "accept-encoding",
            "content-type",
            "origin",
            "sec-websocket-key",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
        ] {
            caller.append(
                HeaderName::from_static(name),
                HeaderValue::from_static("spoofed"),
            );
            caller.append(
                HeaderName::from_static(name),
                HeaderValue::from_static("twice"),
            );
        }
        assert_eq!(
            upstream_headers(&caller, WireProtocol::OpenAI, CHAT, &ID, Some(false)),
            plain
        );
        assert_eq!(socket_headers(&caller, &ID).len(), 1);
    }

    #[test]
    fn what_a_browser_would_run_is_no_type_of_an_answer() {
        let told = |said: &'static str| passed_type(Some(&HeaderValue::from_static(said)));
        assert_eq!(told("audio/mpeg"), "audio/mpeg");
        assert_eq!(
            told("text/plain; charset=utf-8"),
            "text/plain; charset=utf-8"
        );
        for said in ["text/html", "image/svg+xml", "application/javascript"] {
            assert_eq!(told(said), "application/octet-stream");
        }
        assert_eq!(passed_type(None), "application/octet-stream");
    }

    #[test]
    fn previews_pass_to_their_own_protocol() {
        let caller = HeaderMap::from_iter([(OPENAI_BETA, HeaderValue::from_static("x=1"))]);
        let to = |protocol| {
            upstream_headers(&caller, protocol, CHAT, &ID, Some(true)).contains_key(OPENAI_BETA)
        };
        assert!(to(WireProtocol::OpenAI));
        assert!(!to(WireProtocol::Anthropic));
    }
}
