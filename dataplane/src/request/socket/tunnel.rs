//! A session under way: both directions, its meter and its clocks, in one task that ends with it.
//!
//! Whoever goes first, the other side is told within a moment. Where the gateway ends a session, it
//! does so between two frames: by an event `error`, then by the frame that closes.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use turnpike_protocol::realtime::{self, Event};
use turnpike_protocol::websocket::{self, Place, Scanner};

use super::flow::{Flow, Step};
use super::meter::Meter;
use crate::access_log::End;
use crate::arrival::Patience;
use crate::metrics::UpstreamFault;
use crate::request::attempt::Opened;
use crate::request::error::RequestError;
use crate::request::relay::{Clocks, Interruption};
use crate::upstream::AnswerBody;

/// To the end of a message that is on its way, and for the last words behind it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// For a side that is told to go: who is gone already need not hear it.
const GOODBYE: Duration = Duration::from_millis(250);
/// For a caller to take note of the end, before its connection is closed under it: what it has sent
/// meanwhile would turn a close into a reset, and that may overtake the last words.
const LINGER: Duration = Duration::from_secs(1);
/// Source: RFC 6455 §7.4.1.
mod code {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const FAILED: u16 = 1011;
}

type Side = TokioIo<Upgraded>;

/// A session under way.
pub(super) struct Tunnel {
    client: Side,
    provider: Side,
    lanes: Lanes,
    meter: Meter,
    clocks: Clocks,
    /// Who runs the gateway ends it.
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    /// With a caller that does not read.
    patience: Patience,
    _body: AnswerBody,
}

/// What bounds a session, beside its provider's timeouts.
pub(super) struct Bounds {
    /// Cancelled once who runs the gateway ends it.
    pub(super) over: CancellationToken,
    /// How long the caller may take nothing; `None`: as long as it likes.
    pub(super) client_write: Option<Duration>,
}

/// Both directions.
struct Lanes {
    up: Flow,
    down: Flow,
    /// The provider takes no more; what it has said is still carried.
    is_up_over: bool,
    /// The one that is looked at first, in turn: one that is always ready must not starve the other.
    is_up_first: bool,
}

/// What has happened.
enum Happening {
    Up(usize),
    Down(usize),
    Said,
    Event(Event),
    Over(Reason),
}

/// Why a session ends.
enum Reason {
    ClientGone,
    ProviderGone,
    Error(RequestError),
}

impl Tunnel {
    /// Waits until both sides have changed over, then carries the session to its end.
    pub(super) async fn open(client: OnUpgrade, opened: Opened, meter: Meter, bounds: Bounds) {
        // The provider's comes at once; without the caller's there is no session.
        let (Ok(client), Ok(provider)) = tokio::join!(client, opened.socket) else {
            meter.close(End::ClientGone, None);
            return;
        };
        let tunnel = Box::new(Self {
            client: TokioIo::new(client),
            provider: TokioIo::new(provider),
            lanes: Lanes {
                up: Flow::new(Scanner::of_frames()),
                down: Flow::new(Scanner::new(realtime::judge)),
                is_up_over: false,
                is_up_first: false,
            },
            meter,
            clocks: opened.clocks,
            over: Box::pin(bounds.over.cancelled_owned()),
            patience: Patience::new(bounds.client_write),
            _body: opened.body,
        });
        tunnel.carry().await;
    }

    /// Boxed, as is what comes but now and then: an idle session would have room for all of it.
    async fn carry(mut self: Box<Self>) {
        let uptake = self.meter.account().uptake().clone();
        match self.pass().await {
            Reason::ClientGone => Box::pin(self.leave()).await,
            Reason::ProviderGone if self.lanes.is_closed() => Box::pin(self.part()).await,
            Reason::ProviderGone => Box::pin(self.fail(vanished())).await,
            Reason::Error(error) => Box::pin(self.fail(error)).await,
        }
        uptake.leave_rest();
    }

