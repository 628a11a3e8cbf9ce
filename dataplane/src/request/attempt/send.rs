//! A request sent, to a provider's address or to one of the endpoints of its Service, up to the
//! head of the answer.
//!
//! What no server can have read goes to another endpoint: a connection that was not made, and a
//! kept one that was closed while it idled. Everything within the one timeout to connect.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use smallvec::SmallVec;
use tokio::time::Instant;
use turnpike_protocol::Operation;
use turnpike_protocol::splice::Pieces;

use super::sign::sign;
use crate::metrics::UpstreamFault;
use crate::request::error::{RequestError, Result};
use crate::request::relay::Clocks;
use crate::request::settle::{Account, Spent};
use crate::request::upload::Upload;
use crate::store::view::{ServiceView, UpstreamView};
use crate::upstream::credentials::Signer;
use crate::upstream::endpoint::{Endpoint, Load, pick};
use crate::upstream::{AnswerBody, Arrived, PiecesBody, Plain, Pool, SendError, Sending};

/// Endpoints that one request asks at most.
const TRIES: usize = 3;

/// What is sent, to whomever.
pub(super) struct Letter<'a> {
    pub(super) head: Parts,
    pub(super) content: Content<'a>,
    /// Makes what is still missing of the head, once all else is final; `None`: nothing is.
    pub(super) signer: Option<&'a Signer>,
}

/// The body that is sent.
pub(super) enum Content<'a> {
    /// Of a request for a whole answer.
    Pieces(Pieces),
    /// Of a request for a stream.
    Streaming(Pieces),
    /// As it comes from the caller.
    Passing {
        upload: &'a Upload,
        operation: &'a Operation,
        /// What the provider calls it, where that may differ.
        model: Option<Box<str>>,
        /// Whether the provider can be asked for the usage of a stream.
        asks_for_usage: bool,
    },
}

impl Content<'_> {
    /// Whether a stream is asked for; `None`: that is still to come.
    ///
    /// Of a stream the head is part of the first token's time; of a whole answer it may come only
    /// once everything is generated, so there the total timeout alone rules.
    pub(super) fn is_streaming(&self) -> Option<bool> {
        match self {
            Content::Pieces(_) => Some(false),
            Content::Streaming(_) => Some(true),
            Content::Passing { upload, .. } => upload.with_head(|head| {
                let is_known = head.stream.is_some() || head.is_whole();
                is_known.then(|| head.is_streaming())
            }),
        }
    }

    /// Gives the body for a connection.
    fn body(&self) -> PiecesBody {
        match self {
            Content::Pieces(pieces) | Content::Streaming(pieces) => PiecesBody::new(pieces.clone()),
            Content::Passing {
                upload,
                operation,
                model,
                asks_for_usage,
            } => upload.flow(operation, model.as_deref(), *asks_for_usage),
        }
    }

    /// The same, for the only connection.
    fn take_body(&mut self) -> PiecesBody {
        match self {
            Content::Pieces(pieces) | Content::Streaming(pieces) => {
                PiecesBody::new(std::mem::take(pieces))
            }
            Content::Passing { .. } => self.body(),
        }
    }

    /// The pieces, where all of them are at hand.
    pub(super) fn pieces(&self) -> Option<&Pieces> {
        match self {
            Content::Pieces(pieces) | Content::Streaming(pieces) => Some(pieces),
            Content::Passing { .. } => None,
        }
    }

    fn upload(&self) -> Option<&Upload> {
        match self {
            Content::Passing { upload, .. } => Some(upload),
            Content::Pieces(_) | Content::Streaming(_) => None,
        }
    }
}

/// Sends the request and waits for the head of the answer.
pub(super) async fn send(
    pool: &Pool,
    mut letter: Letter<'_>,
    upstream: &UpstreamView,
    clocks: &mut Clocks,
    account: &mut Account,
) -> Result<Response<AnswerBody>> {
    let bound = upstream.timeouts.connect;
    if letter.signer.is_some() {
        // Boxed: most requests have no need of its room.
        Box::pin(sign(pool, &mut letter, upstream, clocks)).await?;
    }
    if let Some(service) = &upstream.service {
        // Boxed: most requests have no need of its room.
        let sending = send_to_service(pool, &letter, service, bound, clocks, account);
        return Box::pin(sending).await;
    }
    let body = letter.content.take_body();
    let request = Request::from_parts(letter.head, body);
    let mut sending = pool.start(upstream.way.as_deref(), request);
    let answer = exchange(&mut sending, bound, &letter.content, clocks, account).await?;
    let response = answer.map_err(|fault| unreachable(&fault))?;
    Ok(response.map(AnswerBody::Http))
}

async fn send_to_service(
    pool: &Pool,
    letter: &Letter<'_>,
    service: &ServiceView,
    bound: Option<Duration>,
    clocks: &mut Clocks,
    account: &mut Account,
) -> Result<Response<AnswerBody>> {
    let end = bound.map(|bound| Instant::now() + bound);
    let mut tried = Tried::default();
    while let Some((endpoint, others)) = tried.next(service) {
        let load = Load::new(endpoint);
        let request = letter.to(load.endpoint(), service)?;
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        // Who does not answer leaves the others their share of the time.
        let share = left.map(|left| left / u32::try_from(others + 1).unwrap_or(1));
        let answer = match pool.start_at(load.endpoint(), request) {
            Ok(mut sending) => {
                exchange(&mut sending, share, &letter.content, clocks, account).await?
            }
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(response) => {
                load.endpoint().recover();
                return Ok(response.map(|body| AnswerBody::Endpoint(body, load)));
            }
            Err(SendError::Broken) => return Err(unreachable(&SendError::Broken)),
            Err(fault) if !letter.is_replayable() => return Err(unreachable(&fault)),
            Err(fault) => tried.note(load.endpoint(), fault),
        }
    }
    Err(match (tried.last, bound) {
        (None, _) => RequestError::no_ready_endpoint(&service.name),
        (Some(SendError::ConnectTimeout(_)), Some(bound)) => {
            unreachable(&SendError::ConnectTimeout(bound))
        }
        (Some(fault), _) => unreachable(&fault),
    })
}

