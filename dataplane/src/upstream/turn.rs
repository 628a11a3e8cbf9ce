//! Futures of one task that wake each other, polled until none of them has anything left to do.
//!
//! hyper's halves of a connection tell each other by wakers. Where one task polls both, waking that
//! task for it would have it run once more for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Nobody polls: who is woken wakes the task.
const RESTS: u8 = 0;
/// They are polled.
const RUNS: u8 = 1;
/// They are polled, and one was woken meanwhile: once more.
const AGAIN: u8 = 2;

/// Rounds without a pause: then others of the thread have their turn.
const ROUNDS: usize = 16;

/// What a group of futures is polled by.
pub(super) struct Turns {
    call: Arc<Call>,
    waker: Waker,
}

struct Call {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Turns {
    pub(super) fn new() -> Self {
        let call = Arc::new(Call {
            state: AtomicU8::new(RESTS),
            task: AtomicWaker::new(),
        });
        Self {
            waker: call.clone().into(),
            call,
        }
    }

    /// Polls until it is ready, or nothing of it was woken by itself.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let state = &self.call.state;
        self.call.task.register(cx.waker());
        let mut own = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            state.store(RUNS, Ordering::Release);
            if let Poll::Ready(output) = poll(&mut own) {
                // Whoever polls next looks at all of them.
                state.store(RESTS, Ordering::Release);
                return Poll::Ready(output);
            }
            let rests = state.compare_exchange(RUNS, RESTS, Ordering::AcqRel, Ordering::Acquire);
            if rests.is_ok() {
                return Poll::Pending;
            }
        }
        state.store(RESTS, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self
            .state
            .compare_exchange(RUNS, AGAIN, Ordering::AcqRel, Ordering::Acquire);
        if noted == Err(RESTS) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_wakes_itself_is_polled_again_and_the_task_is_left_alone() {
        let (tell, mut told) = oneshot::channel();
        let mut tell = Some(tell);
        let turns = Turns::new();
        let counted = Arc::new(Counted::default());
        let waker = counted.clone().into();
        let polled = turns.poll(&mut Context::from_waker(&waker), |cx| {
            // Waits first, is told then.
            let heard = Pin::new(&mut told).poll(cx);
            if let Some(tell) = tell.take() {
                tell.send(7).unwrap();
            }
            heard
        });
        assert_eq!(polled, Poll::Ready(Ok(7)));
        assert_eq!(counted.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_woken_while_it_rests_wakes_the_task() {
        let (tell, mut told) = oneshot::channel();
        let turns = Turns::new();
        let counted = Arc::new(Counted::default());
        let waker = counted.clone().into();
        let mut cx = Context::from_waker(&waker);
        let mut poll = |cx: &mut Context<'_>| turns.poll(cx, |cx| Pin::new(&mut told).poll(cx));
        assert!(poll(&mut cx).is_pending());
        tell.send(()).unwrap();
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut cx).is_ready());
    }

    #[test]
    fn what_never_rests_leaves_the_thread_to_others() {
        let turns = Turns::new();
        let counted = Arc::new(Counted::default());
        let waker = counted.clone().into();
        let mut polls = 0;
        let polled = turns.poll(&mut Context::from_waker(&waker), |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((polls, counted.0.load(Ordering::Relaxed)), (ROUNDS, 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_from_another_thread_is_missed() {
        let (send, mut receive) = mpsc::unbounded_channel();
        let sending = tokio::spawn(async move {
            for number in 0..20_000_u32 {
                send.send(number).unwrap();
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        let turns = Turns::new();
        let mut expected = 0;
        while let Some(number) = poll_fn(|cx| turns.poll(cx, |cx| receive.poll_recv(cx))).await {
            assert_eq!(number, expected);
            expected += 1;
        }
        assert_eq!(expected, 20_000);
        sending.await.unwrap();
    }
}
