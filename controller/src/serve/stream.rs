//! One data plane's stream: hello and welcome, then subscriptions up and units down.
//!
//! A unit is made only when there is room for it on the way out, so that a slow
//! client costs names in a set, never messages in memory.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{error, info, warn};
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::proto::server_message::Message as Down;
use turnpike_snapshot::proto::{
    ClientMessage, FleetKey, Held, Hello, Nack, ServerMessage, Welcome,
};
use turnpike_snapshot::{Name, PROTOCOL_VERSION, Snapshot, Version, credential};

use crate::metrics::Serving;
use crate::serve::acceptance::Acceptance;
use crate::serve::hub::Hub;
use crate::serve::subscriptions::Subscriptions;
use crate::serve::view::View;

/// A client has its hello ready when it connects.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A client states all that it holds at once, in several messages where it is
/// much; this is more than the slowest needs.
const STATEMENT_TIME: Duration = Duration::from_secs(30);

/// From this many names on, an old data plane, which never says that more follows,
/// may have had to split what it states.
const SPLIT_NAMES: usize = 10_000;

/// Withdrawals of most of what a client came with are kept back this long, for
/// somebody to look at the alarm.
const WITHHELD_FOR: Duration = Duration::from_secs(600);

/// A unit is applied in microseconds; who owes an answer so long is worth an alarm.
const ALARM_AFTER: Duration = Duration::from_secs(10);

/// And so long: its stream is closed, so that both sides begin anew. A connection that
/// is dead is found by its pings before; this is for a process that lives and is stuck.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// Longer names of data planes are cut: they go into logs and conditions.
const DATA_PLANE_CHARS: usize = 128;

/// The way out. Where it is full, no unit is made.
pub type Outbound = mpsc::Sender<Result<ServerMessage, Status>>;

/// What all streams share.
#[derive(Clone)]
pub struct Context {
    /// What is served.
    pub view: Arc<dyn View>,
    /// Where changes are announced.
    pub hub: Hub,
    /// Whether mass deletions are accepted.
    pub acceptance: Acceptance,
    /// What is counted.
    pub metrics: Serving,
    /// Ends all streams.
    pub shutdown: CancellationToken,
}

/// Serves one stream until either side ends it; the last word is a status.
pub async fn run(
    context: Context,
    inbound: impl Stream<Item = Result<ClientMessage, Status>> + Unpin,
    outbound: Outbound,
) {
    let ended = serve(&context, inbound, &outbound).await;
    if let Err(status) = ended {
        // Where the way out is full nobody listens any more.
        let _ = outbound.try_send(Err(*status));
    }
}

async fn serve(
    context: &Context,
    mut inbound: impl Stream<Item = Result<ClientMessage, Status>> + Unpin,
    outbound: &Outbound,
) -> Result<(), Box<Status>> {
    let hello = greet(context, &mut inbound).await?;
    let data_plane = name_of(&hello);
    if outbound.send(Ok(welcome(context))).await.is_err() {
        return Ok(());
    }
    info!(data_plane, "data plane connected");
    let seat = context.hub.join(&data_plane);
    let session = Session {
        subscriptions: Subscriptions::new(seat, hello.features),
        statement: Statement::default(),
        withheld_until: None,
        is_alarmed: false,
        view: Timed(context.clone()),
        context,
        data_plane: &data_plane,
    };
    let ended = session.run(inbound, outbound).await;
    info!(data_plane, "data plane gone");
    ended
}

async fn greet(
    context: &Context,
    inbound: &mut (impl Stream<Item = Result<ClientMessage, Status>> + Unpin),
) -> Result<Hello, Box<Status>> {
    if !context.view.is_synced() {
        return Err(Box::new(Status::unavailable(
            "this controller is not synced yet; try again or another one",
        )));
    }
    let first = tokio::select! {
        () = context.shutdown.cancelled() => return Err(shutting_down()),
        first = tokio::time::timeout(HELLO_TIMEOUT, inbound.next()) => first,
    };
    let hello = match first {
        Ok(Some(Ok(ClientMessage {
            message: Some(Up::Hello(hello)),
        }))) => hello,
        _ => {
            let message = "the first message of a stream must be a Hello";
            return Err(Box::new(Status::invalid_argument(message)));
        }
    };
    if hello.protocol_version == PROTOCOL_VERSION {
        return Ok(hello);
    }
    Err(Box::new(Status::failed_precondition(format!(
        "the data plane speaks version {} of the snapshot protocol, this controller version \
         {PROTOCOL_VERSION}; bring both to one release",
        hello.protocol_version
    ))))
}

