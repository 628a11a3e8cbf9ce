//! Senders of several paces. Time is paused.

use std::convert::Infallible;
use std::time::Duration;

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use tokio::time::sleep;

use super::*;

/// A body of `count` pieces, each `every` after the one before.
fn sending(
    count: usize,
    bytes: usize,
    every: Duration,
) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
    let pieces = stream::iter(0..count).then(move |_| async move {
        sleep(every).await;
        Ok(Frame::data(Bytes::from(vec![b'x'; bytes])))
    });
    StreamBody::new(Box::pin(pieces))
}

/// What came of it, and whether it was too slow.
async fn read<B>(body: B, pause: Duration) -> (usize, bool)
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
{
    let mut body = Paced::new(body);
    let pace = body.pace();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            assert!(pace.was_too_slow());
            return (seen, true);
        };
        seen += frame.into_data().unwrap().len();
        sleep(pause).await;
    }
    assert!(!pace.was_too_slow());
    (seen, false)
}

const NO_PAUSE: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn a_sender_that_keeps_up_is_read_to_its_end() {
    let body = sending(60, 1024, Duration::from_secs(1));
    assert_eq!(read(body, NO_PAUSE).await, (60 * 1024, false));
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_is_given_up_after_two_windows() {
    let began = Instant::now();
    let body = sending(60, 100, Duration::from_secs(1));
    let (seen, is_too_slow) = read(body, NO_PAUSE).await;
    assert!(is_too_slow && seen <= 2000, "{seen}");
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_silent_sender_is_given_up_after_two_windows() {
    let began = Instant::now();
    let body = sending(1, 1, Duration::from_secs(3600));
    assert_eq!(read(body, NO_PAUSE).await, (0, true));
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_not_blamed_for_a_slow_reader() {
    let body = sending(60, 1, Duration::ZERO);
    assert_eq!(read(body, Duration::from_secs(60)).await, (60, false));
}
