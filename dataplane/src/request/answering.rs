//! An answer in the making, as a connection waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use super::relay::{self, ResponseBody};
use super::wait::{self, Stage};

/// A request's future. Where it is silent for too long, the answer is begun, and what is left of the
/// future goes with its body.
///
/// Cancel-safe as the future is: dropped, so is that.
pub struct Answering<F>(Option<Pin<Box<F>>>);

impl<F> Answering<F> {
    /// Takes a request's future. Boxed: it would be moved several times before it begins, and is gone
    /// once the answer is on its way.
    pub fn new(answer: F) -> Self {
        Self(Some(Box::pin(answer)))
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<ResponseBody>> {
        let Some(answer) = &mut self.0 else {
            return Poll::Pending;
        };
        let (polled, told) = wait::poll(Stage::Unanswered, answer.as_mut(), cx);
        if polled.is_ready() {
            self.0 = None;
            return polled;
        }
        let Some(opening) = told.opening else {
            return Poll::Pending;
        };
        match self.0.take() {
            Some(rest) => Poll::Ready(relay::begin(*opening, rest)),
            None => Poll::Pending,
        }
    }
}