    /// Carries both directions until there is a reason to end.
    async fn pass(&mut self) -> Reason {
        while !self.lanes.are_closed() {
            match poll_fn(|cx| self.poll_next(cx)).await {
                Happening::Up(bytes) => self.meter.account().took(bytes),
                Happening::Said => self.await_more(),
                Happening::Down(bytes) => {
                    self.meter.account().handed(bytes);
                    self.await_more();
                }
                Happening::Event(event) => match Box::pin(self.meter.hear(event)).await {
                    Ok(()) => self.await_more(),
                    Err(error) => return Reason::Error(error),
                },
                Happening::Over(reason) => return reason,
            }
        }
        Reason::ProviderGone
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        if self.clocks.poll_blocked(cx).is_ready() {
            let error = Interruption::Blocked.into();
            return Poll::Ready(Happening::Over(Reason::Error(error)));
        }
        // Before a step too: a caller that always speaks must end as well.
        let is_unread = self.patience.is_tried() && self.poll_unread(cx).is_ready();
        let moved = self.lanes.poll(cx, &mut self.client, &mut self.provider);
        if moved.is_ready() && !is_unread {
            return moved;
        }
        if is_unread || self.poll_unread(cx).is_ready() {
            self.meter.account().uptake().expire();
            return Poll::Ready(Happening::Over(Reason::ClientGone));
        }
        if let Poll::Ready(expired) = self.clocks.poll_expired(cx) {
            let error = Interruption::Expired(expired).into();
            return Poll::Ready(Happening::Over(Reason::Error(error)));
        }
        let over = self.over.as_mut().poll(cx);
        over.map(|()| Happening::Over(Reason::Error(going_away())))
    }

    /// Ready once the caller has taken nothing for too long. Meanwhile nobody waits for the provider.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let down = &mut self.lanes.down;
        if down.has_moved() || !down.is_holding() {
            self.patience.rest();
        }
        if !down.is_holding() {
            return Poll::Pending;
        }
        self.clocks.rest();
        self.patience.poll_end(cx)
    }

    /// Between two pieces of a response the provider may be silent for so long, and between two
    /// responses as long as the caller is.
    fn await_more(&mut self) {
        match self.meter.is_answering() {
            true => self.clocks.await_next(),
            false => self.clocks.rest(),
        }
    }

    /// The caller is gone, or does not read: the provider is told, and nobody waits for its answer.
    async fn leave(mut self: Box<Self>) {
        let end = match self.lanes.is_closed() {
            true => End::Complete,
            false if self.meter.account().uptake().is_expired() => End::Timeout("clientWrite"),
            false => End::ClientGone,
        };
        self.meter.close(end, None);
        dismiss(self.provider, &self.lanes.up).await;
    }

    /// Both sides have closed as they should.
    async fn part(mut self: Box<Self>) {
        if !self.lanes.down.is_closed() {
            // The caller has closed, and its provider did not wait to answer that.
            self.say(None, code::NORMAL).await;
        }
        let Self {
            client,
            provider,
            lanes,
            meter,
            ..
        } = *self;
        meter.close(End::Complete, None);
        let parting = async { tokio::join!(dismiss(provider, &lanes.up), hang_up(client)) };
        let _ = timeout(LINGER, parting).await;
    }

    /// The gateway ends the session, and tells the caller why.
    async fn fail(mut self: Box<Self>, error: RequestError) {
        // A provider that is gone has no more to say; any other may finish its message.
        let _ = timeout(LAST_WORDS, self.reach_boundary()).await;
        let code = match error.status() {
            _ if error.code() == GOING_AWAY => code::GOING_AWAY,
            status if status.is_client_error() => code::POLICY,
            _ => code::FAILED,
        };
        self.say(Some(&error), code).await;
        self.meter.close(error.end(), Some(&error));
        dismiss(self.provider, &self.lanes.up).await;
        let _ = timeout(LINGER, hang_up(self.client)).await;
    }

    /// Carries what the provider says up to the end of a message.
    async fn reach_boundary(&mut self) {
        while self.lanes.down.place() != Some(Place::BetweenMessages) {
            let Self {
                client,
                provider,
                lanes,
                ..
            } = self;
            match poll_fn(|cx| lanes.down.poll_step(cx, provider, client)).await {
                Step::Written(bytes) => self.meter.account().handed(bytes),
                Step::Read(_) | Step::Event(_) => {}
                Step::SourceEnded | Step::SinkEnded => return,
            }
        }
    }

    /// Puts the last words in where they may stand.
    async fn say(&mut self, error: Option<&RequestError>, code: u16) {
        let place = self.lanes.down.place();
        if !matches!(place, Some(Place::BetweenMessages | Place::BetweenFrames)) {
            return;
        }
        let mut words = Vec::new();
        if let (Some(error), Some(Place::BetweenMessages)) = (error, place) {
            let id = self.meter.account().id().clone();
            let event = realtime::error_event(&error.body(id.as_str()));
            words.extend(websocket::text_frame(&event));
        }
        let reason = error.map_or("", RequestError::code);
        words.extend(websocket::close_frame(code, reason, None));
        let client = &mut self.client;
        let saying = async {
            client.write_all(&words).await?;
            client.flush().await
        };
        if matches!(timeout(LAST_WORDS, saying).await, Ok(Ok(()))) {
            self.meter.account().handed(words.len());
        }
    }
}

