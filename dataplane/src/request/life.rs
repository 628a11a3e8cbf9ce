//! Strings the steps of a request together.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use tokio::time::Instant;
use turnpike_protocol::{ClientProtocol, Decoded, Endpoint, Head, Operation};
use turnpike_snapshot::domain::OnDisconnect;

use super::admit::{self, Admitted, Counted, Laid, authorize};
use super::attempt::{self, Attempted, Order, OrderBody, longest_total};
use super::authenticate::{Caller, authenticate};
use super::body_rules::Form;
use super::error::{REQUEST_ID, RequestError, Result};
use super::matching::{self, Facts, Matched};
use super::models::{self, Question};
use super::peek::Received;
use super::relay::{self, Answer, Heartbeat, ResponseBody};
use super::request_id::RequestId;
use super::routes::Routes;
use super::settle::Account;
use super::socket::{self, Session, Sockets};
use super::upload::{REPLAY, Upload};
use super::wait::{self, Opening};
use super::{head, need, operation, peek, reach};
use crate::arrival::{Arrival, FLOOR, HostError, HostName, RequestBody, Uptake, WINDOW};
use crate::gateway::Gateway;
use crate::metrics::RefusalLabel;
use crate::quota::Output;
use crate::store::view::DomainView;
use crate::store::{Asker, FetchError, Store};

/// Names hints of the request that the provider had no word for.
const DROPPED_FIELDS: HeaderName = HeaderName::from_static("x-turnpike-dropped");

/// Answers one request.
///
/// Cancel-safe: dropped (the client hung up), the provider is cancelled and the request settled.
pub fn serve(
    gateway: &Arc<Gateway>,
    sockets: &Sockets,
    arrival: Arrival,
    mut request: Request<RequestBody>,
) -> impl Future<Output = Response<ResponseBody>> {
    // Taken apart before: the future would have room for the whole as well.
    let client = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    async move {
        let mut account = Box::new(Account::open(gateway, &arrival, &parts));
        let id = account.id().clone();
        let sends_body = !body.is_end_stream();
        let pace = body.pace();
        let outcome = live(gateway, &arrival, &parts, body, &mut account, &id).await;
        let outcome = outcome.map_err(|error| match pace.was_too_slow() {
            true => too_slow(gateway),
            false => error,
        });
        let is_unread = sends_body && !account.has_read();
        let mut response = match outcome {
            Ok(Reply::Answer(answer, headers)) => {
                account.answered(StatusCode::OK);
                relay::respond(answer, headers, account)
            }
            Ok(Reply::Session(session)) => {
                socket::begin(*session, client, sockets, gateway, account)
            }
            Err(error) => refuse(error, ClientProtocol::of_path(parts.uri.path()), account),
        };
        response
            .headers_mut()
            .insert(REQUEST_ID, id.header().clone());
        if is_unread && parts.version < Version::HTTP_2 {
            // The connection cannot be used again: who is not told would send the next request on it.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if parts.method == Method::HEAD {
            response = relay::without_body(response);
        }
        response
    }
}

/// A success, ready to be handed over.
#[expect(
    clippy::large_enum_variant,
    reason = "answers are the rule, and boxing them costs each an allocation"
)]
enum Reply {
    Answer(Answer, HeaderMap),
    Session(Box<Session>),
}

/// A request whose body has come, or begun to.
struct Asked<'a> {
    operation: &'a Operation,
    parts: &'a Parts,
    body: Received,
    id: &'a RequestId,
    uptake: &'a Uptake,
}

async fn live(
    gateway: &Gateway,
    arrival: &Arrival,
    parts: &Parts,
    body: RequestBody,
    account: &mut Account,
    id: &RequestId,
) -> Result<Reply> {
    head::check(&parts.headers)?;
    let asker = Asker::from(arrival.remote);
    let routes = Routes::of(find_domain(&gateway.store, arrival.host.as_ref(), asker).await?);
    account.note(|record| record.namespace = Some(routes.domain().namespace.clone()));
    let host = arrival.host.as_ref().map_or("", HostName::as_str);
    reach::check(routes.domain(), host, arrival.tls.as_deref())?;
    routes.refuse_suspended()?;
    let method = socket::handshake::method(parts);
    let operation = operation::recognise(method, parts.uri.path())?;
    operation::check_query(&operation, parts.uri.query())?;
    account.asks(&operation);
    let now = account.arrived();
    let caller = authenticate(&gateway.store, &routes, &parts.headers, asker, now).await?;
    note_caller(account, &caller);
    if let Some(reply) = answer_here(&operation, &routes, &caller, parts)? {
        return Ok(reply);
    }
    if operation.endpoint() == Endpoint::Realtime {
        let opening = socket::open(gateway, arrival, &routes, &caller, parts, account);
        // The future of every request would have room for it.
        let session = Box::pin(opening).await?;
        return Ok(Reply::Session(Box::new(session)));
    }
    gateway.budget.admit(body.size_hint().lower().min(REPLAY))?;
    let (max_bytes, charge) = (routes.max_body_bytes(), gateway.budget.charge());
    let note_end = |bytes| account.read(bytes);
    let form = Form::of(&operation, &parts.headers)?;
    let mut body = peek::read(body, &parts.headers, form, max_bytes, charge, note_end).await?;
    if let Received::Begun(_) = body {
        let need = need::for_matching(&routes);
        body = Box::pin(body.read_on(need, routes.head_bytes())).await?;
    }
    let asked = Asked {
        operation: &operation,
        parts,
        body,
        id,
        uptake: &arrival.uptake,
    };
    carry(gateway, &routes, &caller, asked, account).await
}

