//! Answers that had to be begun before there was anything of them: their head is out, and says 200.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use tokio::time::Sleep;

use super::unheard::Seen;
use super::{BodyError, LAST_WORDS, PROBE, ResponseBody};
use crate::access_log::End;
use crate::arrival::Uptake;
use crate::drains::{Drained, TenantDrains};
use crate::request::settle::Account;
use crate::request::wait::{self, Stage};

/// What is left of a request's future.
pub type Rest = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

/// Goes on with what is left of a request's future whose caller has gone, for what it costs.
pub async fn finish(mut rest: Rest) -> Drained {
    let answer = poll_fn(|cx| wait::poll(Stage::Abandoned, rest.as_mut(), cx).0).await;
    answer.into_body().read_on(Seen::Nothing).await
}

/// The body of such an answer, as long as nothing of it is there: comments.
pub(super) struct Early {
    /// `None`: it is done.
    rest: Option<Rest>,
    uptake: Uptake,
    is_beat: bool,
    drains: Option<TenantDrains>,
}

impl Early {
    pub(super) fn new(rest: Rest, uptake: Uptake, drains: Option<TenantDrains>) -> Self {
        Self {
            rest: Some(rest),
            uptake,
            is_beat: true,
            drains,
        }
    }

    /// Gives a comment, or the body that takes this one's place.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ResponseBody>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Pending;
        };
        let (polled, told) = wait::poll(Stage::Begun, rest.as_mut(), cx);
        if let Some(drains) = told.drains {
            self.drains = drains;
        }
        if let Poll::Ready(answer) = polled {
            self.rest = None;
            return Poll::Ready(Err(answer.into_body()));
        }
        let is_beat = std::mem::take(&mut self.is_beat) || told.is_beat;
        match self.uptake.is_doubted(cx) || is_beat {
            true => Poll::Ready(Ok(Bytes::from_static(PROBE))),
            false => Poll::Pending,
        }
    }
}

impl Drop for Early {
    /// The caller has gone, unless it is done.
    fn drop(&mut self) {
        if let (Some(rest), Some(drains)) = (self.rest.take(), self.drains.take())
            && !std::thread::panicking()
        {
            drains.spawn(finish(rest));
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
