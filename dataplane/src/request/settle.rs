//! Step 9: what is owed once a request ends: its quota, its figures, its line in the log.
//!
//! An [`Account`] is opened before anything can fail and settled when it is
//! dropped, so exactly once, however the request ends: answered, refused,
//! cancelled by the client, or by a panic.

mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use http::StatusCode;
use http::request::Parts;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;
use turnpike_protocol::{Operation, Usage};

use super::error::RequestError;
use super::request_id::RequestId;
use super::wait;
use crate::access_log::{End, Models, Record, Tokens};
use crate::arrival::{Arrival, HostName, Uptake};
use crate::budget::Charge;
use crate::drains::TenantDrains;
use crate::gateway::Gateway;
use crate::metrics::{InFlight, OperationLabel};
use crate::quota::{Output, Ticket};
use tokens::Known;

/// Nginx's word for a client that hung up before its answer; only ever in the log.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What is known of a request so far, and the duty to settle it.
pub struct Account {
    gateway: Arc<Gateway>,
    id: RequestId,
    arrived: Instant,
    /// Facts for the log, filled in as they become known; taken when settled.
    record: Option<Record>,
    ticket: Option<Ticket>,
    has_read: bool,
    answer: Option<Charge>,
    spent: Spent,
    /// What attempts that failed may have cost.
    spent_before: Spent,
    usage: Option<Usage>,
    /// What the responses of a session have used so far, which is counted already; `None`: it is a
    /// request with one answer.
    session: Option<Tokens>,
    output_bytes: u64,
    operation: OperationLabel,
    /// What was really reached, if the client had been told another status before.
    failed: Option<StatusCode>,
    end: Option<End>,
    uptake: Uptake,
    /// What reads the answer on if the caller hangs up; `None`: then it is cancelled.
    drains: Option<TenantDrains>,
    is_abandoned: bool,
    _open: InFlight,
    /// Who waits for the settlements waits for this request's, though it is not begun yet.
    _owed: TaskTrackerToken,
}

/// How far a request got with a provider, which decides what it may have cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spent {
    /// No provider has seen it: it counts for nothing.
    Unsent,
    /// A provider turned it down: it counts as a request, without tokens.
    Refused,
    /// A provider is at work, or was: tokens as it says, else as they are estimated.
    Taken,
}

impl Account {
    /// Opens the account of a request that has just arrived.
    pub fn open(gateway: &Arc<Gateway>, arrival: &Arrival, parts: &Parts) -> Self {
        let id = RequestId::of(&parts.headers);
        let record = Record {
            time: Timestamp::now(),
            request_id: id.clone(),
            remote: arrival.remote,
            host: arrival.host.as_ref().ok().map(HostName::to_shared),
            method: parts.method.clone(),
            path: parts.uri.path().into(),
            status: CLIENT_CLOSED_REQUEST,
            operation: None,
            namespace: None,
            route: None,
            rule: None,
            consumer: None,
            provider: None,
            credential: None,
            protocol: None,
            model: Models::default(),
            stream: false,
            tokens: None,
            first_token_ms: None,
            failed_attempts: 0,
            retry: None,
            duration_ms: 0,
            bytes_in: 0,
            bytes_out: 0,
            end: End::ClientGone,
            error: None,
        };
        Self {
            gateway: gateway.clone(),
            id,
            arrived: arrival.at,
            record: Some(record),
            ticket: None,
            has_read: false,
            answer: None,
            spent: Spent::Unsent,
            spent_before: Spent::Unsent,
            usage: None,
            session: None,
            output_bytes: 0,
            operation: OperationLabel::Unknown,
            failed: None,
            end: None,
            uptake: arrival.uptake.clone(),
            drains: None,
            is_abandoned: false,
            _open: gateway.metrics.begin(),
            _owed: gateway.settling.token(),
        }
    }

    /// The request's id.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// When the request came, in seconds since 1970.
    pub fn arrived(&self) -> i64 {
        let came = self.record.as_ref().map(|record| record.time);
        came.unwrap_or_default().as_second()
    }

    /// Notes that the request's body was read to its end, and its length.
    pub fn read(&mut self, bytes: u64) {
        self.has_read = true;
        self.note(|record| record.bytes_in = bytes);
    }