impl Lanes {
    /// Whether one side has closed as it should.
    fn is_closed(&self) -> bool {
        self.up.is_closed() || self.down.is_closed()
    }

    /// Whether both have, and know it of each other: it is for the server to end the connection now,
    /// and the gateway waits for none (RFC 6455 §7.1.1).
    fn are_closed(&self) -> bool {
        let is_over = |flow: &Flow| flow.is_closed() && flow.place().is_some();
        is_over(&self.up) && is_over(&self.down)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Side,
        provider: &mut Side,
    ) -> Poll<Happening> {
        self.is_up_first = !self.is_up_first;
        for is_up in [self.is_up_first, !self.is_up_first] {
            let happening = match is_up {
                true => self.poll_up(cx, client, provider),
                false => self.poll_down(cx, client, provider),
            };
            if happening.is_ready() {
                return happening;
            }
        }
        Poll::Pending
    }

    fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Side,
        provider: &mut Side,
    ) -> Poll<Happening> {
        if self.is_up_over {
            return Poll::Pending;
        }
        match self.up.poll_step(cx, client, provider) {
            Poll::Ready(Step::Read(bytes)) => Poll::Ready(Happening::Up(bytes)),
            Poll::Ready(Step::Written(_) | Step::Event(_)) => Poll::Ready(Happening::Up(0)),
            Poll::Ready(Step::SourceEnded) => Poll::Ready(Happening::Over(Reason::ClientGone)),
            Poll::Ready(Step::SinkEnded) => {
                self.is_up_over = true;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Side,
        provider: &mut Side,
    ) -> Poll<Happening> {
        let step = self.down.poll_step(cx, provider, client);
        step.map(|step| match step {
            Step::Read(_) => Happening::Said,
            Step::Written(bytes) => Happening::Down(bytes),
            Step::Event(event) => Happening::Event(event),
            Step::SourceEnded => Happening::Over(Reason::ProviderGone),
            Step::SinkEnded => Happening::Over(Reason::ClientGone),
        })
    }
}

/// Tells a provider that nobody listens any more, and ends its connection in any case.
async fn dismiss(mut provider: Side, up: &Flow) {
    let goodbye = async {
        if up.place().is_some_and(|place| place != Place::Closed) {
            let mask = Some(rand::random());
            let frame = websocket::close_frame(code::GOING_AWAY, "", mask);
            provider.write_all(&frame).await?;
        }
        provider.shutdown().await
    };
    // Whether it has heard that makes no difference.
    let _ = timeout(GOODBYE, goodbye).await;
}

/// Ends our side, and waits for the caller to end its own.
async fn hang_up(mut client: Side) -> std::io::Result<()> {
    client.shutdown().await?;
    // Not within the future, which every session holds from its beginning.
    let mut unread = vec![0; 4096];
    while client.read(&mut unread).await? > 0 {}
    Ok(())
}

const GOING_AWAY: &str = "going_away";

fn going_away() -> RequestError {
    RequestError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        GOING_AWAY,
        "the gateway that carries this session is being replaced; open a new session",
    )
}

fn vanished() -> RequestError {
    RequestError::upstream(
        UpstreamFault::Cut,
        StatusCode::BAD_GATEWAY,
        "provider_connection_lost",
        "the provider ended the session without closing it; open a new one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Each idle session costs this much beside hyper's part and its record in the log.
    #[test]
    fn a_session_stays_small() {
        let (task, session) = (size_of_future(Tunnel::open), size_of::<Tunnel>());
        assert!(task + session <= 5 * 1024, "{task} + {session} bytes");
    }
}
