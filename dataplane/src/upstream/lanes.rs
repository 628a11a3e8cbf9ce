//! Connections made one way: for each origin as many as it needs.
//!
//! Of HTTP/1.1 each request has a connection to itself, and leaves it to the next. Of HTTP/2 many share
//! one, but no more than the peer takes: so an origin has lanes, each with one connection and a count of
//! its streams; a request takes the first lane with room, or a new one. Whether HTTP/2 is spoken, and
//! with how many streams, is known once the first connection of a lane stands: those who come meanwhile
//! wait for it.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::quality::RandomState;
use http::Uri;
use http::uri::{Authority, Scheme};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::connect::{Connect, ConnectError, Versions};
use super::http1::Driven;
use super::http2::Shared;
use super::idle::{IDLE_CONNECTION, Idle, SWEEP};
use super::kept::Kept;
use super::peer::{Peer, Spoken};

/// Streams on one connection, even where the peer takes more: what RFC 9113 asks servers to take at
/// least, and one lost packet holds up no more than these.
pub(super) const MAX_STREAMS: usize = 100;
/// Lanes of an origin; more requests than they take share them.
const MAX_LANES: usize = 1024;
/// How long a lane that refused a stream is passed over.
const REST: Duration = Duration::from_secs(1);
/// Origins that are not looked through; a provider has one.
const FEW: usize = 256;
/// How long an origin is kept that nobody asks: longer than its connections may idle.
const UNUSED: Duration = Duration::from_secs(120);

/// Connections made one way; dropped, the idle ones are closed.
pub(super) struct Lanes {
    connect: Arc<Connect>,
    origins: Mutex<Origins>,
    upgrading: Arc<Origin>,
}

#[derive(Default)]
struct Origins {
    known: HashMap<Key, (Arc<Origin>, Instant), RandomState>,
    /// How many may be known before the unused are looked for.
    bound: usize,
}

/// A scheme, host and port, as they are written: the same in other letters is another one.
struct Key(Scheme, Authority);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.1.as_str() == other.1.as_str() && self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.1.as_str().as_bytes());
    }
}

/// A scheme, host and port.
pub(super) struct Origin {
    connect: Arc<Connect>,
    first: Arc<Lane>,
    more: Mutex<Vec<Arc<Lane>>>,
}

/// Connections of HTTP/1.1, or one of HTTP/2.
struct Lane {
    connect: Arc<Connect>,
    versions: Versions,
    idle: Arc<Idle>,
    /// `None`: there is none, or it has ended.
    shared: Mutex<Option<Shared>>,
    peer: Arc<Peer>,
    /// Somebody is on the way to find out what is spoken there.
    is_scouted: AtomicBool,
    /// Whoever was is back and has found out nothing: let everybody try.
    is_open: AtomicBool,
    in_flight: AtomicUsize,
    used: Mutex<Used>,
}

struct Used {
    last: Instant,
    rests_until: Instant,
}

/// No connection could be made.
pub(super) enum Fault {
    Connect(ConnectError),
    /// What came after the handshake was none.
    NoHttp,
}

impl From<ConnectError> for Fault {
    fn from(fault: ConnectError) -> Self {
        Self::Connect(fault)
    }
}

/// A connection, ready for a request.
pub(super) enum Link {
    /// To itself.
    Http1(Driven),
    /// With others.
    Http2(Shared),
    /// To itself, to become something else.
    Upgrading(Box<Kept>),
}

/// A request's place on a lane, until dropped.
pub(super) struct Seat {
    lane: Arc<Lane>,
    /// It finds out what is spoken there. Dropped, it has found out, or all others must.
    is_scout: bool,
}

impl Lanes {
    pub(super) fn new(connect: Connect) -> Self {
        let connect = Arc::new(connect);
        Self {
            upgrading: Arc::new(Origin::upgrading(connect.clone())),
            connect,
            origins: Mutex::default(),
        }
    }

    /// Where requests go that become something else.
    pub(super) fn upgrading(&self) -> Arc<Origin> {
        self.upgrading.clone()
    }

