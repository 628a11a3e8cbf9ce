//! HTTP/1.1 without tasks of its own: which connections are used again, and that no wake is lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::connect::Connect;
use super::*;

/// A server that counts its connections and those closed, and answers each request by a script.
struct Server {
    address: SocketAddr,
    opened: Arc<AtomicUsize>,
    closed: Arc<tokio::sync::Semaphore>,
}

impl Server {
    async fn start(seed: u64, answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            opened: Arc::default(),
            closed: Arc::new(tokio::sync::Semaphore::new(0)),
        };
        let (opened, closed) = (server.opened.clone(), server.closed.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let at = opened.fetch_add(1, Ordering::Relaxed) as u64;
                let closed = closed.clone();
                tokio::spawn(async move {
                    serve(stream, Dice(seed + at), answers).await;
                    closed.add_permits(1);
                });
            }
        });
        server
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    fn origin(&self) -> Arc<Origin> {
        Arc::new(Origin::new(Arc::new(Connect::Endpoint)))
    }

    /// Sends a request of this many bytes.
    async fn ask(&self, origin: &Arc<Origin>, bytes: usize) -> Response<Arrived> {
        let piece = Bytes::from(vec![b'x'; bytes]);
        let mut request = Request::new(PiecesBody::new(SmallVec::from_iter([piece])));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("http://{}/", self.address).parse().unwrap();
        let mut sending = Sending::new(Some(origin.clone()), request, true);
        sending.connected(None).await.unwrap();
        sending.answer().await.unwrap()
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Reads each request and writes an answer, in parts cut anywhere, until the other end closes.
async fn serve(mut stream: TcpStream, mut dice: Dice, answers: &[&str]) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut seen = Vec::new();
        let whole = loop {
            let head = memchr::memmem::find(&seen, b"\r\n\r\n").map(|end| end + 4);
            if let Some(head) = head {
                let text = String::from_utf8_lossy(&seen[..head]).to_lowercase();
                let length = text.split("content-length: ").nth(1);
                let length = length.and_then(|rest| rest.split('\r').next());
                break head + length.map_or(0, |it| it.parse::<usize>().unwrap());
            }
            match stream.read(&mut buffer).await {
                Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        };
        while seen.len() < whole {
            match stream.read(&mut buffer).await {
                Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        let mut answer = answers[dice.roll(answers.len() as u64) as usize].as_bytes();
        while !answer.is_empty() {
            let cut = 1 + dice.roll(answer.len() as u64) as usize;
            if stream.write_all(&answer[..cut]).await.is_err() {
                return;
            }
            answer = &answer[cut..];
            match dice.roll(3) {
                0 => tokio::time::sleep(Duration::from_micros(dice.roll(500))).await,
                1 => tokio::task::yield_now().await,
                _ => {}
            }
        }
    }
}

async fn read(answer: Response<Arrived>) -> usize {
    let mut body = super::super::body::AnswerBody::Http(answer.into_body());
    let mut length = 0;
    while let Some(chunk) = poll_fn(|cx| body.poll_chunk(cx)).await {
        length += chunk.unwrap().len();
    }
    length
}

const SIZED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn a_connection_whose_answer_was_read_is_used_again() {
    for answer in [&[SIZED], &[CHUNKED]] {
        let server = Server::start(1, answer).await;
        let origin = server.origin();
        for _ in 0..5 {
            assert_eq!(read(server.ask(&origin, 10).await).await, 5);
        }
        assert_eq!(server.opened(), 1);
    }
}

#[tokio::test]
async fn an_answer_without_a_body_gives_its_connection_back_although_nobody_reads() {
    let server = Server::start(2, &[EMPTY]).await;
    let origin = server.origin();
    for _ in 0..5 {
        drop(server.ask(&origin, 10).await);
    }
    assert_eq!(server.opened(), 1);
}

#[tokio::test]
async fn a_connection_whose_answer_was_read_half_is_closed() {
    let server = Server::start(3, &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]).await;
    let origin = server.origin();
    for at in 1..=3 {
        drop(server.ask(&origin, 10).await);
        server.closed.acquire().await.unwrap().forget();
        assert_eq!(server.opened(), at);
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let server = Server::start(4, &["HTTP/1.1 200 "]).await;
    let origin = server.origin();
    let asked = tokio::time::timeout(Duration::from_millis(50), server.ask(&origin, 10)).await;
    assert!(asked.is_err());
    server.closed.acquire().await.unwrap().forget();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_is_lost_however_bytes_are_cut_and_delayed() {
    let server = Arc::new(Server::start(5, &[SIZED, CHUNKED]).await);
    let origin = server.origin();
    let tasks = (0..8).map(|at| {
        let (server, origin) = (server.clone(), origin.clone());
        tokio::spawn(async move {
            let mut dice = Dice(at);
            for _ in 0..100 {
                // Some are more than the sockets hold.
                let bytes = match dice.roll(20) {
                    0 => 8 << 20,
                    _ => dice.roll(50_000) as usize,
                };
                let answer = server.ask(&origin, bytes).await;
                if dice.roll(10) > 0 {
                    assert_eq!(read(answer).await, 5);
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}
