//! A future that is polled when it was woken, and not whenever its task is: what rarely happens costs
//! what often happens nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Wraps what rarely has something to do.
pub(super) struct Seldom<F> {
    future: F,
    call: Arc<Call>,
    waker: Waker,
}

struct Call {
    is_due: AtomicBool,
    task: AtomicWaker,
}

impl<F> Seldom<F> {
    pub(super) fn new(future: F) -> Self {
        let call = Arc::new(Call {
            is_due: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            future,
            waker: call.clone().into(),
            call,
        }
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F: Future + Unpin> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Before the look, so that a call in between is not missed.
        this.call.task.register(cx.waker());
        if !this.call.is_due.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut own = Context::from_waker(&this.waker);
        Pin::new(&mut this.future).poll(&mut own)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use futures::task::noop_waker;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn it_is_polled_once_for_each_time_that_it_was_woken() {
        let (tell, mut told) = oneshot::channel::<u32>();
        let mut polls = 0;
        let mut seldom = pin!(Seldom::new(poll_fn(|cx| {
            polls += 1;
            Pin::new(&mut told).poll(cx)
        })));
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..5 {
            assert!(seldom.as_mut().poll(&mut cx).is_pending());
        }
        tell.send(7).unwrap();
        assert_eq!(seldom.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
        assert_eq!(polls, 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_is_missed() {
        for _ in 0..2000 {
            let (tell, told) = oneshot::channel();
            let telling = tokio::spawn(async move { tell.send(1) });
            let busy = async {
                loop {
                    tokio::task::yield_now().await;
                }
            };
            let heard = tokio::select! {
                heard = Seldom::new(told) => heard,
                () = busy => unreachable!(),
            };
            assert_eq!(heard, Ok(1));
            telling.await.unwrap().unwrap();
        }
    }
}
