//! What a session costs: each response is reserved when it begins, and settled by what the provider
//! says at its end.
//!
//! A reservation is placed in the time in which it is made; one that waited for a caller to speak
//! would count in a window that is long over. So none is held between responses.

use std::sync::Arc;
use std::time::Duration;

use turnpike_protocol::Usage;
use turnpike_protocol::realtime::Event;

use crate::access_log::{End, Tokens};
use crate::arrival::{Arrival, HostName};
use crate::gateway::Gateway;
use crate::quota::Ticket;
use crate::request::admit::{self, Counted, Laid};
use crate::request::error::{RequestError, Result};
use crate::request::life::find_domain;
use crate::request::matching::Matched;
use crate::request::routes::Routes;
use crate::request::settle::Account;
use crate::store::Asker;
use crate::store::view::Consumer;

/// Tokens reserved for a response at least: what a chat's answer is reserved with.
pub(super) const LEAST: u64 = 1024;
/// Responses under way at a time; providers allow one, and few beside the conversation.
const MOST_OPEN: usize = 16;

/// Who is counted, and for what.
pub(super) struct Subject {
    host: Option<HostName>,
    asker: Asker,
    namespace: Arc<str>,
    route: Arc<str>,
    consumer: Option<Arc<Consumer>>,
    model: Arc<str>,
    total: Option<Duration>,
}

impl Subject {
    pub(super) fn of(
        arrival: &Arrival,
        routes: &Routes,
        matched: &Matched<'_>,
        model: Arc<str>,
        total: Option<Duration>,
    ) -> Self {
        Self {
            host: arrival.host.as_ref().ok().cloned(),
            asker: Asker::from(arrival.remote),
            namespace: routes.domain().namespace.clone(),
            route: matched.route.name().clone(),
            consumer: matched.consumer.clone(),
            model,
            total,
        }
    }

    /// What quotas look at.
    pub(super) fn counted(&self, estimate: u64, requests: u64) -> Counted<'_> {
        Counted {
            namespace: &self.namespace,
            route: &self.route,
            consumer: self.consumer.as_deref(),
            model: &self.model,
            estimate,
            requests,
        }
    }
}

/// Counts a session; it is settled when this is closed or dropped.
pub(super) struct Meter {
    gateway: Arc<Gateway>,
    account: Box<Account>,
    subject: Subject,
    laid: Laid,
    open: Vec<Turn>,
    /// Of the last response: the next one reads all that was said before.
    last: Tokens,
}

/// A response under way.
struct Turn {
    response: Box<str>,
    ticket: Ticket,
    reserved: Tokens,
}

impl Meter {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        account: Box<Account>,
        subject: Subject,
        laid: Laid,
    ) -> Self {
        Self {
            gateway,
            account,
            subject,
            laid,
            open: Vec::new(),
            last: Tokens::default(),
        }
    }

    /// Notes what the session is doing.
    pub(super) fn account(&mut self) -> &mut Account {
        &mut self.account
    }

    /// Whether a response is under way.
    pub(super) fn is_answering(&self) -> bool {
        !self.open.is_empty()
    }

    /// Counts what an event tells. Errors: a quota does not let the session go on.
    pub(super) async fn hear(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Created { response } => self.begin(response).await,
            Event::Done { response, usage } => self.finish(&response, usage).await,
            Event::Transcribed(usage) => self.count(told(usage), 0).await,
        }
    }

    async fn begin(&mut self, response: Box<str>) -> Result<()> {
        let reserved = self.guess();
        let ticket = self.reserve(total(reserved), 1).await?;
        if self.open.len() == MOST_OPEN {
            let oldest = self.open.remove(0);
            self.settle(oldest.ticket, oldest.reserved);
        }
        self.open.push(Turn {
            response,
            ticket,
            reserved,
        });
        Ok(())
    }

    async fn finish(&mut self, response: &str, usage: Option<Usage>) -> Result<()> {
        let at = self
            .open
            .iter()
            .position(|turn| *turn.response == *response);
        let turn = at.map(|at| self.open.remove(at));
        let tokens = usage.map(told);
        if let Some(tokens) = tokens {
            self.last = tokens;
        }
        match turn {
            Some(turn) => {
                self.settle(turn.ticket, tokens.unwrap_or(turn.reserved));
                Ok(())
            }
            // It was not said to begin.
            None => self.count(tokens.unwrap_or_else(|| self.guess()), 1).await,
        }
    }

    /// Counts what was used already, whether or not a quota lets it; in the second case it is the
    /// last.
    async fn count(&mut self, tokens: Tokens, requests: u64) -> Result<()> {
        match self.reserve(total(tokens), requests).await {
            Ok(ticket) => {
                self.settle(ticket, tokens);
                Ok(())
            }
            Err(refused) => {
                let counted = self.subject.counted(total(tokens), requests);
                let ticket = admit::unasked(&self.gateway.quotas, &self.laid, &counted);
                self.settle(ticket, tokens);
                Err(refused)
            }
        }
    }

    async fn reserve(&mut self, tokens: u64, requests: u64) -> Result<Ticket> {
        self.renew().await;
        let counted = self.subject.counted(tokens, requests);
        let quotas = &self.gateway.quotas;
        let admitted = admit::reserve(quotas, &self.laid, &counted, self.subject.total).await?;
        Ok(admitted.ticket)
    }

    /// Looks which quotas are laid now, and keeps the domain in use. One that is gone, or another
    /// namespace's by now, changes nothing for the session.
    async fn renew(&mut self) {
        let Some(host) = &self.subject.host else {
            return;
        };
        let domain = find_domain(&self.gateway.store, Ok(host), self.subject.asker).await;
        if let Ok(domain) = domain
            && domain.namespace == self.subject.namespace
            && let Ok(laid) = Laid::over(&domain)
        {
            self.laid = laid;
        }
    }

    fn settle(&mut self, ticket: Ticket, tokens: Tokens) {
        self.account.settle(ticket, total(tokens));
        self.account.count_response(tokens);
    }

    fn guess(&self) -> Tokens {
        Tokens {
            input: self.last.input,
            output: self.last.output.max(LEAST),
            estimated: true,
            ..Tokens::default()
        }
    }

    /// The session has ended in this way, by an error that the caller is told, if it is one.
    pub(super) fn close(mut self, end: End, error: Option<&RequestError>) {
        if let Some(error) = error {
            self.account.failed(error);
        }
        self.account.ends(end);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // Responses that were cut off cost what nobody can say any more.
        for turn in std::mem::take(&mut self.open) {
            self.settle(turn.ticket, turn.reserved);
        }
    }
}

fn told(usage: Usage) -> Tokens {
    Tokens {
        input: usage.input.unwrap_or(0),
        cached: usage.cached_input,
        output: usage.output.unwrap_or(0),
        reasoning: usage.reasoning,
        audio_input: usage.audio_input,
        audio_output: usage.audio_output,
        estimated: false,
    }
}

fn total(tokens: Tokens) -> u64 {
    tokens.input.saturating_add(tokens.output)
}
