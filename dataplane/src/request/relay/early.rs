//! Answers that had to be begun before there was anything of them: their head is out, and says 200.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use tokio::time::Sleep;

use super::body::{BodyError, LAST_WORDS, PROBE, ResponseBody};
use crate::access_log::End;
use crate::arrival::Uptake;
use crate::request::settle::Account;
use crate::request::wait::{self, Stage};

/// What is left of a request's future.
pub type Rest = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

/// The body of such an answer, as long as nothing of it is there: comments.
pub(super) struct Early {
    rest: Rest,
    uptake: Uptake,
    is_beat: bool,
}

impl Early {
    pub(super) fn new(rest: Rest, uptake: Uptake) -> Self {
        let is_beat = true;
        Self {
            rest,
            uptake,
            is_beat,
        }
    }

    /// Gives a comment, or the body that takes this one's place.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ResponseBody>> {
        let (polled, told) = wait::poll(Stage::Begun, self.rest.as_mut(), cx);
        if let Poll::Ready(answer) = polled {
            return Poll::Ready(Err(answer.into_body()));
        }
        let is_beat = std::mem::take(&mut self.is_beat) || told.is_beat;
        match self.uptake.is_doubted(cx) || is_beat {
            true => Poll::Ready(Ok(Bytes::from_static(PROBE))),
            false => Poll::Pending,
        }
    }
}

/// What such an answer ends with after all: an error in the client's protocol, and an unclean end.
pub(super) struct Broken {
    event: Bytes,
    /// Taken when settled.
    account: Option<Box<Account>>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Broken {
    pub(super) fn new(event: Bytes, mut account: Box<Account>, end: End) -> Self {
        account.ends(end);
        Self {
            event,
            account: Some(account),
            until: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.account.is_none()
    }

    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(account) = &mut self.account else {
            return Poll::Ready(None);
        };
        if !self.event.is_empty() {
            account.handed(self.event.len());
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.event))));
        }
        let until = || Box::pin(tokio::time::sleep(LAST_WORDS));
        ready!(self.until.get_or_insert_with(until).as_mut().poll(cx));
        self.account = None;
        Poll::Ready(Some(Err(BodyError)))
    }
}
