//! What ends one attempt before its time: a timeout by its name (first token, idle or total), or a
//! provider that is blocked.
//!
//! (To connect is the pool's, to write is the listener's.) One timer serves
//! all, and the heartbeat with them: it sleeps until the earliest deadline that it knows of and looks again
//! when it wakes, so that a chunk costs a look at the clock and no timer.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::heartbeat::Heartbeat;
use crate::request::error::RequestError;
use crate::request::wait;
use crate::store::view::{Halt, TimeoutsView};

/// The timeouts of one attempt, and whether its provider is blocked.
pub struct Clocks {
    timeouts: TimeoutsView,
    started: Instant,
    /// When the request's own time ends.
    deadline: Option<Instant>,
    /// Of the attempt up to the first content of a stream, or the end of a whole answer.
    of_attempt: Option<Duration>,
    phase: Phase,
    /// How the caller hears that it still lives; `None`: it does not.
    heartbeat: Option<Heartbeat>,
    timer: Option<Pin<Box<Sleep>>>,
    blocked: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What is being waited for, and since when.
#[derive(Clone, Copy)]
enum Phase {
    /// Nothing that has a timeout of its own.
    Untimed,
    FirstToken(Instant),
    Next(Instant),
}

/// Why an attempt has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// A timeout has passed.
    Expired(Expired),
    /// The provider was blocked.
    Blocked,
}

/// A timeout that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// As resources call it.
    pub name: &'static str,
    /// Its length.
    pub after: Duration,
}

impl Clocks {
    /// Starts an attempt, which ends when `blocked` is cancelled.
    pub fn start(timeouts: TimeoutsView, blocked: CancellationToken) -> Self {
        Self {
            timeouts,
            started: Instant::now(),
            deadline: None,
            of_attempt: None,
            phase: Phase::Untimed,
            heartbeat: None,
            timer: None,
            blocked: Box::pin(blocked.cancelled_owned()),
        }
    }

    /// Ends the attempt's total time with the request's.
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Bounds the attempt as long as another could follow it.
    pub fn within_attempt(mut self, bound: Option<Duration>) -> Self {
        self.of_attempt = bound;
        self
    }

    /// Lets the caller hear of it while nothing comes.
    pub fn heard_by(mut self, heartbeat: Option<Heartbeat>) -> Self {
        self.heartbeat = heartbeat.map(|heartbeat| heartbeat.from(self.started));
        self
    }

    /// The answer has begun: no other attempt follows.
    pub fn commit(&mut self) {
        self.of_attempt = None;
    }

    /// The request is sent; its first content is awaited.
    pub fn await_first_token(&mut self) {
        self.phase = Phase::FirstToken(Instant::now());
    }

    /// Something came; the next piece is awaited.
    pub fn await_next(&mut self) {
        self.phase = Phase::Next(Instant::now());
    }

    /// What came goes on to the caller.
    pub fn heard(&mut self) {
        if let (Some(heartbeat), Phase::Next(since)) = (&mut self.heartbeat, self.phase) {
            heartbeat.heard(since);
        }
    }

    /// Whether nothing came for so long that the caller is to be sent something; asked, it is.
    pub fn takes_beat(&mut self) -> bool {
        self.heartbeat.as_mut().is_some_and(Heartbeat::take)
    }

    /// Nothing is awaited: only the whole time counts, until something is.
    pub fn rest(&mut self) {
        self.phase = Phase::Untimed;
    }

    /// Waits for a future, but not past any timeout or block. Cancel-safe if the future is.
    pub async fn within<F: Future>(&mut self, future: F) -> Result<F::Output, Interruption> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.poll_blocked(cx).is_ready() {
                return Poll::Ready(Err(Interruption::Blocked));
            }
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => {
                    let expired = self.poll_expired(cx);
                    self.pass_beat_on();
                    expired.map(Interruption::Expired).map(Err)
                }
            }
        })
        .await
    }

    /// Tells who waits for an answer of which nothing has come that a beat is due.
    pub fn pass_beat_on(&mut self) {
        if self.takes_beat() {
            wait::beat();
        }
    }

    /// Ready once the provider is blocked. Asked before a piece is looked for: a provider that
    /// always has one must end as well.
    pub fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.blocked.as_mut().poll(cx)
    }

    /// Ready once a timeout has passed. Keeps the heartbeat's time as well.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let expiry = self.earliest();
            let beat = self.heartbeat.as_ref().and_then(Heartbeat::next);
            let deadlines = expiry.map(|(deadline, _)| deadline).into_iter().chain(beat);
            let Some(deadline) = deadlines.min() else {
                return Poll::Pending;
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if let Some((_, expired)) = expiry.filter(|(deadline, _)| now >= *deadline) {
                return Poll::Ready(expired);
            }
            if now < deadline {
                timer.as_mut().reset(deadline);
            } else if let Some(heartbeat) = &mut self.heartbeat {
                heartbeat.keep_time(now);
            }
        }
    }

    fn earliest(&self) -> Option<(Instant, Expired)> {
        let total = bound(self.started, self.timeouts.total, "total").map(|(end, total)| {
            let end = self.deadline.map_or(end, |deadline| deadline.min(end));
            (end, total)
        });
        let phase = match self.phase {
            Phase::Untimed => None,
            Phase::FirstToken(since) => bound(since, self.timeouts.first_token, "firstToken"),
            Phase::Next(since) => bound(since, self.timeouts.idle, "idle"),
        };
        let attempt = bound(self.started, self.of_attempt, "perAttemptTimeout");
        total
            .into_iter()
            .chain(attempt)
            .chain(phase)
            .min_by_key(|(deadline, _)| *deadline)
    }
}

