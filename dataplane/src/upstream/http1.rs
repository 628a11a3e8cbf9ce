//! Connections of HTTP/1.1 that run in the task of the request that they serve: nobody else's task has
//! to be woken, and what is dropped is closed.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::body::PiecesBody;
use super::kept::{Kept, Past};
use super::turn::Turns;

/// Bytes that are held of a request whose provider is slow; hyper's own 400 KiB are more than a stream
/// may hold.
const BUFFER: usize = 128 << 10;

/// A request's way to its answer.
pub(super) type Answering = Pin<
    Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<PiecesBody>>>> + Send>,
>;

/// A connection, at work for one request at a time.
pub(super) struct Driven {
    sender: SendRequest<PiecesBody>,
    connection: Pin<Box<Connection<TokioIo<Kept>, PiecesBody>>>,
    turns: Turns,
    is_over: bool,
    pub(super) past: Past,
}

impl Driven {
    /// Begins to speak on a connection.
    pub(super) async fn begin(kept: Kept) -> hyper::Result<Self> {
        let past = kept.past();
        let (sender, connection) = builder().handshake(TokioIo::new(kept)).await?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            turns: Turns::new(),
            is_over: false,
            past,
        })
    }

    /// Hands a request over; it goes on as its answer is polled for.
    pub(super) fn send(&mut self, mut request: Request<PiecesBody>) -> Answering {
        to_origin_form(&mut request);
        Box::pin(self.sender.try_send_request(request))
    }

    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        answering: &mut Answering,
    ) -> Poll<<Answering as Future>::Output> {
        let (connection, is_over) = (&mut self.connection, &mut self.is_over);
        self.turns.poll(cx, |cx| {
            drive(connection, is_over, cx);
            answering.as_mut().poll(cx)
        })
    }

    /// Waits for the next piece of the answer.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let (connection, is_over) = (&mut self.connection, &mut self.is_over);
        self.turns.poll(cx, |cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            drive(connection, is_over, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
    }

    /// Goes on with what is still to be sent, and with nothing of the answer.
    pub(super) fn poll_on(&mut self, cx: &mut Context<'_>) {
        let (connection, is_over) = (&mut self.connection, &mut self.is_over);
        let _ = self.turns.poll(cx, |cx| {
            drive(connection, is_over, cx);
            Poll::<()>::Pending
        });
    }

    /// Tells it from others.
    #[cfg(test)]
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(&*self.connection).addr()
    }

    /// Whether it could serve another request: its answer was read, its request sent, and the other side
    /// has neither closed nor said anything.
    pub(super) fn is_free(&mut self) -> bool {
        // Whoever takes it next polls it anew.
        let mut cx = Context::from_waker(Waker::noop());
        drive(&mut self.connection, &mut self.is_over, &mut cx);
        !self.is_over && self.sender.is_ready()
    }
}

fn drive(
    connection: &mut Pin<Box<Connection<TokioIo<Kept>, PiecesBody>>>,
    is_over: &mut bool,
    cx: &mut Context<'_>,
) {
    // How it ended is told where an answer or a piece of it is waited for.
    *is_over = *is_over || connection.as_mut().poll(cx).is_ready();
}

/// Sends a request on a connection that becomes something else, which runs by itself.
pub(super) async fn upgrade(
    kept: Kept,
    mut request: Request<PiecesBody>,
) -> hyper::Result<Answering> {
    let (mut sender, connection) = builder().handshake(TokioIo::new(kept)).await?;
    to_origin_form(&mut request);
    tokio::spawn(connection.with_upgrades());
    let answering = sender.try_send_request(request);
    Ok(Box::pin(async move {
        let answer = answering.await;
        drop(sender);
        answer
    }))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.max_buf_size(BUFFER);
    builder
}

/// Leaves the path of the target, and puts its authority into `host` (RFC 9112 §3.2.1).
fn to_origin_form(request: &mut Request<PiecesBody>) {
    let uri = std::mem::take(request.uri_mut());
    if !request.headers().contains_key(HOST)
        && let Some(host) = host(&uri)
    {
        request.headers_mut().insert(HOST, host);
    }
    let path = uri.into_parts().path_and_query;
    *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
}

fn host(uri: &Uri) -> Option<HeaderValue> {
    let authority = uri.authority()?;
    let is_default = match authority.port_u16() {
        Some(443) => uri.scheme() == Some(&Scheme::HTTPS),
        Some(80) => uri.scheme() == Some(&Scheme::HTTP),
        Some(_) => false,
        None => true,
    };
    let host = match is_default {
        true => authority.host(),
        false => authority.as_str(),
    };
    HeaderValue::from_str(host).ok()
}
