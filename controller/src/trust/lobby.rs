//! Connections that have shaken hands and shown no accepted token yet: not many, and not for long.
//!
//! A data plane shows its token with its first words. Whoever does not is ended after
//! [`Bounds::limit`], and before that when [`Bounds::most`] others have come since: the newest have
//! the best chance to be data planes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How many wait, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub most: usize,
    pub limit: Duration,
}

impl Default for Bounds {
    /// Each costs some 50 KB of buffers; a review takes up to 3 s, and the data plane gives up
    /// after 5 s.
    fn default() -> Self {
        Self {
            most: 1024,
            limit: Duration::from_secs(10),
        }
    }
}

/// Where they wait; cheap to clone.
#[derive(Clone)]
pub struct Lobby {
    bounds: Bounds,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// By number, so that the oldest comes first.
    guests: BTreeMap<u64, CancellationToken>,
}

/// Who is on a connection; goes with each of its requests.
#[derive(Clone)]
pub struct Visitor(Arc<Guest>);

struct Guest {
    lobby: Lobby,
    number: u64,
    remote: Option<SocketAddr>,
    is_let_in: AtomicBool,
}

/// Until a connection is let in or has to go.
pub struct Wait {
    visitor: Visitor,
    crowded_out: Pin<Box<WaitForCancellationFutureOwned>>,
    limit: Pin<Box<Sleep>>,
}

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A token was accepted.
    LetIn,
    /// None was, for too long or with too many others about.
    SentAway,
}

impl Lobby {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiting: Arc::default(),
        }
    }

    /// Lets a connection wait; the oldest has to go if they are too many.
    pub fn enter(&self, remote: Option<SocketAddr>) -> (Visitor, Wait) {
        let leave = CancellationToken::new();
        let mut waiting = self.waiting.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.guests.insert(number, leave.clone());
        if waiting.guests.len() > self.bounds.most
            && let Some((_, oldest)) = waiting.guests.pop_first()
        {
            oldest.cancel();
        }
        drop(waiting);
        let visitor = Visitor(Arc::new(Guest {
            lobby: self.clone(),
            number,
            remote,
            is_let_in: AtomicBool::new(false),
        }));
        let wait = Wait {
            visitor: visitor.clone(),
            crowded_out: Box::pin(leave.cancelled_owned()),
            limit: Box::pin(tokio::time::sleep(self.bounds.limit)),
        };
        (visitor, wait)
    }

    fn forget(&self, number: u64) {
        self.waiting.lock().guests.remove(&number);
    }
}

impl Visitor {
    /// Where it comes from.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.0.remote
    }

    /// Lets it stay for as long as it likes.
    pub fn let_in(&self) {
        self.0.is_let_in.store(true, Ordering::Release);
        self.0.lobby.forget(self.0.number);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.lobby.forget(self.number);
    }
}

impl Future for Wait {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if self.visitor.0.is_let_in.load(Ordering::Acquire) {
            return Poll::Ready(Outcome::LetIn);
        }
        let is_over = self.crowded_out.as_mut().poll(cx).is_ready()
            || self.limit.as_mut().poll(cx).is_ready();
        match is_over {
            true => Poll::Ready(Outcome::SentAway),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn lobby(most: usize) -> Lobby {
        Lobby::new(Bounds {
            most,
            limit: Duration::from_secs(10),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn who_shows_no_token_has_to_go_in_time() {
        let (_visitor, mut wait) = lobby(4).enter(None);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!((&mut wait).now_or_never(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(wait.now_or_never(), Some(Outcome::SentAway));
    }

    #[tokio::test(start_paused = true)]
    async fn who_shows_one_stays() {
        let lobby = lobby(1);
        let (visitor, wait) = lobby.enter(None);
        visitor.let_in();
        let _others = [lobby.enter(None), lobby.enter(None)];
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(wait.now_or_never(), Some(Outcome::LetIn));
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_the_oldest_goes_and_who_left_takes_no_place() {
        let lobby = lobby(2);
        let (_first, mut of_first) = lobby.enter(None);
        let (_second, mut of_second) = lobby.enter(None);
        drop(lobby.enter(None));
        assert_eq!((&mut of_first).now_or_never(), Some(Outcome::SentAway));
        let (_third, mut of_third) = lobby.enter(None);
        assert_eq!((&mut of_second).now_or_never(), None);
        assert_eq!((&mut of_third).now_or_never(), None);
        let _fourth = lobby.enter(None);
        assert_eq!((&mut of_second).now_or_never(), Some(Outcome::SentAway));
        assert_eq!((&mut of_third).now_or_never(), None);
    }
}
