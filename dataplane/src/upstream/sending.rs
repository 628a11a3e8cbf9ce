//! A request on its way: a place found or a connection made for it, sent, and its answer awaited; again
//! where nobody has looked at it.

use std::borrow::Cow;
use std::error::Error;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};

use super::body::{Arrived, PiecesBody};
use super::connect::{self as dialed, NO_HOST, NO_HTTP};
use super::http1::{self, Answering, Driven};
use super::kept::Past;
use super::lanes::{Fault, Link, Origin, Seat};

/// How often a request is sent again that the provider has not looked at.
const RESENDS: usize = 2;
/// Kept connections found to have ended, one after the other, until that is told.
const MAX_ENDED: usize = 8;

/// A request got no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection was not there in time.
    #[error("no connection to the provider within {0:?}")]
    ConnectTimeout(Duration),
    /// There is no connection: refused, no such host, no TLS.
    #[error("no connection to the provider: {0}")]
    Connect(Cow<'static, str>),
    /// The connection broke before an answer came.
    #[error("the provider closed the connection without an answer")]
    Broken,
    /// The same of a connection that had served before and ended without a word: it was closed
    /// while it idled.
    #[error("the provider closed the connection without an answer")]
    Stale,
    /// The provider says that it has not looked at the request: it takes no more streams, or is about
    /// to close.
    #[error("the provider took no more requests on its connection")]
    Refused,
}

impl SendError {
    /// Whether the provider cannot have seen the request.
    pub fn is_unsent(&self) -> bool {
        !matches!(self, SendError::Broken | SendError::Stale)
    }
}

/// A request on its way. Dropped, it is withdrawn: its connection is closed (HTTP/1.1) or its stream
/// reset (HTTP/2).
pub struct Sending {
    /// `None`: the URI has none.
    origin: Option<Arc<Origin>>,
    /// What is still to be sent; kept for another time while it may be refused.
    request: Option<Request<PiecesBody>>,
    stage: Stage,
    has_roots: bool,
}

enum Stage {
    /// Nothing is sent, and there is no connection for it.
    Waits,
    /// There is a connection.
    Connected(Place),
    /// It is on its way, on a connection that runs by itself or is driven here.
    Sent {
        answering: Answering,
        driven: Option<Driven>,
        past: Past,
        seat: Seat,
        /// The connection stood before.
        is_kept: bool,
    },
}

/// What is there at once.
enum Found {
    Place(Place),
    /// No connection, but maybe a place for one.
    Seat(Option<Seat>),
}

/// A connection to send on.
struct Place {
    link: Link,
    seat: Seat,
    is_kept: bool,
}

impl Sending {
    pub(super) fn new(
        origin: Option<Arc<Origin>>,
        request: Request<PiecesBody>,
        has_roots: bool,
    ) -> Self {
        Self {
            origin,
            request: Some(request),
            stage: Stage::Waits,
            has_roots,
        }
    }

    /// Waits for a connection, new or idle; `bound` of `None`: as long as it takes. Cancel-safe.
    pub async fn connected(&mut self, bound: Option<Duration>) -> Result<(), SendError> {
        self.stage = Stage::Connected(match (self.find()?, bound) {
            (Found::Place(place), _) => place,
            (Found::Seat(seat), None) => self.connect(seat).await?,
            (Found::Seat(seat), Some(bound)) => {
                let connecting = tokio::time::timeout(bound, self.connect(seat)).await;
                connecting.map_err(|_| SendError::ConnectTimeout(bound))??
            }
        });
        Ok(())
    }

    /// Waits for the head of the answer. Cancel-safe.
    pub async fn answer(&mut self) -> Result<Response<Arrived>, SendError> {
        let (mut resends, mut ended) = (0, 0);
        loop {
            if let Stage::Waits = self.stage {
                self.stage = Stage::Connected(match self.find()? {
                    Found::Place(place) => place,
                    Found::Seat(seat) => self.connect(seat).await?,
                });
            }
            self.send().await?;
            match poll_fn(|cx| self.poll_answer(cx)).await {
                Err(SendError::Refused) if self.request.is_some() && resends < RESENDS => {
                    resends += 1;
                }
                // The connection had ended before anything was sent.
                Err(SendError::Stale) if self.request.is_some() && ended < MAX_ENDED => ended += 1,
                answer => return answer,
            }
        }
    }

    /// Looks for a connection that stands.
    fn find(&self) -> Result<Found, SendError> {
        let origin = self.origin.as_ref();
        let origin = origin.ok_or(SendError::Connect(NO_HOST.into()))?;
        let Some(seat) = origin.seat().now_or_never() else {
            return Ok(Found::Seat(None));
        };
        Ok(match seat.standing() {
            Some(link) => Found::Place(Place {
                link,
                seat,
                is_kept: true,
            }),
            None => Found::Seat(Some(seat)),
        })
    }

