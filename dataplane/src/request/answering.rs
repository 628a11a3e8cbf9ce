//! An answer in the making, as a connection waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use super::relay::{self, ResponseBody};
use super::wait::{self, Stage};
use crate::drains::TenantDrains;

/// A request's future. Where it is silent for too long, the answer is begun, and what is left of the
/// future goes with its body.
///
/// Dropped, the caller has gone: so is the future, or it goes on in the background where the request is
/// one whose costs shall be known.
pub struct Answering<F>
where
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    /// `None`: it is done, or has gone elsewhere.
    answer: Option<Pin<Box<F>>>,
    drains: Option<TenantDrains>,
}

impl<F> Answering<F>
where
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    /// Takes a request's future. Boxed: it would be moved several times before it begins, and is gone
    /// once the answer is on its way.
    pub fn new(answer: F) -> Self {
        Self {
            answer: Some(Box::pin(answer)),
            drains: None,
        }
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<ResponseBody>> {
        let Some(answer) = &mut self.answer else {
            return Poll::Pending;
        };
        let (polled, told) = wait::poll(Stage::Unanswered, answer.as_mut(), cx);
        if polled.is_ready() {
            self.answer = None;
            return polled;
        }
        if let Some(drains) = told.drains {
            self.drains = drains;
        }
        let Some(opening) = told.opening else {
            return Poll::Pending;
        };
        match self.answer.take() {
            Some(rest) => Poll::Ready(relay::begin(*opening, rest, self.drains.take())),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Answering<F>
where
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    fn drop(&mut self) {
        if let (Some(rest), Some(drains)) = (self.answer.take(), self.drains.take())
            && !std::thread::panicking()
        {
            drains.spawn(relay::finish(rest));
        }
    }
}
