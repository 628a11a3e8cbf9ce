//! A simulated data plane: it asks for the names of some tenants, takes every unit, acknowledges
//! it, and remembers what it holds. It speaks the real protocol to the real stream, without a
//! socket between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use turnpike_controller::serve::{Context as Serving, stream};
use turnpike_snapshot::proto::change::Change as Kind;
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::proto::server_message::Message as Down;
use turnpike_snapshot::proto::{
    Ack, ClientMessage, Held, Hello, ServerMessage, Subscribe, Unit, Unsubscribe,
};
use turnpike_snapshot::{Name, PROTOCOL_VERSION, Version};

/// Messages on their way to the controller, as a connection would hold them.
const UPWARD: usize = 8;
/// Units on their way to the data plane.
const DOWNWARD: usize = 2;
/// Names in one message.
const MAX_NAMES: usize = 10_000;
/// Requests of the simulation that wait for a client.
const ORDERS: usize = 4;

/// What a client holds: the version of each name, none where it was told that there is nothing.
#[derive(Debug, Default, Clone)]
pub(super) struct Holding {
    pub(super) versions: HashMap<Arc<Name>, Option<Version>>,
}

/// The clock and the counts that all clients share.
#[derive(Debug)]
pub(super) struct Board {
    begun: Instant,
    /// When the last unit was applied, in nanoseconds since `begun`.
    last: AtomicU64,
}

/// A connected client.
pub(super) struct Client {
    orders: mpsc::Sender<Order>,
    units: Arc<AtomicU64>,
}

enum Order {
    Subscribe(Vec<Name>),
    Unsubscribe(Vec<Name>),
    /// How many names are held, and what the memory of that is.
    Size(oneshot::Sender<(usize, usize)>),
    Leave(oneshot::Sender<Holding>),
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// When the last unit was applied anywhere.
    pub(super) fn last(&self) -> Instant {
        let nanos = self.last.load(Ordering::Relaxed);
        self.begun + std::time::Duration::from_nanos(nanos)
    }

    fn note(&self) {
        let nanos = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Client {
    /// Connects, states what it held before, and follows its orders from then on.
    pub(super) fn connect(
        serving: Serving,
        name: String,
        features: Vec<String>,
        board: Arc<Board>,
        holding: Holding,
    ) -> Self {
        let (up, upward) = mpsc::channel(UPWARD);
        let (downward, down) = mpsc::channel(DOWNWARD);
        let (orders, to_do) = mpsc::channel(ORDERS);
        let units = Arc::new(AtomicU64::new(0));
        // Both end with the client, which ends when it is told to leave or dropped.
        tokio::spawn(stream::run(serving, ReceiverStream::new(upward), downward));
        let session = Session {
            up,
            holding,
            board,
            units: units.clone(),
        };
        tokio::spawn(async move {
            if let Err(error) = session.run(name, features, down, to_do).await {
                eprintln!("a simulated data plane ended: {error:#}");
            }
        });
        Self { orders, units }
    }

    /// Units that it took.
    pub(super) fn units(&self) -> u64 {
        self.units.load(Ordering::Relaxed)
    }

    pub(super) async fn subscribe(&self, names: Vec<Name>) -> Result<()> {
        self.order(Order::Subscribe(names)).await
    }

    pub(super) async fn unsubscribe(&self, names: Vec<Name>) -> Result<()> {
        self.order(Order::Unsubscribe(names)).await
    }

    /// How many names it holds, and how many bytes it needs to remember them.
    pub(super) async fn size(&self) -> Result<(usize, usize)> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Size(answer)).await?;
        answered.await.context("the client is gone")
    }

    /// Disconnects; what it held.
    pub(super) async fn leave(self) -> Result<Holding> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Leave(answer)).await?;
        answered.await.context("the client is gone")
    }

    async fn order(&self, order: Order) -> Result<()> {
        let sent = self.orders.send(order).await;
        sent.ok().context("the client is gone")
    }
}

struct Session {
    up: mpsc::Sender<Result<ClientMessage, Status>>,
    holding: Holding,
    board: Arc<Board>,
    units: Arc<AtomicU64>,
}