    /// Makes a connection. Boxed, as most requests find one that stands.
    fn connect(&self, seat: Option<Seat>) -> BoxFuture<'static, Result<Place, SendError>> {
        match (&self.origin, &self.request) {
            (Some(origin), Some(request)) => {
                let (origin, uri) = (origin.clone(), request.uri().clone());
                connect(origin, seat, uri, self.has_roots).boxed()
            }
            _ => std::future::ready(Err(SendError::Connect(NO_HOST.into()))).boxed(),
        }
    }

    /// Sends what has a connection.
    async fn send(&mut self) -> Result<(), SendError> {
        let place = match std::mem::replace(&mut self.stage, Stage::Waits) {
            Stage::Connected(place) => place,
            sent => {
                self.stage = sent;
                return Ok(());
            }
        };
        let Place {
            link,
            seat,
            is_kept,
        } = place;
        let request = self.request.take().ok_or(SendError::Broken)?;
        let (answering, driven, past) = match link {
            Link::Http1(mut driven) => {
                let (answering, past) = (driven.send(request), driven.past.clone());
                (answering, Some(driven), past)
            }
            Link::Http2(mut shared) => {
                self.request = again(&request);
                (shared.send(request), None, shared.past)
            }
            Link::Upgrading(kept) => {
                let past = kept.past();
                // Boxed, as few requests ask for it.
                let answering = Box::pin(http1::upgrade(*kept, request)).await;
                (answering.map_err(|_| SendError::Broken)?, None, past)
            }
        };
        self.stage = Stage::Sent {
            answering,
            driven,
            past,
            seat,
            is_kept,
        };
        Ok(())
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Arrived>, SendError>> {
        let Stage::Sent {
            answering, driven, ..
        } = &mut self.stage
        else {
            return Poll::Ready(Err(SendError::Broken));
        };
        let answer = ready!(match driven {
            Some(driven) => driven.poll_answer(cx, answering),
            None => answering.as_mut().poll(cx),
        });
        let Stage::Sent {
            driven,
            past,
            seat,
            is_kept,
            ..
        } = std::mem::replace(&mut self.stage, Stage::Waits)
        else {
            return Poll::Ready(Err(SendError::Broken));
        };
        Poll::Ready(match answer {
            Ok(answer) => {
                past.note_answer();
                self.request = None;
                Ok(answer.map(|body| Arrived::new(body, driven, seat)))
            }
            Err(mut error) => {
                let unsent = error.take_message();
                let is_refusal = causes(error.error()).any(is_refusal);
                if is_refusal {
                    seat.refused();
                }
                if let Some(request) = unsent.filter(|_| is_kept) {
                    // It ended while it was kept: the next one.
                    self.request = Some(request);
                    return Poll::Ready(Err(SendError::Stale));
                }
                if !is_refusal {
                    self.request = None;
                }
                Err(match past.is_stale() {
                    _ if is_refusal => SendError::Refused,
                    true => SendError::Stale,
                    false => SendError::Broken,
                })
            }
        })
    }
}

/// Waits for a place, and makes a connection if none stands there.
async fn connect(
    origin: Arc<Origin>,
    mut seat: Option<Seat>,
    uri: Uri,
    has_roots: bool,
) -> Result<Place, SendError> {
    loop {
        let seat = match seat.take() {
            Some(seat) => seat,
            None => origin.seat().await,
        };
        if let Some(link) = seat.standing() {
            return Ok(Place {
                link,
                seat,
                is_kept: true,
            });
        }
        if !seat.may_connect() {
            continue;
        }
        return match seat.connect(&uri).await {
            Ok(link) => Ok(Place {
                link,
                seat,
                is_kept: false,
            }),
            Err(Fault::Connect(fault)) => Err(SendError::Connect(dialed::words(&fault, has_roots))),
            Err(Fault::NoHttp) => Err(SendError::Connect(NO_HTTP.into())),
        };
    }
}

/// The same request, if its body is at hand.
fn again(request: &Request<PiecesBody>) -> Option<Request<PiecesBody>> {
    let mut copy = Request::new(request.body().again()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.version_mut() = request.version();
    Some(copy)
}

/// Whether the provider says that it has not looked at the request.
///
/// Source: RFC 9113, section 8.7 "Request Reliability".
fn is_refusal(cause: &(dyn Error + 'static)) -> bool {
    let Some(error) = cause.downcast_ref::<h2::Error>() else {
        return false;
    };
    let is_reset = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (is_reset || error.is_go_away())
}

/// Walks down the reasons of an error, looking into wrapped I/O errors as well.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        let inner: Option<&'a (dyn Error + 'static)> = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        inner.or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests;
