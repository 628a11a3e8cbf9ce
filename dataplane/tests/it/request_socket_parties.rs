//! Both parties of a Realtime session: a provider whose side of each socket the test plays, and
//! callers over HTTP/1.1 and HTTP/2. The frames are tungstenite's, not our own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use h2::ext::Protocol;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};
use tokio_util::task::AbortOnDropHandle;
use turnpike_snapshot::quota::Amount;

use super::request_gateway::{TestGateway, soon};
use super::request_world::{HOST, KEY, World, quota, upstream};

/// The request that opened a session, as the provider received it.
pub(super) type Asked = Request<()>;

/// A provider of Realtime; it stops when dropped.
pub(super) struct RealtimeProvider {
    pub(super) address: SocketAddr,
    sessions: mpsc::UnboundedReceiver<(Asked, Socket<TcpStream>)>,
    _server: AbortOnDropHandle<()>,
}

impl RealtimeProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (record, sessions) = mpsc::unbounded_channel();
        let server = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let record = record.clone();
                tokio::spawn(async move {
                    if let Some(session) = accept(stream).await {
                        let _ = record.send(session);
                    }
                });
            }
        };
        Self {
            address,
            sessions,
            _server: AbortOnDropHandle::new(tokio::spawn(server)),
        }
    }

    /// The base URL, as OpenAI's SDK takes it.
    pub(super) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next session that was opened, with the request for it.
    pub(super) async fn session(&mut self) -> (Asked, Socket<TcpStream>) {
        soon(self.sessions.recv()).await.unwrap()
    }
}

/// Chooses `realtime` where that is offered.
#[expect(clippy::result_large_err, reason = "tungstenite asks for this shape")]
async fn accept(stream: TcpStream) -> Option<(Asked, Socket<TcpStream>)> {
    let mut asked = None;
    let look = |request: &Asked, mut response: Response<()>| {
        asked = Some(request.clone());
        let offered = request.headers().get("sec-websocket-protocol");
        if offered.is_some_and(|offered| offered.to_str().unwrap().contains("realtime")) {
            let chosen = "realtime".parse().unwrap();
            response
                .headers_mut()
                .insert("sec-websocket-protocol", chosen);
        }
        Ok(response)
    };
    let socket = accept_hdr_async(stream, look).await.ok()?;
    Some((asked?, Socket(socket)))
}

/// One side of a session.
pub(super) struct Socket<S>(pub(super) WebSocketStream<S>);