impl Session {
    async fn run(
        mut self,
        name: String,
        features: Vec<String>,
        mut down: mpsc::Receiver<Result<ServerMessage, Status>>,
        mut orders: mpsc::Receiver<Order>,
    ) -> Result<()> {
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            features,
            data_plane: name,
        };
        self.send(Up::Hello(hello)).await?;
        for part in self.holding.statement() {
            self.send(Up::Subscribe(part)).await?;
        }
        loop {
            // Both branches are safe to cancel: a message or none.
            tokio::select! {
                message = down.recv() => match message {
                    Some(message) => self.hear(message?).await?,
                    None => bail!("the stream ended"),
                },
                order = orders.recv() => match order {
                    Some(Order::Leave(answer)) => {
                        // Whoever asked may have gone.
                        let _ = answer.send(self.holding);
                        return Ok(());
                    }
                    Some(order) => self.follow(order).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn follow(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Subscribe(names) => {
                for part in names.chunks(MAX_NAMES) {
                    let subscribe = Subscribe {
                        names: part.iter().map(|name| held(name, None)).collect(),
                        ..Subscribe::default()
                    };
                    self.send(Up::Subscribe(subscribe)).await?;
                }
            }
            Order::Unsubscribe(names) => {
                let names = names.iter().map(Name::to_string).collect();
                self.send(Up::Unsubscribe(Unsubscribe { names })).await?;
            }
            Order::Size(answer) => {
                let _ = answer.send(self.holding.size());
            }
            Order::Leave(_) => {}
        }
        Ok(())
    }

    async fn hear(&mut self, message: ServerMessage) -> Result<()> {
        match message.message {
            Some(Down::Unit(unit)) => {
                let number = unit.number;
                self.holding.apply(unit)?;
                self.units.fetch_add(1, Ordering::Relaxed);
                self.board.note();
                self.send(Up::Ack(Ack { unit: number })).await
            }
            _ => Ok(()),
        }
    }

    async fn send(&self, message: Up) -> Result<()> {
        let message = ClientMessage {
            message: Some(message),
        };
        let sent = self.up.send(Ok(message)).await;
        sent.ok().context("the stream ended")
    }
}

impl Holding {
    /// States all of it: dependencies first, as a data plane does; all but the last message say
    /// that more follows.
    fn statement(&self) -> Vec<Subscribe> {
        let held = |(name, version): (&Arc<Name>, &Option<Version>)| held(name, *version);
        let (names, dependencies): (Vec<_>, Vec<_>) = self
            .versions
            .iter()
            .partition(|(name, _)| name.is_subscribable());
        let dependencies = dependencies.chunks(MAX_NAMES).map(|part| Subscribe {
            dependencies: part.iter().copied().map(held).collect(),
            more: true,
            ..Subscribe::default()
        });
        let names = names.chunks(MAX_NAMES).map(|part| Subscribe {
            names: part.iter().copied().map(held).collect(),
            more: true,
            ..Subscribe::default()
        });
        let mut parts: Vec<Subscribe> = dependencies.chain(names).collect();
        if let Some(last) = parts.last_mut() {
            last.more = false;
        }
        parts
    }

    fn apply(&mut self, unit: Unit) -> Result<()> {
        for change in unit.changes {
            let name: Name = change.name.parse()?;
            match change.change {
                Some(Kind::Upsert(upsert)) => {
                    let version = Version::from_bytes(&upsert.version);
                    let version = version.context("a version of another length")?;
                    self.versions.insert(Arc::new(name), Some(version));
                }
                Some(Kind::Absent(_)) => {
                    self.versions.insert(Arc::new(name), None);
                }
                Some(Kind::Drop(_)) => {
                    self.versions.remove(&name);
                }
                None => bail!("a change of no kind"),
            }
        }
        Ok(())
    }

    /// Names, and bytes of memory by the sizes of what is kept: entries with their control bytes,
    /// names with their counts and texts.
    fn size(&self) -> (usize, usize) {
        let entry = size_of::<(Arc<Name>, Option<Version>)>() + 1;
        let name = size_of::<Name>() + 2 * size_of::<usize>();
        let texts: usize = self.versions.keys().map(|name| text_bytes(name)).sum();
        let bytes = self.versions.capacity() * entry + self.versions.len() * name + texts;
        (self.versions.len(), bytes)
    }
}

fn text_bytes(name: &Name) -> usize {
    match name {
        Name::Domain(text) | Name::Tenant(text) => text.len(),
        Name::Provider(name)
        | Name::Rules(name)
        | Name::Consumer(name)
        | Name::Quota(name)
        | Name::Certificate(name)
        | Name::Authority(name) => name.namespace.len() + name.name.len(),
        Name::Endpoints(port) => port.service.namespace.len() + port.service.name.len(),
        Name::Credential { realm, .. } => realm.len(),
        Name::Fleet | Name::FleetCertificates => 0,
    }
}

fn held(name: &Name, version: Option<Version>) -> Held {
    Held {
        name: name.to_string(),
        version: version.map(Version::to_bytes).unwrap_or_default(),
    }
}