/// From the rule to the provider's answer.
async fn carry(
    gateway: &Gateway,
    routes: &Routes,
    caller: &Caller,
    mut asked: Asked<'_>,
    account: &mut Account,
) -> Result<Reply> {
    let mut model = note_head(account, asked.operation, asked.body.head());
    let facts = Facts {
        path: asked.parts.uri.path(),
        headers: &asked.parts.headers,
        model: &model,
    };
    let matched = matching::find(routes, caller, facts)?;
    note_match(account, &matched);
    matched.route.refuse_suspended()?;
    asked.body.limit(matched.route.max_body_bytes())?;
    if matched.route.on_disconnect() == OnDisconnect::Drain {
        let tenant = routes.domain().namespace.clone();
        account.drain_by(gateway.drains.of(tenant));
    }
    let consumer = matched.consumer.as_deref();
    authorize(matched.route.allow()?, consumer, &model)?;
    if let Received::Begun(_) = asked.body {
        let need = need::for_sending(matched.rule, asked.operation.endpoint());
        asked.body = Box::pin(asked.body.read_on(need, matched.route.head_bytes())).await?;
        model = note_head(account, asked.operation, asked.body.head());
    }
    let counted = Counted {
        namespace: &routes.domain().namespace,
        route: matched.route.name(),
        consumer,
        model: &model,
        estimate: estimate(gateway, &asked, &model),
        requests: 1,
    };
    let laid = Laid::over(routes.domain())?;
    let total = longest_total(matched.rule);
    let Admitted {
        ticket,
        mut headers,
    } = admit::reserve(&gateway.quotas, &laid, &counted, total).await?;
    account.hold(ticket);
    let now = Instant::now();
    let order = Order {
        operation: asked.operation,
        rule: matched.rule,
        model: &model,
        headers: &asked.parts.headers,
        body: asked.body.into(),
        heartbeat: matched
            .route
            .heartbeat()
            .map(|every| Heartbeat::new(every, now)),
    };
    let deadline = total.and_then(|total| now.checked_add(total));
    let outcome = {
        let mut attempting = pin!(attempt::attempt(
            &gateway.upstream,
            &order,
            deadline,
            account
        ));
        poll_fn(|cx| {
            let open = || opening(&order, &headers, asked.id, asked.uptake);
            wait::poll_silent(attempting.as_mut(), open, cx)
        })
        .await
    };
    if let OrderBody::Passing(upload) = &order.body {
        note_passed(account, order.operation, upload);
    }
    let Attempted {
        mut answer,
        content_type,
        dropped,
    } = outcome?;
    if let Answer::Whole(decoded) = &mut answer {
        note_answer(account, decoded);
    }
    if let Some(kind) = content_type {
        headers.insert(CONTENT_TYPE, kind);
    }
    if let Some(value) = dropped_fields(&dropped) {
        headers.insert(DROPPED_FIELDS, value);
    }
    Ok(Reply::Answer(answer, headers))
}

/// What a stream is begun with that was silent for too long; `None`: no stream is asked for, or the
/// caller still speaks.
fn opening(
    order: &Order<'_>,
    headers: &HeaderMap,
    id: &RequestId,
    uptake: &Uptake,
) -> Option<Opening> {
    order.awaits_stream().then(|| Opening {
        headers: headers.clone(),
        id: id.header().clone(),
        uptake: uptake.clone(),
    })
}

/// Notes what has come of the head, and gives the model's name; empty: it is not known yet.
fn note_head(account: &mut Account, operation: &Operation, head: &Head) -> Arc<str> {
    let is_streaming = turnpike_protocol::exchange::is_streaming(operation, head);
    let said = head.model.as_ref().map(|model| model.value.as_str());
    let model: Arc<str> = Arc::from(operation.model().or(said).unwrap_or(""));
    account.note(|record| {
        record.stream = is_streaming;
        record.model.requested = (!model.is_empty()).then(|| Arc::clone(&model));
    });
    model
}

