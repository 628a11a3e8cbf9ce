//! One stream: Hello, Welcome, then units down and subscriptions up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Status, Streaming};
use tracing::warn;
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::proto::server_message::Message as Down;
use turnpike_snapshot::proto::snapshots_client::SnapshotsClient;
use turnpike_snapshot::proto::{ClientMessage, Hello, Nack, ServerMessage, Unit, Welcome};

use super::causes::causes;
use super::connect::{ConnectError, Target};
use super::message;
use crate::store::Store;
use crate::store::apply::Refusal;

/// From the connection to the Welcome; a controller that takes longer is not well.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages between this task and the transport; it fills only when the network is slow.
const UP_BUFFER: usize = 16;
/// Messages not said yet; when so many wait, no further unit is read until
/// the controller has listened.
const MAX_QUEUED: usize = 256;
/// A unit is a domain with all that it refers to; gRPC's default of 4 MiB would
/// make a large one unreadable for ever.
const MAX_UNIT_BYTES: usize = 64 * 1024 * 1024;

/// Why a stream is not open any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("not connected: {0}")]
    Connect(#[from] ConnectError),
    #[error("the controller refused this data plane: {0}")]
    Refused(String),
    #[error("its token has expired; a new one begins")]
    Expired,
    #[error("the controller ended the stream: {}", words(.0))]
    Status(Box<Status>),
    #[error("the controller closed the stream")]
    Closed,
    #[error("the controller did not say Welcome in time")]
    NoWelcome,
    #[error("the controller did not say Welcome first")]
    NotWelcome,
}

/// A stream on which both sides have greeted.
pub(super) struct Session<'a> {
    store: &'a Store,
    down: Streaming<ServerMessage>,
    up: mpsc::Sender<ClientMessage>,
    queue: VecDeque<ClientMessage>,
}

/// Connects, greets, and states what is held.
pub(super) async fn open<'a>(
    store: &'a Store,
    target: &Target,
    hello: Hello,
) -> Result<Session<'a>, SessionError> {
    let channel = target.connect().await?;
    let token = target.token().await.map_err(ConnectError::from)?;
    let client = SnapshotsClient::new(channel).max_decoding_message_size(MAX_UNIT_BYTES);
    let (welcome, down, up) = tokio::time::timeout(WELCOME_TIMEOUT, greet(client, hello, token))
        .await
        .map_err(|_| SessionError::NoWelcome)??;
    store.set_fleet_keys(message::fleet_keys(welcome));
    Ok(Session {
        store,
        down,
        up,
        queue: message::restate(store.restate()).into(),
    })
}

type Greeted = (
    Welcome,
    Streaming<ServerMessage>,
    mpsc::Sender<ClientMessage>,
);

async fn greet(
    mut client: SnapshotsClient<tonic::transport::Channel>,
    hello: Hello,
    token: Option<AsciiMetadataValue>,
) -> Result<Greeted, SessionError> {
    let (up, mut waiting) = mpsc::channel(UP_BUFFER);
    // The buffer is empty: this cannot wait.
    up.try_send(message::up(Up::Hello(hello)))
        .map_err(|_| SessionError::Closed)?;
    let messages = futures::stream::poll_fn(move |cx| waiting.poll_recv(cx));
    let mut request = Request::new(messages);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token);
    }
    let opened = client.stream(request).await.map_err(refused);
    let mut down = opened?.into_inner();
    match down.message().await?.and_then(|message| message.message) {
        Some(Down::Welcome(welcome)) => Ok((welcome, down, up)),
        Some(Down::Unit(_)) => Err(SessionError::NotWelcome),
        None => Err(SessionError::Closed),
    }
}

impl Session<'_> {
    /// Goes on until the stream ends. Reading and writing never wait for each other
    /// until the queue is full.
    pub(super) async fn run(self) -> Result<Infallible, SessionError> {
        let Self {
            store,
            mut down,
            up,
            mut queue,
        } = self;
        loop {
            if queue.is_empty() {
                let outgoing = store.take_outgoing(message::MAX_NAMES);
                queue.extend(message::outgoing(outgoing));
            }
            let has_queue = !queue.is_empty();
            // Each branch is cancel-safe: a permit, a stream's next item, a notification.
            tokio::select! {
                permit = up.reserve(), if has_queue => {
                    let permit = permit.map_err(|_| SessionError::Closed)?;
                    if let Some(message) = queue.pop_front() {
                        permit.send(message);
                    }
                }
                message = down.message(), if queue.len() < MAX_QUEUED => {
                    let message = message.map_err(ended)?.ok_or(SessionError::Closed)?;
                    queue.extend(take(store, message));
                }
                () = store.outgoing(), if !has_queue => {}
            }
        }
    }
}

/// Does what a message says; gives what is to be answered.
fn take(store: &Store, message: ServerMessage) -> Vec<ClientMessage> {
    match message.message {
        Some(Down::Unit(unit)) => apply(store, unit),
        // Fleet keys may be rotated in mid-stream.
        Some(Down::Welcome(welcome)) => {
            store.set_fleet_keys(message::fleet_keys(welcome));
            Vec::new()
        }
        None => {
            warn!("message of a kind that this data plane does not know");
            Vec::new()
        }
    }
}

fn apply(store: &Store, unit: Unit) -> Vec<ClientMessage> {
    let unit = message::read_unit(unit);
    let refusals = store.apply(unit.changes);
    report(&unit.unreadable, &refusals);
    message::answer(unit.number, unit.unreadable, refusals)
}

fn report(unreadable: &[Nack], refusals: &[Refusal]) {
    for nack in unreadable {
        warn!(
            name = nack.name,
            reason = nack.message,
            "snapshot not readable"
        );
    }
    for refusal in refusals {
        let Refusal {
            name,
            version,
            message,
        } = refusal;
        warn!(%name, %version, reason = message, "snapshot refused");
    }
}

/// Of a stream that was not opened.
fn refused(status: Status) -> SessionError {
    match status.code() {
        // Those of HTTP/2 itself are not the controller's own words.
        Code::Unauthenticated | Code::PermissionDenied if status.source().is_none() => {
            SessionError::Refused(status.message().to_owned())
        }
        _ => status.into(),
    }
}

/// Of a stream that was open: the controller had accepted its token.
fn ended(status: Status) -> SessionError {
    match status.code() {
        Code::Unauthenticated => SessionError::Expired,
        _ => status.into(),
    }
}

fn words(status: &Status) -> String {
    let words = format!("{}: {}", status.code(), status.message());
    match causes(status) {
        causes if causes.is_empty() => words,
        causes => format!("{words}: {causes}"),
    }
}

impl From<Status> for SessionError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}