fn name_of(hello: &Hello) -> String {
    match hello.data_plane.as_str() {
        "" => "unnamed".into(),
        name => name.chars().take(DATA_PLANE_CHARS).collect(),
    }
}

fn welcome(context: &Context) -> ServerMessage {
    let to_proto = |key: credential::FleetKey| FleetKey {
        id: key.id().to_owned(),
        secret: key.secret().to_vec(),
    };
    let fleet_keys = context.view.fleet_keys();
    ServerMessage {
        message: Some(Down::Welcome(Welcome {
            protocol_version: PROTOCOL_VERSION,
            features: Vec::new(),
            fleet_keys: fleet_keys.into_iter().map(to_proto).collect(),
        })),
    }
}

fn shutting_down() -> Box<Status> {
    Box::new(Status::unavailable("this controller is shutting down"))
}

/// A stream after its greeting.
struct Session<'a> {
    context: &'a Context,
    view: Timed,
    subscriptions: Subscriptions,
    statement: Statement,
    /// When a mass deletion is let through all the same.
    withheld_until: Option<Instant>,
    /// The client's silence was told; once each time.
    is_alarmed: bool,
    data_plane: &'a str,
}

/// How far a client has got with saying what it held before this stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Statement {
    /// Nothing said yet.
    #[default]
    Awaited,
    /// It said that more follows.
    Announced,
    /// All is said.
    Ended,
}

impl Statement {
    /// After one more message. An old data plane never says that more follows: its
    /// first names are all, but where they may have been split.
    fn after(self, names: usize, more: bool) -> Self {
        match self {
            Self::Ended => Self::Ended,
            _ if more => Self::Announced,
            Self::Announced => Self::Ended,
            Self::Awaited if (1..SPLIT_NAMES).contains(&names) => Self::Ended,
            Self::Awaited => Self::Awaited,
        }
    }
}

