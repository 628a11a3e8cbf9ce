//! What an answer in the making knows of who waits for it, and tells them before it is there.
//!
//! A request's future hands over its result alone. What comes before that is left here for whoever
//! polls it: the caller's connection, the body of an answer that was begun without it, or a task once
//! the caller has gone. It lasts for one poll. Outside of one, nobody waits and nothing is told.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue};

use crate::arrival::Uptake;
use crate::drains::TenantDrains;

tokio::task_local! {
    static WAIT: Wait;
}

/// What the caller has seen of the answer that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing.
    Unanswered,
    /// A head that says 200, and comments.
    Begun,
    /// It has gone; the answer is read for what it costs.
    Abandoned,
}

/// What a stream is begun with while there is nothing of it.
pub struct Opening {
    pub headers: HeaderMap,
    /// The request's.
    pub id: HeaderValue,
    pub uptake: Uptake,
}

/// What one poll left.
#[derive(Default)]
pub struct Told {
    /// It was silent for so long that the caller should be sent something.
    pub is_beat: bool,
    /// The answer is to be begun with this.
    pub opening: Option<Box<Opening>>,
    /// Where that has changed: what reads the answer on if the caller goes now.
    pub drains: Option<Option<TenantDrains>>,
}

struct Wait {
    stage: Stage,
    is_beat: Cell<bool>,
    opening: Cell<Option<Box<Opening>>>,
    drains: Cell<Option<Option<TenantDrains>>>,
}

/// Polls an answer for who is at this stage.
pub fn poll<F: Future + ?Sized>(
    stage: Stage,
    answer: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> (Poll<F::Output>, Told) {
    let wait = Wait {
        stage,
        is_beat: Cell::default(),
        opening: Cell::default(),
        drains: Cell::default(),
    };
    WAIT.sync_scope(wait, || {
        let polled = answer.poll(cx);
        let told = WAIT.with(|wait| Told {
            is_beat: wait.is_beat.take(),
            opening: wait.opening.take(),
            drains: wait.drains.take(),
        });
        (polled, told)
    })
}

/// Tells that there was silence for too long.
pub fn beat() {
    let _ = WAIT.try_with(|wait| wait.is_beat.set(true));
}

/// Tells what reads the answer on if the caller goes now; `None`: then it is cancelled.
pub fn drain_by(drains: Option<TenantDrains>) {
    let _ = WAIT.try_with(|wait| wait.drains.set(Some(drains)));
}

/// Polls what an answer is made by. Where it was silent for too long and the caller has seen nothing,
/// the answer is begun with what `open` gives, if it gives something.
pub fn poll_silent<F: Future>(
    making: Pin<&mut F>,
    open: impl FnOnce() -> Option<Opening>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    let polled = making.poll(cx);
    if polled.is_pending() {
        let _ = WAIT.try_with(|wait| {
            if wait.stage == Stage::Unanswered && wait.is_beat.get() {
                wait.opening.set(open().map(Box::new));
            }
        });
    }
    polled
}

/// Whether the caller has seen the head of an answer, which cannot be another one any more.
pub fn is_begun() -> bool {
    is_at(Stage::Begun)
}

/// Whether nobody waits for an answer any more.
pub fn is_abandoned() -> bool {
    is_at(Stage::Abandoned)
}

fn is_at(stage: Stage) -> bool {
    WAIT.try_with(|wait| wait.stage == stage).unwrap_or(false)
}
