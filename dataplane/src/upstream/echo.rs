//! The Echo vendor: a deterministic model in this process, for quickstarts and tests.
//!
//! The answer is computed by [`turnpike_protocol::echo()`]; here it is only given
//! time: each step waits its delay, then its bytes come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::time::Sleep;
use turnpike_protocol::{EchoEnd, EchoReply, EchoStep, Operation};

use super::body::{AnswerBody, AnswerError};

/// Answers a request as a provider would.
pub fn answer(operation: &Operation, body: &[u8]) -> Response<AnswerBody> {
    let reply = turnpike_protocol::echo(operation, body);
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(reply.content_type);
    let mut response = Response::new(AnswerBody::Echo(EchoBody::new(reply)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The steps of an answer, each at its time.
pub struct EchoBody {
    steps: std::vec::IntoIter<EchoStep>,
    next: Option<Waiting>,
    end: EchoEnd,
}

struct Waiting {
    until: Option<Pin<Box<Sleep>>>,
    bytes: Bytes,
}

impl EchoBody {
    fn new(reply: EchoReply) -> Self {
        Self {
            steps: reply.steps.into_iter(),
            next: None,
            end: reply.end,
        }
    }

    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, AnswerError>>> {
        let waiting = match &mut self.next {
            Some(waiting) => waiting,
            None => match self.steps.next() {
                Some(step) => self.next.insert(Waiting::from(step)),
                None => return self.last_word(),
            },
        };
        if let Some(until) = &mut waiting.until {
            std::task::ready!(until.as_mut().poll(cx));
        }
        let bytes = std::mem::take(&mut waiting.bytes);
        self.next = None;
        Poll::Ready(Some(Ok(bytes)))
    }

    fn last_word(&self) -> Poll<Option<Result<Bytes, AnswerError>>> {
        match self.end {
            EchoEnd::Clean => Poll::Ready(None),
            EchoEnd::Cut => Poll::Ready(Some(Err(AnswerError))),
            // Nobody wakes who waits for it; a timeout or the client ends it.
            EchoEnd::Hang => Poll::Pending,
        }
    }
}

impl From<EchoStep> for Waiting {
    fn from(step: EchoStep) -> Self {
        let delay = Duration::from_millis(step.delay_ms);
        Self {
            until: (!delay.is_zero()).then(|| Box::pin(tokio::time::sleep(delay))),
            bytes: step.bytes,
        }
    }
}