impl Session<'_> {
    async fn run(
        mut self,
        mut inbound: impl Stream<Item = Result<ClientMessage, Status>> + Unpin,
        outbound: &Outbound,
    ) -> Result<(), Box<Status>> {
        let mut stated_until = Some(Instant::now() + STATEMENT_TIME);
        let mut acceptances = self.context.acceptance.words();
        if self.context.acceptance.is_accepted(Instant::now()) {
            self.subscriptions.accept_mass_delete();
        }
        loop {
            self.weigh();
            self.subscriptions.beat();
            let has_work = self.subscriptions.has_work();
            stated_until = stated_until.filter(|_| self.statement != Statement::Ended);
            // Each branch is safe to cancel: an item, a permit, a wake-up, a clock.
            tokio::select! {
                () = self.context.shutdown.cancelled() => return Err(shutting_down()),
                message = inbound.next() => match message {
                    Some(Ok(message)) => self.hear(message)?,
                    // The client closed it, or its connection broke.
                    Some(Err(_)) | None => return Ok(()),
                },
                permit = outbound.reserve(), if has_work => match permit {
                    Ok(permit) => self.send(permit),
                    Err(_) => return Ok(()),
                },
                () = outbound.closed(), if !has_work => return Ok(()),
                () = self.subscriptions.seat().work(), if !has_work => {}
                () = accepted(&mut acceptances) => self.let_go("accepted"),
                () = until(self.withheld_until) => self.let_go("nobody objected in time"),
                () = until(stated_until) => self.end_statement(),
                () = until(self.answer_due()) => self.miss_answer()?,
            }
        }
    }

    fn end_statement(&mut self) {
        self.statement = Statement::Ended;
        self.subscriptions.end_statement();
    }

    /// Looks whether this stream would take away most of what its client came with.
    fn weigh(&mut self) {
        let Some(too_much) = self.subscriptions.judge_mass_delete() else {
            return;
        };
        self.withheld_until = Some(Instant::now() + WITHHELD_FOR);
        error!(
            data_plane = self.data_plane,
            withheld = too_much.withheld,
            stated = too_much.stated,
            "most of what this data plane holds is gone here; it keeps it for 10 minutes, or \
             until POST /accept-mass-delete on the admin port or --accept-mass-delete"
        );
    }

    fn let_go(&mut self, why: &str) {
        let names = self.subscriptions.withheld();
        if names > 0 {
            warn!(
                data_plane = self.data_plane,
                names, why, "mass deletion let through"
            );
        }
        self.withheld_until = None;
        self.subscriptions.accept_mass_delete();
    }

    /// When the client has owed an answer for too long.
    fn answer_due(&self) -> Option<Instant> {
        let oldest = self.subscriptions.oldest_unacknowledged()?;
        Some(
            oldest
                + if self.is_alarmed {
                    GIVE_UP_AFTER
                } else {
                    ALARM_AFTER
                },
        )
    }

    fn miss_answer(&mut self) -> Result<(), Box<Status>> {
        let data_plane = self.data_plane;
        if self.is_alarmed {
            warn!(data_plane, "stream closed: no acknowledgement for 30 s");
            let message = "no acknowledgement for 30 s; connect anew and state what is held";
            return Err(Box::new(Status::deadline_exceeded(message)));
        }
        self.is_alarmed = true;
        error!(
            data_plane,
            "data plane lags: a unit has no acknowledgement for 10 s"
        );
        Ok(())
    }

    fn hear(&mut self, message: ClientMessage) -> Result<(), Box<Status>> {
        match message.message {
            Some(Up::Subscribe(subscribe)) => {
                let statement = self.statement.after(subscribe.names.len(), subscribe.more);
                let roots = self.read_names(subscribe.names, Name::is_subscribable);
                let dependencies = self.read_names(subscribe.dependencies, |_| true);
                self.subscriptions.subscribe(roots, dependencies);
                if statement == Statement::Ended && self.statement != Statement::Ended {
                    self.end_statement();
                }
                self.statement = statement;
            }
            Some(Up::Unsubscribe(unsubscribe)) => {
                let names = unsubscribe.names.iter();
                self.subscriptions
                    .unsubscribe(names.filter_map(|name| name.parse().ok()));
            }
            Some(Up::Ack(ack)) => {
                self.subscriptions.acknowledge(ack.unit);
                self.hear_sign_of_life();
            }
            Some(Up::Nack(nack)) => self.hear_refusal(&nack),
            Some(Up::Hello(_)) => {
                let message = "a stream has one Hello, at its start";
                return Err(Box::new(Status::invalid_argument(message)));
            }
            None => warn!(
                data_plane = self.data_plane,
                "message of a kind that this controller does not know"
            ),
        }
        Ok(())
    }

    /// Names of a kind unknown here come from a newer data plane; it is not answered.
    fn read_names(
        &self,
        names: Vec<Held>,
        is_allowed: impl Fn(&Name) -> bool,
    ) -> Vec<(Name, Option<Version>)> {
        let read = |held: Held| {
            let name = held.name.parse().ok().filter(&is_allowed);
            if name.is_none() {
                warn!(
                    data_plane = self.data_plane,
                    name = held.name,
                    "name that cannot be subscribed to"
                );
            }
            Some((name?, Version::from_bytes(&held.version)))
        };
        names.into_iter().filter_map(read).collect()
    }

    fn hear_refusal(&mut self, nack: &Nack) {
        let (Ok(name), Some(version)) = (
            nack.name.parse::<Name>(),
            Version::from_bytes(&nack.version),
        ) else {
            return;
        };
        let message = &nack.message;
        if self
            .subscriptions
            .refuse(nack.unit, &name, version, message)
        {
            self.context.metrics.refusals.inc();
            warn!(data_plane = self.data_plane, %name, %version, message, "snapshot refused");
        }
    }

    fn hear_sign_of_life(&mut self) {
        let oldest = self.subscriptions.oldest_unacknowledged();
        let is_late = oldest.is_some_and(|oldest| oldest.elapsed() >= ALARM_AFTER);
        if self.is_alarmed && !is_late {
            self.is_alarmed = false;
            info!(data_plane = self.data_plane, "data plane caught up");
        }
    }

    fn send(&mut self, permit: mpsc::Permit<'_, Result<ServerMessage, Status>>) {
        if let Some(unit) = self.subscriptions.next_unit(&self.view, Instant::now()) {
            let message = ServerMessage::from(unit);
            let metrics = &self.context.metrics;
            metrics.units.inc();
            metrics.unit_bytes.inc_by(message.encoded_len() as u64);
            permit.send(Ok(message));
        }
    }
}

/// Waits for somebody to accept mass deletions.
async fn accepted(words: &mut watch::Receiver<Option<Instant>>) {
    if words.changed().await.is_err() {
        std::future::pending().await
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The view, with a clock on what it compiles.
struct Timed(Context);

impl View for Timed {
    fn snapshot(&self, name: &Name) -> Option<Snapshot> {
        let begun = std::time::Instant::now();
        let snapshot = self.0.view.snapshot(name);
        self.0.metrics.compiled(begun.elapsed());
        snapshot
    }

    fn exists(&self, name: &Name) -> bool {
        self.0.view.exists(name)
    }

    fn is_synced(&self) -> bool {
        self.0.view.is_synced()
    }

    fn fleet_keys(&self) -> Vec<credential::FleetKey> {
        self.0.view.fleet_keys()
    }
}

#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod tests;