/// Notes what is known of a body once it has passed.
fn note_passed(account: &mut Account, operation: &Operation, upload: &Upload) {
    let model = upload.with_head(|head| note_head(account, operation, head));
    account.note(|record| {
        // A provider was asked under the name that the caller gave.
        if record.provider.is_some() && record.model.upstream.is_none() && !model.is_empty() {
            record.model.upstream = Some(model);
        }
    });
    match upload.is_read() {
        true => account.read(upload.received()),
        false => account.note(|record| record.bytes_in = upload.received()),
    }
}

/// Finds the domain that a request is for, loading it on the asker's account if need be.
///
/// Errors: 400 for no host, 404 for one that is not served, 503 where nobody can say.
pub async fn find_domain(
    store: &Store,
    host: std::result::Result<&HostName, &HostError>,
    asker: Asker,
) -> Result<Arc<DomainView>> {
    let host =
        host.map_err(|fault| RequestError::bad_request("invalid_host", fault.to_string()))?;
    if let Some(domain) = store.get_domain(host) {
        return Ok(domain);
    }
    store
        .fetch_domain(host, asker)
        .await
        .map_err(|error| match error {
            FetchError::Unknown => RequestError::new(
                StatusCode::NOT_FOUND,
                "unknown_host",
                format!("the host {:?} is not served here", host.as_str()),
            ),
            FetchError::TooManyLookups(after) => super::error::too_many_lookups(after),
            FetchError::Unavailable => super::error::unavailable(),
        })
}

/// Answers what no provider is needed for.
fn answer_here(
    operation: &Operation,
    routes: &Routes,
    caller: &Caller,
    parts: &Parts,
) -> Result<Option<Reply>> {
    let question = Question {
        routes,
        caller,
        path: parts.uri.path(),
        headers: &parts.headers,
    };
    let body = match operation {
        Operation::Of(Endpoint::Models) => models::list(&question)?,
        Operation::Model { id } => models::describe(&question, id)?,
        Operation::Of(_) | Operation::Gemini { .. } => return Ok(None),
    };
    let answer = Answer::Whole(Decoded {
        body,
        usage: None,
        response_model: None,
    });
    Ok(Some(Reply::Answer(answer, HeaderMap::new())))
}

fn estimate(gateway: &Gateway, asked: &Asked<'_>, model: &str) -> u64 {
    let head = asked.body.head();
    let output = match asked.operation.endpoint().is_generation() {
        true => Output::Text {
            max_tokens: head.max_tokens,
            choices: head.n.unwrap_or(1),
        },
        false => Output::Nothing,
    };
    let prompt_bytes = asked.body.length();
    gateway.estimator.estimate(model, prompt_bytes, output)
}

fn note_caller(account: &mut Account, caller: &Caller) {
    if let Caller::Known(consumer) = caller {
        account.note(|record| record.consumer = Some(consumer.clone()));
    }
}

pub(super) fn note_match(account: &mut Account, matched: &Matched<'_>) {
    account.note(|record| {
        record.route = Some(matched.route.name().clone());
        record.rule = Some(matched.rule.name.clone());
        if record.consumer.is_none() {
            record.consumer = matched.consumer.clone();
        }
    });
}

fn note_answer(account: &mut Account, decoded: &mut Decoded) {
    account.used(decoded.usage, decoded.body.len() as u64);
    let model = decoded.response_model.take();
    account.note(|record| record.model.response = model.map(Into::into));
}

fn dropped_fields(dropped: &[String]) -> Option<HeaderValue> {
    if dropped.is_empty() {
        return None;
    }
    HeaderValue::try_from(dropped.join(", ")).ok()
}

/// Whichever step had the body in its hands when its sender turned out to be too slow.
fn too_slow(gateway: &Gateway) -> RequestError {
    gateway.metrics.refused(RefusalLabel::SlowBody);
    let message = format!(
        "the request body came at less than {FLOOR} bytes a second over {WINDOW:?}; send it faster"
    );
    let status = StatusCode::REQUEST_TIMEOUT;
    RequestError::new(status, "request_body_timeout", message)
}

fn refuse(
    error: RequestError,
    client: ClientProtocol,
    mut account: Box<Account>,
) -> Response<ResponseBody> {
    let end = error.end();
    account.answered(error.status());
    account.failed(&error);
    let id = account.id().clone();
    if wait::is_begun() {
        let event = turnpike_protocol::error_event(client, &error.body(id.as_str()));
        return Response::new(ResponseBody::broken(event, account, end));
    }
    let response = error.into_response(client, id.as_str());
    response.map(|body| ResponseBody::ending(body, account, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Each open request costs this much beside its buffers; a step that grows it should box.
    #[test]
    fn a_request_in_flight_stays_small() {
        let size = size_of_future::<&'static Arc<Gateway>, &'static Sockets, _, _, _>(serve);
        assert!(size <= 8 * 1024, "{size} bytes");
    }
}
