//! Step 7: providers asked, one after the other: chosen, encoded for, sent to, the answer classified.
//!
//! An attempt ends at the first content of the answer, so that another one can follow any error of
//! it without the client noticing. Each begins with the request as it came. What no server has read
//! may go to several endpoints of one provider within an attempt.

mod choose;
mod course;
mod retry_after;
mod send;
mod sign;
mod upgrade;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::time::Instant;
use turnpike_protocol::vendor::{ANTHROPIC_VERSION, Transport, WireProtocol};
use turnpike_protocol::{
    Endpoint, FaultClass, Head, Operation, Outgoing, ReplyPlan, Target, vendor,
};

use course::{Course, Turn};
use send::{Content, Letter, send};

pub use choose::{Candidate, Offer, candidate, chances, is_offered, longest_total, nobody, offer};
pub use upgrade::{Opened, SocketOrder, refuse_mute, upgrade};

use super::error::{RETRY, RequestError, Result};
use super::peek::Received;
use super::relay::{self, Answer, Clocks, Heartbeat, HeldStream};
use super::settle::{Account, Spent};
use super::transform;
use super::upload::Upload;
use super::wait;
use crate::budget::Charge;
use crate::store::view::{RuleView, UpstreamView};
use crate::upstream::{AnswerBody, Pool, echo};

/// Where AWS says what kind of error it is.
const AWS_ERROR: &str = "x-amzn-errortype";
/// Why no other attempt followed one that failed: what was sent of the body is not kept.
const NOT_REPLAYABLE: &str = "body_too_large";

/// Everything about a request that an attempt needs, whoever is asked.
pub struct Order<'a> {
    pub operation: &'a Operation,
    pub rule: &'a RuleView,
    /// As the caller calls it; empty: it is seen as the body passes, and nothing depends on it.
    pub model: &'a Arc<str>,
    pub headers: &'a HeaderMap,
    pub body: OrderBody,
    /// How the caller of a stream hears of it while nothing comes; `None`: not at all.
    pub heartbeat: Option<Heartbeat>,
}

impl Order<'_> {
    /// Whether all of it has come and a stream is the answer.
    pub fn awaits_stream(&self) -> bool {
        match &self.body {
            OrderBody::Whole { head, .. } => self.streams(head),
            OrderBody::Passing(upload) => {
                upload.is_read() && upload.with_head(|head| self.streams(head))
            }
        }
    }
}

impl Order<'_> {
    fn streams(&self, head: &Head) -> bool {
        turnpike_protocol::exchange::is_streaming(self.operation, head)
    }
}

/// What is to be sent.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is of almost every request, which shall not allocate for it"
)]
pub enum OrderBody {
    Whole {
        bytes: Bytes,
        head: Head,
        /// For as long as it is held.
        charge: Charge,
    },
    Passing(Upload),
}

impl OrderBody {
    /// Whether it can be sent again.
    fn is_replayable(&self) -> bool {
        match self {
            Self::Whole { .. } => true,
            Self::Passing(upload) => upload.is_replayable(),
        }
    }
}

impl From<Received> for OrderBody {
    fn from(received: Received) -> Self {
        match received {
            Received::Whole {
                bytes,
                head,
                charge,
            } => Self::Whole {
                bytes,
                head,
                charge,
            },
            Received::Begun(source) => Self::Passing(Upload::new(*source)),
        }
    }
}

/// An answer, and hints of the request that its provider has no word for.
pub struct Attempted {
    pub answer: Answer,
    /// Of an answer that passes unread.
    pub content_type: Option<HeaderValue>,
    pub dropped: Vec<String>,
}

/// Asks providers of the rule until one answers, as far as the rule goes on after a failure.
///
/// No attempt goes on after `deadline`. Errors: of the last attempt.
/// Cancel-safe: dropped, the provider is cancelled; the account knows how far it got.
pub async fn attempt(
    pool: &Pool,
    order: &Order<'_>,
    deadline: Option<Instant>,
    account: &mut Account,
) -> Result<Attempted> {
    let mut course = Course::new(order.rule, order.model);
    loop {
        let chosen = course.choose(&mut rand::rng());
        let outcome = match chosen {
            Ok(candidate) => once(pool, order, &candidate, deadline, account).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(attempted) => return Ok(attempted),
            Err(error) => {
                let replay = order.body.is_replayable();
                let heart = order.heartbeat;
                resume(&mut course, error, deadline, replay, heart, account).await?;
            }
        }
    }
}

/// Waits until another attempt may follow one that failed. Errors: none does.
async fn resume(
    course: &mut Course<'_>,
    error: RequestError,
    deadline: Option<Instant>,
    is_replayable: bool,
    heartbeat: Option<Heartbeat>,
    account: &mut Account,
) -> Result<()> {
    if wait::is_abandoned() {
        return Err(error);
    }
    let Turn::Again(pause) = course.after(&error, &mut rand::rng()) else {
        return Err(error);
    };
    let resumed = Instant::now() + pause;
    if deadline.is_some_and(|deadline| resumed >= deadline) {
        return Err(error);
    }
    if !is_replayable {
        account.note(|record| record.retry = Some(NOT_REPLAYABLE));
        let why = HeaderValue::from_static(NOT_REPLAYABLE);
        return Err(error.header(RETRY, why));
    }
    account.attempt_failed(&error);
    rest(resumed, heartbeat).await;
    Ok(())
}