    /// Finds the origin of a URI; `None`: it has none.
    pub(super) fn origin(&self, uri: &Uri) -> Option<Arc<Origin>> {
        let key = Key(uri.scheme()?.clone(), uri.authority()?.clone());
        let now = Instant::now();
        let mut origins = self.origins.lock();
        if let Some((origin, used)) = origins.known.get_mut(&key) {
            *used = now;
            return Some(origin.clone());
        }
        origins.make_room(now);
        let origin = Arc::new(Origin::new(self.connect.clone()));
        origins.known.insert(key, (origin.clone(), now));
        Some(origin)
    }
}

impl Origins {
    fn make_room(&mut self, now: Instant) {
        if self.known.len() < self.bound.max(FEW) {
            return;
        }
        let is_used =
            |origin: &Arc<Origin>| Arc::strong_count(origin) > 1 || origin.in_flight() > 0;
        self.known
            .retain(|_, (origin, used)| is_used(origin) || now < *used + UNUSED);
        self.bound = 2 * self.known.len();
    }
}

impl Origin {
    pub(super) fn new(connect: Arc<Connect>) -> Self {
        Self::with_first(Lane::new(&connect, Versions::Any), connect)
    }

    /// Of all hosts, for requests that become something else: over HTTP/1.1, and no connection is kept.
    pub(super) fn upgrading(connect: Arc<Connect>) -> Self {
        Self::with_first(Lane::new(&connect, Versions::Http1), connect)
    }

    fn with_first(first: Lane, connect: Arc<Connect>) -> Self {
        Self {
            first: Arc::new(first),
            connect,
            more: Mutex::default(),
        }
    }

    /// Waits for a place: at once, but for those who come while a connection is made. Cancel-safe.
    pub(super) async fn seat(&self) -> Seat {
        loop {
            let seat = self.find_seat(Instant::now());
            if seat.is_good().await {
                return seat;
            }
        }
    }

    fn find_seat(&self, now: Instant) -> Seat {
        match self.first.peer.spoken() {
            Some(Spoken::Http2(streams)) => self.spread(streams, now),
            Some(Spoken::Http1) | None => self.first.seat(now),
        }
    }

    /// Takes the first lane with room.
    fn spread(&self, streams: u32, now: Instant) -> Seat {
        let mut more = self.more.lock();
        let has_room = |lane: &&Arc<Lane>| lane.has_room(streams, now);
        let found = std::iter::once(&self.first).chain(more.iter());
        if let Some(lane) = found.clone().find(has_room) {
            let seat = lane.seat(now);
            while more.pop_if(|last| last.is_unused(now)).is_some() {}
            return seat;
        }
        if more.len() < MAX_LANES {
            let lane = Arc::new(Lane::new(&self.connect, Versions::Any));
            let seat = lane.seat(now);
            more.push(lane);
            return seat;
        }
        let emptiest = found.min_by_key(|lane| lane.in_flight());
        emptiest.unwrap_or(&self.first).seat(now)
    }

    fn in_flight(&self) -> usize {
        let more = self.more.lock();
        let more: usize = more.iter().map(|lane| lane.in_flight()).sum();
        self.first.in_flight() + more
    }
}

impl Lane {
    fn new(connect: &Arc<Connect>, versions: Versions) -> Self {
        let peer = Arc::<Peer>::default();
        let spoken = match versions {
            Versions::Any => connect.spoken(),
            Versions::Http1 => Some(Spoken::Http1),
        };
        if let Some(spoken) = spoken {
            peer.note(spoken);
        }
        let now = Instant::now();
        Self {
            connect: connect.clone(),
            versions,
            idle: Arc::default(),
            shared: Mutex::new(None),
            peer,
            is_scouted: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            used: Mutex::new(Used {
                last: now,
                rests_until: now,
            }),
        }
    }