/// How a side sees a session end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// By a frame that closes: its code and reason.
    Close(u16, String),
    /// Without a word.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) async fn say(&mut self, event: Value) {
        let text = Message::text(event.to_string());
        soon(self.0.send(text)).await.unwrap();
    }

    /// The next event.
    pub(super) async fn hear(&mut self) -> Value {
        loop {
            match soon(self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        soon(self.0.close(Some(frame))).await.unwrap();
    }

    /// Waits for the end; events before it are skipped.
    pub(super) async fn end(&mut self) -> Seen {
        let mut seen = Seen::Gone;
        loop {
            match soon(self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    seen = Seen::Close(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return seen,
            }
        }
    }

    /// Answers a response of this id, of these tokens.
    pub(super) async fn respond(&mut self, id: &str, input: u64, output: u64) {
        self.say(created(id)).await;
        self.say(done(id, input, output)).await;
    }
}

impl Socket<TcpStream> {
    /// Vanishes by a reset.
    pub(super) fn reset(self) {
        let stream = self.0.into_inner();
        stream.set_zero_linger().unwrap();
    }
}

pub(super) fn created(id: &str) -> Value {
    json!({"type": "response.created", "event_id": "e", "response": {"id": id}})
}

pub(super) fn done(id: &str, input: u64, output: u64) -> Value {
    let usage = json!({
        "total_tokens": input + output, "input_tokens": input, "output_tokens": output,
        "input_token_details": {"cached_tokens": 1},
    });
    let response = json!({"id": id, "status": "completed", "usage": usage});
    json!({"type": "response.done", "event_id": "e", "response": response})
}

/// A gateway to this provider, with a quota of tokens for each consumer.
pub(super) async fn gateway_to(provider: &RealtimeProvider, tokens: u64) -> TestGateway {
    let world = World::with(upstream("OpenAI", &provider.url()));
    TestGateway::start(world.limited(quota(Amount::Tokens(tokens)))).await
}

/// A request for a session with model `m` and Alice's key.
pub(super) fn asking() -> Request<()> {
    asking_for(
        "/v1/realtime?model=m",
        &[("authorization", &format!("Bearer {KEY}"))],
    )
}

pub(super) fn asking_for(target: &str, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = format!("ws://{HOST}{target}")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// Opens a session.
pub(super) async fn open(gateway: &TestGateway) -> Socket<TcpStream> {
    open_with(gateway, asking()).await.0
}

pub(super) async fn open_with(
    gateway: &TestGateway,
    request: Request<()>,
) -> (Socket<TcpStream>, HeaderMap) {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (socket, response) = soon(client_async(request, stream)).await.unwrap();
    (Socket(socket), response.headers().clone())
}

/// Asks for a session that is refused: status, headers, and the error.
pub(super) async fn refused(
    gateway: &TestGateway,
    request: Request<()>,
) -> (u16, HeaderMap, Value) {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    match soon(client_async(request, stream)).await {
        Err(Error::Http(response)) => {
            let (parts, body) = response.into_parts();
            let body = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
            (parts.status.as_u16(), parts.headers, body)
        }
        other => panic!("{other:?}"),
    }
}

/// A caller's connection over HTTP/2.
pub(super) struct Http2 {
    sender: h2::client::SendRequest<Bytes>,
    _connection: AbortOnDropHandle<()>,
}

/// A session over HTTP/2; `cut` resets its stream.
pub(super) struct Stream {
    pub(super) socket: Socket<DuplexStream>,
    pub(super) headers: HeaderMap,
    carry: AbortOnDropHandle<()>,
}

impl Stream {
    /// Resets the stream.
    pub(super) fn reset(self) {
        drop(self.carry);
    }
}

impl Http2 {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        let mut sender = sender.ready().await.unwrap();
        // The server's settings say whether it takes extended CONNECT.
        let wait = async {
            while !sender.is_extended_connect_protocol_enabled() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(wait).await;
        sender = sender.ready().await.unwrap();
        Self {
            sender,
            _connection: AbortOnDropHandle::new(connection),
        }
    }

    /// Asks for a session; `Err`: the status of a refusal.
    pub(super) async fn open(&mut self, key: &str) -> Result<Stream, StatusCode> {
        let (send, response) = self.ask(key).await;
        let (parts, receive) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(parts.status);
        }
        let (near, far) = duplex(64 << 10);
        let carry = tokio::spawn(carry(send, receive, far));
        let socket = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        Ok(Stream {
            socket: Socket(socket),
            headers: parts.headers,
            carry: AbortOnDropHandle::new(carry),
        })
    }

    /// Asks for a session, and gives its stream as it is: nothing is read of it.
    pub(super) async fn ask(
        &mut self,
        key: &str,
    ) -> (h2::SendStream<Bytes>, Response<h2::RecvStream>) {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://{HOST}/v1/realtime?model=m"))
            .header("authorization", format!("Bearer {key}"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "realtime")
            .extension(Protocol::from_static("websocket"))
            .body(())
            .unwrap();
        let (response, send) = self.sender.send_request(request, false).unwrap();
        (send, soon(response).await.unwrap())
    }
}

/// Carries bytes between a stream and a pipe; dropped, the stream is reset.
async fn carry(send: h2::SendStream<Bytes>, mut receive: h2::RecvStream, pipe: DuplexStream) {
    struct Reset(h2::SendStream<Bytes>);
    impl Drop for Reset {
        fn drop(&mut self) {
            self.0.send_reset(h2::Reason::CANCEL);
        }
    }
    let mut send = Reset(send);
    let (mut from, mut to) = tokio::io::split(pipe);
    let up = async {
        let mut bytes = [0; 4096];
        loop {
            match from.read(&mut bytes).await {
                Ok(read @ 1..) => {
                    let piece = Bytes::copy_from_slice(&bytes[..read]);
                    if send.0.send_data(piece, false).is_err() {
                        return;
                    }
                }
                _ => {
                    let _ = send.0.send_data(Bytes::new(), true);
                    return std::future::pending().await;
                }
            }
        }
    };
    let down = async {
        while let Some(Ok(piece)) = receive.data().await {
            let _ = receive.flow_control().release_capacity(piece.len());
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
        std::future::pending().await
    };
    tokio::join!(up, down);
}
