//! A request sent, to a provider's address or to one of the endpoints of its Service, up to the
//! head of the answer.
//!
//! What no server can have read goes to another endpoint: a connection that was not made, and a
//! kept one that was closed while it idled. Everything within the one timeout to connect.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::metrics::UpstreamFault;
use crate::request::error::{RequestError, Result};
use crate::request::relay::Clocks;
use crate::request::settle::{Account, Spent};
use crate::store::view::{ServiceView, UpstreamView};
use crate::upstream::endpoint::{Endpoint, Load, pick};
use crate::upstream::pool::Sending;
use crate::upstream::{AnswerBody, Arrived, PiecesBody, Pool, SendError};

/// Endpoints that one request asks at most.
const TRIES: usize = 3;

/// What is sent, to whomever.
pub(super) struct Letter {
    pub(super) head: Parts,
    pub(super) body: SmallVec<[Bytes; 8]>,
    /// Of a stream the head is part of the first token's time; of a whole answer it may come only
    /// once everything is generated, so there the total timeout alone rules.
    pub(super) is_streaming: bool,
}

/// Sends the request and waits for the head of the answer.
pub(super) async fn send(
    pool: &Pool,
    letter: Letter,
    upstream: &UpstreamView,
    clocks: &mut Clocks,
    account: &mut Account,
) -> Result<Response<AnswerBody>> {
    let bound = upstream.timeouts.connect;
    if let Some(service) = &upstream.service {
        // Boxed: most requests have no need of its room.
        let sending = send_to_service(pool, &letter, service, bound, clocks, account);
        return Box::pin(sending).await;
    }
    let is_streaming = letter.is_streaming;
    let request = Request::from_parts(letter.head, PiecesBody::new(letter.body));
    let sending = pool.start(upstream.way.as_deref(), request);
    let answer = exchange(sending, bound, is_streaming, clocks, account).await?;
    let response = answer.map_err(|fault| unreachable(&fault))?;
    Ok(response.map(AnswerBody::Http))
}

async fn send_to_service(
    pool: &Pool,
    letter: &Letter,
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
            Ok(sending) => exchange(sending, share, letter.is_streaming, clocks, account).await?,
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(response) => {
                load.endpoint().recover();
                return Ok(response.map(|body| AnswerBody::Endpoint(body, load)));
            }
            Err(SendError::Broken) => return Err(unreachable(&SendError::Broken)),
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

impl Letter {
    /// Addresses it to an endpoint; `host` stays the Service's.
    fn to(&self, endpoint: &Endpoint, service: &ServiceView) -> Result<Request<PiecesBody>> {
        let unusable = || RequestError::provider_unavailable("an endpoint has no usable address");
        let authority = Authority::try_from(endpoint.address().to_string());
        let mut uri = self.head.uri.clone().into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(authority.map_err(|_| unusable())?);
        let mut head = self.head.clone();
        head.uri = Uri::from_parts(uri).map_err(|_| unusable())?;
        head.headers.insert(HOST, service.host.clone());
        Ok(Request::from_parts(
            head,
            PiecesBody::new(self.body.clone()),
        ))
    }
}

async fn exchange(
    mut sending: Sending,
    bound: Option<Duration>,
    is_streaming: bool,
    clocks: &mut Clocks,
    account: &mut Account,
) -> Result<std::result::Result<Response<Arrived>, SendError>> {
    if let Err(fault) = clocks.within(sending.connected(bound)).await? {
        return Ok(Err(fault));
    }
    account.spent(Spent::Taken);
    if is_streaming {
        clocks.await_first_token();
    }
    let answer = clocks.within(sending.answer()).await?;
    if answer.as_ref().is_err_and(SendError::is_unsent) {
        account.spent(Spent::Unsent);
    }
    Ok(answer)
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