/// Waits between two attempts, and lets the caller hear of it.
async fn rest(until: Instant, heartbeat: Option<Heartbeat>) {
    let mut heartbeat = heartbeat.map(|heartbeat| heartbeat.from(Instant::now()));
    loop {
        let beat = heartbeat.as_ref().and_then(Heartbeat::next);
        let wake = beat.map_or(until, |beat| beat.min(until));
        tokio::time::sleep_until(wake).await;
        if wake >= until {
            return;
        }
        if let Some(heartbeat) = &mut heartbeat {
            heartbeat.keep_time(Instant::now());
            heartbeat.take();
            wait::beat();
        }
    }
}

/// Asks one provider.
async fn once(
    pool: &Pool,
    order: &Order<'_>,
    candidate: &Candidate<'_>,
    deadline: Option<Instant>,
    account: &mut Account,
) -> Result<Attempted> {
    let upstream = candidate.upstream()?;
    let of_attempt = order.rule.retries.per_attempt_timeout;
    let mut clocks = Clocks::start(upstream.timeouts, candidate.blocked.clone())
        .until(deadline)
        .heard_by(order.heartbeat)
        .within_attempt((!of_attempt.is_zero()).then_some(of_attempt));
    let target = upstream.target(&candidate.upstream_model, seconds_since_1970());
    let (content, planned) = content(order, &target)?;
    note(account, candidate, upstream);
    let response = match (upstream.transport, &content) {
        (Transport::Echo, Content::Pieces(body) | Content::Streaming(body)) => {
            account.spent(Spent::Taken);
            clocks.await_first_token();
            let asked = match &planned {
                Planned::Already(reply, _) => Operation::Of(reply.upstream_endpoint()),
                Planned::OncePassed(_) => order.operation.clone(),
            };
            echo::answer(&asked, &body.concat())
        }
        _ => {
            let asked = match &planned {
                Planned::Already(reply, _) => reply.upstream_endpoint(),
                Planned::OncePassed(_) => order.operation.endpoint(),
            };
            let is_streaming = content.is_streaming();
            let letter = Letter {
                head: head(
                    order,
                    candidate,
                    (upstream, &target),
                    asked,
                    is_streaming,
                    account,
                )?,
                content,
                signer: candidate.signer(upstream),
            };
            send(pool, letter, upstream, &mut clocks, account).await?
        }
    };
    if !response.status().is_success() {
        return Err(refusal(response, target.protocol, &mut clocks, account).await);
    }
    refuse_encoded(response.headers())?;
    let said = response.headers().get(CONTENT_TYPE).cloned();
    let mut body = response.into_body();
    let (reply, dropped) = match planned {
        Planned::Already(reply, dropped) => (reply, dropped),
        Planned::OncePassed(upload) => {
            let sent = body.meanwhile(upload.sent());
            let reply = plan_passed(order, upload, sent, &target, &mut clocks, account).await?;
            (reply, Vec::new())
        }
    };
    let answer = receive(body, &reply, clocks, account).await;
    let answer = answer.inspect_err(|error| {
        if error.is_refusal() {
            account.spent(Spent::Refused);
        }
    })?;
    account.first_token();
    let content_type = reply
        .is_opaque()
        .then(|| transform::passed_type(said.as_ref()));
    Ok(Attempted {
        answer,
        content_type,
        dropped,
    })
}

/// How the answer is to be read.
enum Planned<'a> {
    /// And hints of the request that the provider has no word for.
    Already(ReplyPlan, Vec<String>),
    /// It depends on what is still to come of the request.
    OncePassed(&'a Upload),
}

/// Gives what is sent, and how its answer is read.
fn content<'a>(order: &'a Order<'_>, target: &Target<'_>) -> Result<(Content<'a>, Planned<'a>)> {
    match &order.body {
        OrderBody::Whole { bytes, head, .. } => {
            let outgoing = encode(order, head, bytes, target)?;
            let content = match outgoing.reply.is_streaming() {
                true => Content::Streaming(outgoing.body),
                false => Content::Pieces(outgoing.body),
            };
            Ok((content, Planned::Already(outgoing.reply, outgoing.dropped)))
        }
        OrderBody::Passing(_) if !target.natives.contains(order.operation.endpoint()) => Err(
            RequestError::provider_unavailable("it has just been changed; try again"),
        ),
        OrderBody::Passing(upload) => {
            let content = Content::Passing {
                upload,
                operation: order.operation,
                model: (!order.model.is_empty()).then(|| target.upstream_model.into()),
                asks_for_usage: target.quirks.stream_options,
            };
            Ok((content, Planned::OncePassed(upload)))
        }
    }
}