fn bound(
    since: Instant,
    after: Option<Duration>,
    name: &'static str,
) -> Option<(Instant, Expired)> {
    let after = after?;
    Some((since.checked_add(after)?, Expired { name, after }))
}

impl From<Interruption> for RequestError {
    fn from(interruption: Interruption) -> Self {
        match interruption {
            Interruption::Expired(expired) => Self::timeout(expired.name, expired.after),
            Interruption::Blocked => Self::provider_halted(Halt::Blocked),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn seconds(first_token: u64, idle: u64, total: u64) -> Clocks {
        let bound = |seconds| (seconds > 0).then(|| Duration::from_secs(seconds));
        let timeouts = TimeoutsView {
            connect: None,
            first_token: bound(first_token),
            idle: bound(idle),
            total: bound(total),
        };
        Clocks::start(timeouts, CancellationToken::new())
    }

    async fn expires(clocks: &mut Clocks) -> (&'static str, u64) {
        let began = Instant::now();
        match clocks.within(pending::<()>()).await {
            Err(Interruption::Expired(expired)) => (expired.name, began.elapsed().as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_timeout() {
        let mut clocks = seconds(5, 2, 60);
        clocks.await_first_token();
        assert_eq!(expires(&mut clocks).await, ("firstToken", 5));
        clocks.await_next();
        assert_eq!(expires(&mut clocks).await, ("idle", 2));
        assert_eq!(expires(&mut seconds(5, 2, 60)).await, ("total", 60));
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_starts_the_idle_timeout_anew() {
        let mut clocks = seconds(0, 2, 0);
        for _ in 0..5 {
            clocks.await_next();
            let piece = tokio::time::sleep(Duration::from_millis(1500));
            assert_eq!(clocks.within(piece).await, Ok(()));
        }
        clocks.await_next();
        assert_eq!(expires(&mut clocks).await, ("idle", 2));
    }

    #[tokio::test(start_paused = true)]
    async fn total_ends_even_what_keeps_coming() {
        let mut clocks = seconds(0, 2, 3);
        clocks.await_next();
        assert_eq!(
            clocks
                .within(tokio::time::sleep(Duration::from_secs(1)))
                .await,
            Ok(())
        );
        clocks.await_next();
        assert_eq!(
            clocks
                .within(tokio::time::sleep(Duration::from_secs(1)))
                .await,
            Ok(())
        );
        clocks.await_next();
        assert_eq!(expires(&mut clocks).await, ("total", 1));
    }

    #[tokio::test]
    async fn a_block_ends_what_waits_and_what_never_has_to() {
        let blocked = CancellationToken::new();
        let unbounded = seconds(0, 0, 0).timeouts;
        let mut waiting = Clocks::start(unbounded, blocked.child_token());
        let mut busy = Clocks::start(unbounded, blocked.child_token());
        assert_eq!(busy.within(std::future::ready(1)).await, Ok(1));
        let (waited, ()) = tokio::join!(waiting.within(pending::<()>()), async {
            blocked.cancel();
        });
        assert_eq!(waited, Err(Interruption::Blocked));
        let ready = busy.within(std::future::ready(2)).await;
        assert_eq!(ready, Err(Interruption::Blocked));
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_told_in_time_and_ends_nothing() {
        let began = Instant::now();
        let every = Duration::from_secs(15);
        let heartbeat = Some(Heartbeat::new(every, began));
        for (first_token, beats) in [(0, 3), (40, 2)] {
            let mut clocks = seconds(first_token, 0, 0).heard_by(heartbeat);
            clocks.await_first_token();
            let began = Instant::now();
            let silence = tokio::time::sleep(Duration::from_secs(50));
            let mut waiting = pin!(clocks.within(silence));
            let mut heard = Vec::new();
            let ended = poll_fn(|cx| {
                let (polled, told) = wait::poll(wait::Stage::Begun, waiting.as_mut(), cx);
                if told.is_beat {
                    heard.push(began.elapsed().as_secs());
                }
                polled
            });
            assert_eq!(ended.await.is_ok(), first_token == 0);
            assert_eq!(heard.len(), beats, "{heard:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_bound_is_no_timeout() {
        let mut clocks = seconds(0, 0, 0);
        clocks.await_first_token();
        let long = tokio::time::sleep(Duration::from_secs(1_000_000));
        assert_eq!(clocks.within(long).await, Ok(()));
    }
}
