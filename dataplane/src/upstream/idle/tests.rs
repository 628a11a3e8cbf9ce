//! Which idle connections are used, and which are closed.

use std::future::poll_fn;

use http::Request;
use http_body_util::BodyExt;
use smallvec::SmallVec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::body::PiecesBody;
use super::super::kept::{Kept, Stream};
use super::*;

/// A connection that has served once, and its other end.
async fn served() -> (Driven, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let mut far = far.unwrap().0;
    let kept = Kept::new(Stream::Plain(near.unwrap()), Arc::default());
    let mut line = Driven::begin(kept).await.unwrap();
    let request = Request::new(PiecesBody::new(SmallVec::new()));
    let mut answering = line.send(request);
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let answer = poll_fn(|cx| line.poll_answer(cx, &mut answering)).await;
    let body = answer.ok().unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "");
    let mut asked = [0; 1024];
    assert!(far.read(&mut asked).await.unwrap() > 0);
    (line, far)
}

/// Lets the sockets' news reach this task.
async fn settle(far: &TcpStream) {
    far.writable().await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn is_closed(far: &mut TcpStream) -> bool {
    !matches!(far.read(&mut [0; 16]).await, Ok(1..))
}

fn address(driven: &Driven) -> usize {
    driven.address()
}

#[tokio::test]
async fn the_one_used_last_is_used_next() {
    let idle = Arc::<Idle>::default();
    let ((first, _far), (second, _other)) = (served().await, served().await);
    let expected = [address(&second), address(&first)];
    idle.put(first);
    idle.put(second);
    let taken = [idle.take().unwrap(), idle.take().unwrap()];
    assert_eq!(taken.each_ref().map(address), expected);
    assert!(idle.take().is_none());
}

#[tokio::test]
async fn a_connection_that_its_peer_has_closed_is_not_used() {
    let idle = Arc::<Idle>::default();
    let ((open, far), (closed, other)) = (served().await, served().await);
    let expected = address(&open);
    idle.put(open);
    idle.put(closed);
    drop(other);
    settle(&far).await;
    assert_eq!(address(&idle.take().unwrap()), expected);
}

#[tokio::test]
async fn a_connection_whose_peer_speaks_unasked_is_closed() {
    let idle = Arc::<Idle>::default();
    let (line, mut far) = served().await;
    idle.put(line);
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    settle(&far).await;
    assert!(idle.take().is_none());
    assert!(is_closed(&mut far).await);
}

#[tokio::test(start_paused = true)]
async fn who_idles_too_long_is_closed_and_the_sweeping_ends_with_the_last() {
    let idle = Arc::<Idle>::default();
    let (line, mut far) = served().await;
    idle.put(line);
    tokio::time::sleep(IDLE_CONNECTION - SWEEP).await;
    assert_eq!(idle.0.lock().connections.len(), 1);
    tokio::time::sleep(SWEEP * 3).await;
    assert!(is_closed(&mut far).await);
    assert!(!idle.0.lock().is_swept);
    let (line, _far) = served().await;
    idle.put(line);
    assert!(idle.0.lock().is_swept);
}

#[tokio::test(start_paused = true)]
async fn one_that_its_peer_has_closed_is_swept_out_before_its_time() {
    let idle = Arc::<Idle>::default();
    let ((open, far), (closed, other)) = (served().await, served().await);
    idle.put(closed);
    idle.put(open);
    drop(other);
    settle(&far).await;
    tokio::time::sleep(SWEEP * 2).await;
    assert_eq!(idle.0.lock().connections.len(), 1);
}

#[tokio::test]
async fn without_those_who_would_use_them_all_are_closed() {
    let idle = Arc::<Idle>::default();
    let (line, mut far) = served().await;
    idle.put(line);
    drop(idle);
    assert!(is_closed(&mut far).await);
}