/// Who was asked in vain.
#[derive(Default)]
struct Tried {
    unreachable: SmallVec<[Arc<Endpoint>; TRIES]>,
    stale: SmallVec<[Arc<Endpoint>; TRIES]>,
    last: Option<SendError>,
}

impl Tried {
    fn note(&mut self, endpoint: &Arc<Endpoint>, fault: SendError) {
        match fault {
            SendError::Stale => self.stale.push(endpoint.clone()),
            _ => {
                endpoint.rest(Instant::now());
                self.unreachable.push(endpoint.clone());
            }
        }
        self.last = Some(fault);
    }

    /// The next to ask, of those that are in the Service now, and how many others could be asked
    /// after it; `None`: that is all.
    fn next(&self, service: &ServiceView) -> Option<(Arc<Endpoint>, usize)> {
        let tries_left = TRIES.checked_sub(self.unreachable.len() + self.stale.len())?;
        let others = tries_left.checked_sub(1)?;
        let view = service.endpoints.load()?;
        let now = Instant::now();
        let mut rng = rand::rng();
        let is_of = |list: &[Arc<Endpoint>], it: &Endpoint| {
            list.iter().any(|held| held.address() == it.address())
        };
        let is_reachable = |it: &Endpoint| !is_of(&self.unreachable, it);
        let is_fresh = |it: &Endpoint| is_reachable(it) && !is_of(&self.stale, it);
        let endpoint = pick(&view.0, |it| is_fresh(it) && !it.is_resting(now), &mut rng)
            .or_else(|| pick(&view.0, is_fresh, &mut rng))
            .or_else(|| pick(&view.0, is_reachable, &mut rng))?;
        let fresh = view.0.iter().filter(|it| is_fresh(it)).count();
        Some((endpoint, others.min(fresh.saturating_sub(1))))
    }
}

impl Letter<'_> {
    fn is_replayable(&self) -> bool {
        self.content.upload().is_none_or(Upload::is_replayable)
    }

    /// Addresses it to an endpoint; `host` stays the Service's. In HTTP/2 it is the authority.
    fn to(&self, endpoint: &Endpoint, service: &ServiceView) -> Result<Request<PiecesBody>> {
        let unusable = || RequestError::provider_unavailable("an endpoint has no usable address");
        let is_http2 = endpoint.plain() == Plain::Http2 && !self.head.headers.contains_key(UPGRADE);
        let authority = match is_http2 {
            true => Authority::try_from(service.host.as_bytes()),
            false => Authority::try_from(endpoint.address().to_string()),
        };
        let mut uri = self.head.uri.clone().into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(authority.map_err(|_| unusable())?);
        let mut head = self.head.clone();
        head.uri = Uri::from_parts(uri).map_err(|_| unusable())?;
        if !is_http2 {
            head.headers.insert(HOST, service.host.clone());
        }
        Ok(Request::from_parts(head, self.content.body()))
    }
}

async fn exchange(
    sending: &mut Sending,
    bound: Option<Duration>,
    content: &Content<'_>,
    clocks: &mut Clocks,
    account: &mut Account,
) -> Result<std::result::Result<Response<Arrived>, SendError>> {
    if let Err(fault) = clocks.within(sending.connected(bound)).await? {
        return Ok(Err(fault));
    }
    account.spent(Spent::Taken);
    let early = match content.upload() {
        // The first token's time begins once the request is sent.
        Some(upload) => clocks.within(before_sent(sending, upload)).await?,
        None => None,
    };
    if content.is_streaming() == Some(true) {
        clocks.await_first_token();
    }
    let answer = match early {
        Some(answer) => answer,
        None => clocks.within(sending.answer()).await?,
    };
    if answer.is_err()
        && let Some(fault) = content.upload().and_then(Upload::take_fault)
    {
        account.spent(Spent::Refused);
        return Err(fault);
    }
    if answer.as_ref().is_err_and(SendError::is_unsent) {
        account.spent(Spent::Unsent);
    }
    Ok(answer)
}

/// Waits until the request is sent; an answer may come before that.
async fn before_sent(
    sending: &mut Sending,
    upload: &Upload,
) -> Option<std::result::Result<Response<Arrived>, SendError>> {
    tokio::select! {
        biased;
        answer = sending.answer() => Some(answer),
        () = upload.sent() => None,
    }
}

fn unreachable(error: &SendError) -> RequestError {
    let status = StatusCode::BAD_GATEWAY;
    match error {
        SendError::ConnectTimeout(after) => RequestError::timeout("connect", *after),
        SendError::Connect(_) => {
            let message = error.to_string();
            let fault = UpstreamFault::Unreachable;
            RequestError::upstream(fault, status, "provider_unreachable", message)
        }
        SendError::Broken | SendError::Stale | SendError::Refused => {
            let message = error.to_string();
            let fault = UpstreamFault::Cut;
            RequestError::upstream(fault, status, "provider_connection_lost", message)
        }
    }
}
