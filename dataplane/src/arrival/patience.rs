//! How long a caller is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// How long a caller may take nothing; the timer sleeps only while it does not.
#[derive(Debug)]
pub struct Patience {
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    is_tried: bool,
}

impl Patience {
    /// Nothing is waited for yet; without a limit, for ever.
    pub fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            timer: None,
            is_tried: false,
        }
    }

    /// Whether something is waited for to be taken.
    pub fn is_tried(&self) -> bool {
        self.is_tried
    }

    /// Something was taken.
    pub fn rest(&mut self) {
        self.is_tried = false;
    }

    /// Nothing is taken just now; ready once that lasted too long.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.is_tried {
            self.is_tried = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}