/// Plans how to read an answer that has begun: once the request is known to its end.
async fn plan_passed(
    order: &Order<'_>,
    upload: &Upload,
    sent: impl Future<Output = ()>,
    target: &Target<'_>,
    clocks: &mut Clocks,
    account: &mut Account,
) -> Result<ReplyPlan> {
    let is_early = !upload.is_sent();
    clocks.within(sent).await?;
    if let Some(fault) = upload.take_fault() {
        account.spent(Spent::Refused);
        return Err(fault);
    }
    let plan = |head: &Head| turnpike_protocol::plan(order.operation, head, target);
    let plan = upload.with_head(plan);
    if is_early && plan.is_streaming() {
        clocks.await_first_token();
    }
    Ok(plan)
}

/// Checks that a provider could be sent the request.
///
/// Errors: 400 for what its protocol has no word for.
pub fn check(order: &Order<'_>, target: &Target<'_>) -> Result<()> {
    content(order, target).map(drop)
}

/// Writes a whole body as the provider takes it.
fn encode(order: &Order<'_>, head: &Head, body: &Bytes, target: &Target<'_>) -> Result<Outgoing> {
    let outgoing = turnpike_protocol::encode(order.operation, head, body, target);
    outgoing.map_err(|unsupported| {
        RequestError::bad_request("unsupported_parameter", unsupported.message)
            .param(unsupported.field)
    })
}

/// Reads the answer: all of it, or of a stream up to its first content.
async fn receive(
    body: AnswerBody,
    reply: &ReplyPlan,
    mut clocks: Clocks,
    account: &mut Account,
) -> Result<Answer> {
    let mut charge = account.charge();
    if reply.is_streaming() {
        let held = HeldStream::open(body, reply, clocks, charge).await?;
        return Ok(Answer::Stream(Box::new(held)));
    }
    let decoded = relay::read_whole(body, reply, &mut clocks, &mut charge).await?;
    account.keep(charge);
    Ok(Answer::Whole(decoded))
}

fn note(account: &mut Account, candidate: &Candidate<'_>, upstream: &UpstreamView) {
    account.note(|record| {
        record.provider = Some(candidate.backend.provider_name.clone());
        record.credential = candidate.key(upstream).map(|key| key.name.clone());
        record.protocol = Some(upstream.protocol.as_str());
        let model = &candidate.upstream_model;
        record.model.upstream = (!model.is_empty()).then(|| model.clone());
    });
}

fn head(
    order: &Order<'_>,
    candidate: &Candidate<'_>,
    (upstream, target): (&UpstreamView, &Target<'_>),
    asked: Endpoint,
    is_streaming: Option<bool>,
    account: &Account,
) -> Result<Parts> {
    let mut request = Request::new(());
    let model = &candidate.upstream_model;
    let uri = upstream.uri(asked, model, is_streaming == Some(true));
    *request.uri_mut() =
        uri.ok_or_else(|| RequestError::provider_unavailable("it has no usable URL"))?;
    *request.method_mut() = Method::POST;
    let id = account.id().header();
    let endpoint = order.operation.endpoint();
    *request.headers_mut() =
        transform::upstream_headers(order.headers, target.protocol, endpoint, id, is_streaming);
    if upstream.auth == vendor::Auth::XApiKey {
        let (name, value) = ANTHROPIC_VERSION;
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    if let Some((name, value)) = candidate.key(upstream).and_then(|key| key.header.as_ref()) {
        request.headers_mut().insert(name, value.clone());
    }
    Ok(request.into_parts().0)
}

/// Reads what a provider says instead of an answer.
async fn refusal(
    response: Response<AnswerBody>,
    protocol: WireProtocol,
    clocks: &mut Clocks,
    account: &mut Account,
) -> RequestError {
    account.spent(Spent::Refused);
    let (parts, body) = response.into_parts();
    let body = relay::read_error(body, clocks).await;
    let status = parts.status.as_u16();
    let named = parts
        .headers
        .get(AWS_ERROR)
        .and_then(|name| name.to_str().ok());
    let said = match named {
        Some(name) => turnpike_protocol::classify_named(protocol, status, name, &body),
        None => turnpike_protocol::classify(protocol, status, &body),
    };
    let class = said.class;
    let error = RequestError::from(said);
    let after = parts.headers.get(RETRY_AFTER);
    match after.and_then(|value| retry_after::parse(value, SystemTime::now())) {
        Some(after) if class == FaultClass::Capacity || class == FaultClass::Transient => {
            error.retry_after(after)
        }
        _ => error,
    }
}

/// A provider that compresses although it was asked not to cannot be read.
fn refuse_encoded(headers: &HeaderMap) -> Result<()> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(relay::bad_answer(
            "the provider compressed its answer although it was asked not to",
        )),
        _ => Ok(()),
    }
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
