//! Who is waited for, and for how long. Time is paused; the pipe is in memory.

use bytes::Bytes;
use http_body::Frame;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";

struct Served {
    client: DuplexStream,
    stages: Stages,
    task: JoinHandle<()>,
}

fn serving() -> Served {
    serving_with(|_| async { Response::new(Empty::<Bytes>::new()) })
}

fn serving_with<A, F, B>(answer: A) -> Served
where
    A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    let (client, server) = tokio::io::duplex(64 * 1024);
    let stages = Stages {
        leaving: CancellationToken::new(),
        draining: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let conduct = Conduct {
        stages: stages.clone(),
        streams: 256,
        client_write: Some(Duration::from_secs(60)),
        uptake: Uptake::default(),
        watch: Watch::nothing(),
        metrics: Arc::default(),
    };
    let task = tokio::spawn(serve(server, answer, conduct));
    Served {
        client,
        stages,
        task,
    }
}

impl Served {
    fn drain(&self) {
        self.stages.leaving.cancel();
        self.stages.draining.cancel();
    }
}

/// Reads the head of an answer.
async fn answered(client: &mut DuplexStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(client.read_u8().await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 200"));
    String::from_utf8(read).unwrap()
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
    let mut served = serving();
    served.client.write_all(REQUEST).await.unwrap();
    answered(&mut served.client).await;
    tokio::time::advance(LINGER).await;
    let began = Instant::now();
    served.drain();
    served.task.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_on_the_way_is_answered_when_drained() {
    let mut served = serving();
    served.drain();
    tokio::time::advance(LINGER / 2).await;
    served.client.write_all(REQUEST).await.unwrap();
    let head = answered(&mut served.client).await;
    assert!(head.contains("connection: close"), "{head}");
    served.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_next_request_after_a_long_answer_is_answered_when_drained() {
    let (end, ended) = tokio::sync::watch::channel(false);
    let mut served = serving_with(move |_| {
        let mut ended = ended.clone();
        async move {
            let end = async move { ended.wait_for(|ended| *ended).await.map(drop) };
            let end = Box::pin(futures::stream::once(end));
            let frames = futures::StreamExt::map(end, |_| {
                Ok::<_, Infallible>(Frame::data(Bytes::from("end")))
            });
            Response::new(http_body_util::StreamBody::new(frames))
        }
    });
    served.client.write_all(REQUEST).await.unwrap();
    let head = answered(&mut served.client).await;
    assert!(!head.contains("connection: close"), "{head}");
    served.drain();
    tokio::time::advance(10 * LINGER).await;
    end.send_replace(true);
    let mut rest = [0; b"3\r\nend\r\n0\r\n\r\n".len()];
    served.client.read_exact(&mut rest).await.unwrap();
    served.client.write_all(REQUEST).await.unwrap();
    let head = answered(&mut served.client).await;
    assert!(head.contains("connection: close"), "{head}");
    served.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_sends_nothing_more_is_let_go_soon_when_drained() {
    let began = Instant::now();
    let mut served = serving();
    served.client.write_all(REQUEST).await.unwrap();
    answered(&mut served.client).await;
    served.drain();
    served.task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), LINGER.as_secs());
}

#[tokio::test(start_paused = true)]
async fn cutting_ends_at_once() {
    let began = Instant::now();
    let served = serving();
    served.stages.cut.cancel();
    served.task.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}
