//! Who is waited for, and for how long. Time is paused; the pipe is in memory.

use bytes::Bytes;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";

struct Served {
    client: DuplexStream,
    draining: CancellationToken,
    cut: CancellationToken,
    task: JoinHandle<()>,
}

fn serving() -> Served {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let draining = CancellationToken::new();
    let cut = CancellationToken::new();
    let answer = |_| async { Response::new(Empty::<Bytes>::new()) };
    let task = tokio::spawn(serve(server, answer, draining.clone(), cut.clone()));
    Served {
        client,
        draining,
        cut,
        task,
    }
}

/// Reads the head of an answer.
async fn answered(client: &mut DuplexStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(client.read_u8().await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_finish_a_first_head_is_let_go() {
    let began = Instant::now();
    let mut served = serving();
    served.client.write_all(&REQUEST[..10]).await.unwrap();
    served.task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), HEADER_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_outlives_the_pools_of_clients() {
    let mut served = serving();
    served.client.write_all(REQUEST).await.unwrap();
    answered(&mut served.client).await;
    tokio::time::advance(Duration::from_secs(91)).await;
    served.client.write_all(REQUEST).await.unwrap();
    answered(&mut served.client).await;
    served.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_ends_when_drained() {
    let began = Instant::now();
    let mut served = serving();
    served.client.write_all(REQUEST).await.unwrap();
    answered(&mut served.client).await;
    served.draining.cancel();
    served.task.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn cutting_ends_at_once() {
    let began = Instant::now();
    let served = serving();
    served.cut.cancel();
    served.task.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}