    /// Whether the request's body was read to its end.
    pub fn has_read(&self) -> bool {
        self.has_read
    }

    /// Whether the caller takes the answer.
    pub fn uptake(&self) -> &Uptake {
        &self.uptake
    }

    /// Notes what is asked for.
    pub fn asks(&mut self, operation: &Operation) {
        self.operation = OperationLabel::named(Some(operation.as_str()));
        self.note(|record| record.operation = Some(operation.as_str()));
    }

    /// Notes facts for the log.
    pub fn note(&mut self, facts: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            facts(record);
        }
    }

    /// Begins to hold memory for the request.
    pub fn charge(&self) -> Charge {
        self.gateway.budget.charge()
    }

    /// Keeps what is held for the answer, until the request has ended.
    pub fn keep(&mut self, charge: Charge) {
        self.answer = Some(charge);
    }

    /// Takes over the reservation; it is settled with the account.
    pub fn hold(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// Notes how far the attempt got with a provider.
    pub fn spent(&mut self, spent: Spent) {
        self.spent = spent;
        self.tell_drains();
    }

    /// Has the answer read on if the caller hangs up, by these, as soon as a provider is at work.
    pub fn drain_by(&mut self, drains: TenantDrains) {
        self.drains = Some(drains);
    }

    fn tell_drains(&self) {
        if let Some(drains) = &self.drains {
            let is_taken = self.spent == Spent::Taken;
            wait::drain_by(is_taken.then(|| drains.clone()));
        }
    }

    /// Gives what reads the answer on, to who does so now.
    pub fn take_drains(&mut self) -> Option<TenantDrains> {
        self.drains.take()
    }

    /// Notes that the caller has gone, and whether it has seen the head of the answer: what follows is
    /// read for what it costs.
    pub fn abandon(&mut self, has_seen_head: bool) {
        self.is_abandoned = true;
        self.drains = None;
        if !has_seen_head {
            self.note(|record| record.status = CLIENT_CLOSED_REQUEST);
        }
    }

    /// Notes that an attempt failed and another follows.
    pub fn attempt_failed(&mut self, error: &RequestError) {
        self.spent_before = self.reached();
        self.spent(Spent::Unsent);
        self.note(|record| record.failed_attempts += 1);
        if let Some(fault) = error.upstream_fault() {
            self.gateway.metrics.upstream_fault(fault);
        }
    }

    /// How far the request got at the most, over all attempts.
    fn reached(&self) -> Spent {
        self.spent.max(self.spent_before)
    }

    /// Notes what the provider said was used, and how many bytes of content came.
    pub fn used(&mut self, usage: Option<Usage>, output_bytes: u64) {
        self.usage = usage.or(self.usage);
        self.output_bytes = output_bytes;
    }

    /// A session is open: it counts as a request, and from here on each of its responses is counted
    /// by itself.
    pub fn begin_session(&mut self) {
        self.session = Some(Tokens::default());
        if let Some(ticket) = self.ticket.take() {
            self.settle(ticket, 0);
        }
    }

    /// Counts what a response of the session has used.
    pub fn count_response(&mut self, tokens: Tokens) {
        self.count_tokens(tokens);
        if let Some(session) = &mut self.session {
            session.add(tokens);
        }
    }

    /// Settles a reservation of the session's.
    pub fn settle(&self, ticket: Ticket, tokens: u64) {
        self.finish(ticket.settle(tokens));
    }

    /// Notes that the first content has come.
    pub fn first_token(&mut self) {
        let elapsed = self.arrived.elapsed();
        self.gateway.metrics.first_token(self.operation, elapsed);
        self.note(|record| record.first_token_ms = Some(millis(elapsed)));
    }

    /// Notes bytes taken from the client's connection.
    pub fn took(&mut self, bytes: usize) {
        self.note(|record| record.bytes_in += bytes as u64);
    }

    /// Notes bytes handed to the client's connection.
    pub fn handed(&mut self, bytes: usize) {
        if !self.is_abandoned {
            self.note(|record| record.bytes_out += bytes as u64);
        }
    }

    /// Notes the status that the client is told.
    pub fn answered(&mut self, status: StatusCode) {
        self.note(|record| record.status = status.as_u16());
    }

    /// Notes the error that the client is told.
    pub fn failed(&mut self, error: &RequestError) {
        self.failed = Some(error.status());
        self.note(|record| record.error = Some(error.code().into()));
        if let Some(fault) = error.upstream_fault() {
            self.gateway.metrics.upstream_fault(fault);
        }
    }

    /// Settles: the request has ended in this way.
    pub fn close(mut self: Box<Self>, end: End) {
        self.ends(end);
    }

    /// Notes how the request has ended, for when it is settled.
    pub fn ends(&mut self, end: End) {
        self.end = Some(end);
    }

    fn end(&self) -> End {
        match self.end {
            Some(end) if !self.is_abandoned => end,
            None if std::thread::panicking() => End::Panic,
            _ if self.uptake.is_expired() => End::Timeout("clientWrite"),
            _ => End::ClientGone,
        }
    }

    /// Whether the answer came to its end, handed over or not.
    fn is_whole(&self) -> bool {
        self.end == Some(End::Complete)
    }

    /// What was used: the provider's figures, and where it gave none, estimates.
    fn tokens(&self, record: &Record) -> Option<Tokens> {
        if self.session.is_some() {
            return self.session;
        }
        if self.reached() != Spent::Taken {
            return None;
        }
        let estimator = &self.gateway.estimator;
        let model = record.model.requested.as_deref().unwrap_or_default();
        let weigh = |bytes| estimator.estimate(model, bytes, Output::Nothing);
        Some(tokens::count(Known {
            usage: self.usage,
            is_whole: self.is_whole(),
            makes_output: self.operation != OperationLabel::Embeddings,
            input_estimate: weigh(record.bytes_in),
            output_estimate: weigh(self.output_bytes),
        }))
    }

    fn learn(&self, record: &Record) {
        let input = self.usage.and_then(|usage| usage.input);
        if let (Some(model), Some(input)) = (&record.model.requested, input) {
            self.gateway.estimator.learn(model, record.bytes_in, input);
        }
    }

    fn settle_quota(&mut self, tokens: Option<Tokens>) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let total = tokens.map_or(0, |tokens| tokens.input.saturating_add(tokens.output));
        let spent = self.reached();
        self.finish(async move {
            match spent {
                Spent::Unsent => ticket.release().await,
                Spent::Refused | Spent::Taken => ticket.settle(total).await,
            }
        });
    }

    /// Without a runtime (the process is ending) a ticket settles by its estimate when dropped.
    fn finish(&self, settling: impl Future<Output = ()> + Send + 'static) {
        let mut settling = Box::pin(settling);
        // Counters in memory are there at once, and need no task.
        if settling.as_mut().now_or_never().is_some() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            self.gateway.settling.spawn_on(settling, &runtime);
        }
    }

    fn count(&self, status: u16, tokens: Option<Tokens>, end: End, elapsed: Duration) {
        let metrics = &self.gateway.metrics;
        let reached = match (end, self.failed) {
            (End::ClientGone, _) => CLIENT_CLOSED_REQUEST,
            (End::Panic, _) => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            (_, Some(failed)) => failed.as_u16(),
            (_, None) => status,
        };
        metrics.finished(self.operation, reached, elapsed);
        if let (Some(tokens), None) = (tokens, self.session) {
            self.count_tokens(tokens);
        }
    }

    fn count_tokens(&self, tokens: Tokens) {
        let usage = Usage {
            input: Some(tokens.input),
            cached_input: tokens.cached,
            cache_write: None,
            output: Some(tokens.output),
            reasoning: tokens.reasoning,
            audio_input: tokens.audio_input,
            audio_output: tokens.audio_output,
            ..Usage::default()
        };
        self.gateway.metrics.tokens(&usage, tokens.estimated);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        let end = self.end();
        let tokens = self.tokens(&record);
        self.settle_quota(tokens);
        if self.is_whole() && self.session.is_none() {
            self.learn(&record);
        }
        let elapsed = self.arrived.elapsed();
        self.count(record.status, tokens, end, elapsed);
        record.tokens = tokens;
        record.end = end;
        record.duration_ms = millis(elapsed);
        self.gateway.access_log.record(&record);
    }
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