    fn seat(self: &Arc<Self>, now: Instant) -> Seat {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.used.lock().last = now;
        let is_known = self.peer.spoken().is_some();
        Seat {
            lane: self.clone(),
            is_scout: !is_known && !self.is_scouted.swap(true, Ordering::Relaxed),
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// `streams`: what such a peer takes, as long as this one has not said it itself.
    fn has_room(&self, streams: u32, now: Instant) -> bool {
        let streams = match self.peer.spoken() {
            Some(Spoken::Http2(own)) => own,
            _ => streams,
        };
        self.in_flight() < bounded(streams) && self.used.lock().rests_until <= now
    }

    /// Gives the connection of HTTP/2 that stands. Where it has ended, the first who comes makes another,
    /// and the others wait for it.
    fn shared(&self) -> Option<Shared> {
        let mut shared = self.shared.lock();
        if shared.take_if(|shared| shared.is_closed()).is_some() {
            self.reopen();
        }
        shared.clone()
    }

    /// Nothing is known any more.
    fn reopen(&self) {
        self.is_scouted.store(false, Ordering::Relaxed);
        self.is_open.store(false, Ordering::Relaxed);
        self.peer.forget();
    }

    fn is_unused(&self, now: Instant) -> bool {
        self.in_flight() == 0 && self.used.lock().last + IDLE_CONNECTION < now
    }
}

impl Seat {
    /// Waits until it is known what is spoken there; `false`: there is no room for it after all.
    async fn is_good(&self) -> bool {
        let lane = &self.lane;
        if self.is_scout || lane.peer.spoken().is_some() {
            return true;
        }
        loop {
            let mut told = pin!(lane.peer.told.notified());
            // From here on no word is missed.
            told.as_mut().enable();
            match lane.peer.spoken() {
                Some(Spoken::Http1) => return true,
                Some(Spoken::Http2(streams)) => return lane.in_flight() <= bounded(streams),
                None if lane.is_open.load(Ordering::Relaxed) => return true,
                None => told.await,
            }
        }
    }

    /// Takes a connection that stands.
    pub(super) fn standing(&self) -> Option<Link> {
        match self.lane.peer.spoken()? {
            Spoken::Http1 => self.lane.idle.take().map(Link::Http1),
            Spoken::Http2(_) => self.lane.shared().map(Link::Http2),
        }
    }

    /// Whether a new connection may be made: not where another one is at it.
    pub(super) fn may_connect(&self) -> bool {
        self.is_scout
            || self.lane.peer.spoken().is_some()
            || self.lane.is_open.load(Ordering::Relaxed)
    }

    /// Makes a new connection.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Link, Fault> {
        let lane = &self.lane;
        let stream = lane.connect.connect(uri, lane.versions).await?;
        let kept = Kept::new(stream, lane.peer.clone());
        if lane.versions == Versions::Http1 {
            return Ok(Link::Upgrading(Box::new(kept)));
        }
        if !kept.is_h2() {
            let driven = Driven::begin(kept).await;
            return Ok(Link::Http1(driven.map_err(|_| Fault::NoHttp)?));
        }
        let (shared, running) = Shared::begin(kept).await.map_err(|_| Fault::NoHttp)?;
        // Before its peer can have told anything.
        *lane.shared.lock() = Some(shared.clone());
        let lane = Arc::downgrade(lane);
        tokio::spawn(async move {
            let mut running = pin!(running);
            tokio::select! {
                biased;
                () = running.as_mut() => return,
                () = until_unused(lane) => {}
            }
            running.await
        });
        Ok(Link::Http2(shared))
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn keep(&self, driven: Driven) {
        self.lane.idle.put(driven);
    }

    /// Notes that the peer took no more streams.
    pub(super) fn refused(&self) {
        self.lane.used.lock().rests_until = Instant::now() + REST;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lane.in_flight.fetch_sub(1, Ordering::Relaxed);
        let peer = &self.lane.peer;
        if self.is_scout && peer.spoken().is_none() {
            self.lane.is_open.store(true, Ordering::Relaxed);
            peer.told.notify_waiters();
        }
    }
}

/// Waits until a lane is gone, or lets go of a connection that idled for too long.
async fn until_unused(lane: Weak<Lane>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(lane) = lane.upgrade() else { return };
        let mut shared = lane.shared.lock();
        // Whoever has a seat by now finds the connection, or none.
        if lane.is_unused(Instant::now()) {
            *shared = None;
            lane.reopen();
            return;
        }
    }
}

/// So many streams are put on a connection whose peer takes so many.
fn bounded(streams: u32) -> usize {
    let streams = usize::try_from(streams).unwrap_or(MAX_STREAMS);
    // One that takes none at the moment is waited for.
    streams.clamp(1, MAX_STREAMS)
}

#[cfg(test)]
mod tests;
