//! A provider asked to open a WebSocket: always over HTTP/1.1, on a connection of its own (RFC 6455
//! §4.1). Until it has agreed, another one may be asked.

use std::sync::Arc;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use turnpike_protocol::splice::Pieces;
use turnpike_protocol::vendor::{self, Transport};
use turnpike_protocol::{Endpoint, WireProtocol};

use super::course::Course;
use super::send::{Content, Letter, send};
use super::{Candidate, note, refusal, resume};
use crate::request::error::{RequestError, Result};
use crate::request::relay::{Clocks, bad_answer};
use crate::request::settle::Account;
use crate::request::socket::handshake::{VERSION, accept_of, new_key};
use crate::request::socket::query::Query;
use crate::request::transform;
use crate::store::view::{RuleView, UpstreamView};
use crate::upstream::{AnswerBody, Pool};

/// Everything about a request for a WebSocket that an attempt needs, whoever is asked.
pub struct SocketOrder<'a> {
    pub rule: &'a RuleView,
    /// As the caller calls it.
    pub model: &'a Arc<str>,
    pub headers: &'a HeaderMap,
    pub query: &'a Query,
    /// The protocols that the caller offers and a provider may see.
    pub protocols: Option<&'a HeaderValue>,
}

/// A provider that has agreed.
pub struct Opened {
    /// Its side of the WebSocket.
    pub socket: OnUpgrade,
    /// Which of the protocols it chose.
    pub protocol: Option<HeaderValue>,
    /// They go on: the session is part of the attempt.
    pub clocks: Clocks,
    /// Keeps what the connection is counted by.
    pub body: AnswerBody,
}

/// Asks providers of the rule until one opens a WebSocket, as far as the rule goes on after a
/// failure. Errors and cancelling as those of [`super::attempt`].
pub async fn upgrade(
    pool: &Pool,
    order: &SocketOrder<'_>,
    deadline: Option<Instant>,
    account: &mut Account,
) -> Result<Opened> {
    let mut course = Course::new(order.rule, order.model);
    loop {
        let chosen = course.choose(&mut rand::rng());
        let outcome = match chosen {
            Ok(candidate) => once(pool, order, &candidate, deadline, account).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(opened) => return Ok(opened),
            Err(error) => resume(&mut course, error, deadline, true, None, account).await?,
        }
    }
}

/// Refuses a provider that has no Realtime.
pub fn refuse_mute(upstream: &UpstreamView) -> Result<()> {
    if upstream.protocol == WireProtocol::OpenAI && upstream.transport == Transport::Http {
        return Ok(());
    }
    let message = format!(
        "the provider of this model is {}, which has no Realtime; choose a model of a provider that \
         speaks OpenAI's protocol",
        upstream.vendor
    );
    Err(RequestError::bad_request("unsupported_operation", message).param("model"))
}

/// Asks one provider.
async fn once(
    pool: &Pool,
    order: &SocketOrder<'_>,
    candidate: &Candidate<'_>,
    deadline: Option<Instant>,
    account: &mut Account,
) -> Result<Opened> {
    let upstream = candidate.upstream()?;
    refuse_mute(upstream)?;
    let of_attempt = order.rule.retries.per_attempt_timeout;
    let mut clocks = Clocks::start(upstream.timeouts, candidate.blocked.clone())
        .until(deadline)
        .within_attempt((!of_attempt.is_zero()).then_some(of_attempt));
    note(account, candidate, upstream);
    let key = new_key();
    let letter = Letter {
        head: head(order, candidate, upstream, &key, account)?,
        content: Content::Streaming(Pieces::new()),
        signer: candidate.signer(upstream),
    };
    let response = send(pool, letter, upstream, &mut clocks, account).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(match response.status().is_success() {
            true => not_a_socket("answered without opening it"),
            false => refusal(response, upstream.protocol, &mut clocks, account).await,
        });
    }
    check(&response, &key, order.protocols)?;
    clocks.commit();
    clocks.rest();
    Ok(opened(response, clocks))
}

fn opened(mut response: Response<AnswerBody>, clocks: Clocks) -> Opened {
    Opened {
        socket: hyper::upgrade::on(&mut response),
        protocol: response.headers_mut().remove(SEC_WEBSOCKET_PROTOCOL),
        clocks,
        body: response.into_body(),
    }
}

fn head(
    order: &SocketOrder<'_>,
    candidate: &Candidate<'_>,
    upstream: &UpstreamView,
    key: &HeaderValue,
    account: &Account,
) -> Result<Parts> {
    let path = vendor::path(upstream.protocol, Endpoint::Realtime, "", false);
    let target = order.query.target(&path, &candidate.upstream_model);
    let url = upstream.base_url.as_ref();
    let uri = url.and_then(|base| base.join(&target).ok());
    let uri = uri.ok_or_else(|| RequestError::provider_unavailable("it has no usable URL"))?;
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    *request.method_mut() = Method::GET;
    let mut headers = transform::socket_headers(order.headers, account.id().header());
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    if let Some(protocols) = order.protocols {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocols.clone());
    }
    if let Some((name, value)) = candidate.key(upstream).and_then(|key| key.header.as_ref()) {
        headers.insert(name, value.clone());
    }
    *request.headers_mut() = headers;
    Ok(request.into_parts().0)
}

/// Checks that the provider has agreed to what it was asked for, and to no more (RFC 6455 §4.1).
fn check(
    response: &Response<AnswerBody>,
    key: &HeaderValue,
    offered: Option<&HeaderValue>,
) -> Result<()> {
    let headers = response.headers();
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if !headers.get(UPGRADE).is_some_and(is_websocket) {
        return Err(not_a_socket("switched to another protocol"));
    }
    if headers.get(SEC_WEBSOCKET_ACCEPT) != accept_of(key).as_ref() {
        return Err(not_a_socket("has not understood the request for it"));
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err(not_a_socket("uses an extension that nobody offered"));
    }
    let chosen = headers
        .get(SEC_WEBSOCKET_PROTOCOL)
        .map(HeaderValue::as_bytes);
    let offered = offered.map_or(&b""[..], HeaderValue::as_bytes);
    let mut offered = offered.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    match chosen {
        Some(chosen) if !offered.any(|one| one == chosen) => {
            Err(not_a_socket("speaks a subprotocol that nobody offered"))
        }
        _ => Ok(()),
    }
}

fn not_a_socket(what: &str) -> RequestError {
    bad_answer(format!("the provider was asked for a WebSocket and {what}"))
}
