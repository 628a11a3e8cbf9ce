//! Who wants to hear of which names, and how far each data plane has got.
//!
//! One lock over plain maps, held for a few look-ups and never while a snapshot
//! is compiled or a message is sent; it may be taken under any other lock.
//! Memory follows the names that data planes hold, not those that exist. What one
//! stream does costs the same however many streams there are.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use turnpike_snapshot::Name;

use crate::serve::pulse::{Beat, Pulse};

/// Names marked or forgotten under one lock; streams get in between.
const AT_ONCE: usize = 1024;

/// The meeting point of whoever changes names and the streams; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// What data planes hold of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Data planes connected now, holders or not.
    pub connected: usize,
    /// Those that hold the name or are about to.
    pub holders: Vec<Holder>,
}

/// One data plane that holds a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// As it named itself in its hello.
    pub data_plane: String,
    /// How far it has got.
    pub standing: Standing,
}

/// How far one data plane has got with one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Something newer is queued, or sent and not acknowledged.
    Lagging,
    /// It acknowledged the newest.
    Current,
    /// It refused the newest, in these words; what it held before stays in force.
    Refused(String),
    /// It lacks these features, so that the newest is not sent to it.
    TooOld(Vec<String>),
}

/// One stream at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standpoint {
    /// As it named itself in its hello.
    pub data_plane: String,
    /// When it came.
    pub since: Timestamp,
    /// How many names it holds.
    pub names: usize,
    /// Of how many it has not got the newest yet.
    pub lagging: usize,
    /// What it has not acknowledged.
    pub beat: Beat,
}

/// Tells the names whose [`Delivery`] may have changed.
pub struct News {
    shared: Arc<Shared>,
    wake: Arc<Notify>,
    id: u64,
}

/// One stream's place at the hub; leaving it forgets the stream.
pub struct Seat {
    shared: Arc<Shared>,
    wake: Arc<Notify>,
    pulse: Arc<Pulse>,
    id: u64,
}

/// What a stream reports of a name. `Lagging` by queue is added by the hub.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Watched, with nothing held of it.
    Watched,
    /// Held or refused, as told.
    Holds(Standing),
}

/// Which queue a name waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A request may be waiting for it.
    Asked,
    /// All else.
    Changed,
}

struct Shared {
    state: Mutex<State>,
    connected: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// Marks by the stream's id, ascending: a few look-ups find one of thousands.
    names: HashMap<Arc<Name>, Vec<Mark>>,
    streams: HashMap<u64, Stream>,
    next_id: u64,
    /// One or two; nothing is collected for nobody.
    listeners: Vec<Listener>,
}

/// Whom news are collected for.
struct Listener {
    id: u64,
    /// Bounded by the names that are watched.
    names: HashSet<Arc<Name>>,
    wake: Arc<Notify>,
}

/// One stream's interest in one name.
struct Mark {
    stream: u64,
    is_queued: bool,
    report: Report,
}

struct Stream {
    data_plane: String,
    /// Each name is in a queue once, but for one asked for while it waited as changed.
    asked: VecDeque<Arc<Name>>,
    changed: VecDeque<Arc<Name>>,
    /// Taken from the queues and not reported yet: still lagging. A few names.
    in_hand: Vec<Arc<Name>>,
    wake: Arc<Notify>,
    since: Timestamp,
    pulse: Arc<Pulse>,
    tally: Tally,
}

/// Sums over the marks of one stream.
#[derive(Clone, Copy, Default)]
struct Tally {
    watched: usize,
    held: usize,
    lagging: usize,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub where nobody listens yet.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                connected: watch::Sender::new(0),
            }),
        }
    }

    /// Marks names as changed for the streams that watch them; others hear nothing.
    pub fn publish(&self, names: impl IntoIterator<Item = Name>) {
        let mut names = names.into_iter().peekable();
        while names.peek().is_some() {
            let mut state = self.shared.state.lock();
            for name in names.by_ref().take(AT_ONCE) {
                state.publish(&name);
            }
        }
    }

    /// Tells who holds a name and how far they have got.
    pub fn delivery(&self, name: &Name) -> Delivery {
        self.shared.state.lock().delivery(name)
    }

    /// Counts the data planes that are connected.
    pub fn connected(&self) -> usize {
        *self.shared.connected.borrow()
    }

    /// Wakes whenever a data plane comes or goes; the value is how many are connected.
    pub fn connections(&self) -> watch::Receiver<usize> {
        self.shared.connected.subscribe()
    }

    /// Counts the names held, over all data planes.
    pub fn names_held(&self) -> usize {
        let state = self.shared.state.lock();
        let streams = state.streams.values();
        streams.map(|stream| stream.tally.held).sum()
    }

    /// Gives the names that some data plane holds.
    pub fn held_names(&self) -> Vec<Arc<Name>> {
        let state = self.shared.state.lock();
        let names = state.names.iter();
        let is_held = |marks: &[Mark]| marks.iter().any(Mark::is_held);
        names
            .filter(|(_, marks)| is_held(marks))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Tells how each stream fares.
    pub fn standpoints(&self, now: Instant) -> Vec<Standpoint> {
        let state = self.shared.state.lock();
        let streams = state.streams.values();
        streams
            .map(|stream| Standpoint {
                data_plane: stream.data_plane.clone(),
                since: stream.since,
                names: stream.tally.held,
                lagging: stream.tally.lagging,
                beat: stream.pulse.beat(now),
            })
            .collect()
    }

    /// Starts to collect the names whose delivery changes, until the news are dropped.
    pub fn news(&self) -> News {
        let wake = Arc::new(Notify::new());
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.listeners.push(Listener {
            id,
            names: HashSet::new(),
            wake: wake.clone(),
        });
        News {
            shared: self.shared.clone(),
            wake,
            id,
        }
    }

    /// Gives the names that some data plane refuses or is too old for. Walks all names.
    pub fn suspects(&self) -> BTreeSet<Name> {
        let state = self.shared.state.lock();
        let names = state.names.iter();
        names
            .filter(|(_, marks)| marks.iter().any(Mark::is_suspect))
            .map(|(name, _)| (**name).clone())
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.state.lock().names.is_empty()
    }

    /// Takes a place for a stream.
    pub(crate) fn join(&self, data_plane: &str) -> Seat {
        let wake = Arc::new(Notify::new());
        let pulse = Arc::new(Pulse::new(Instant::now()));
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let stream = Stream {
            data_plane: data_plane.to_owned(),
            asked: VecDeque::new(),
            changed: VecDeque::new(),
            in_hand: Vec::new(),
            wake: wake.clone(),
            since: Timestamp::now(),
            pulse: pulse.clone(),
            tally: Tally::default(),
        };
        state.streams.insert(id, stream);
        self.shared.connected.send_replace(state.streams.len());
        drop(state);
        Seat {
            shared: self.shared.clone(),
            wake,
            pulse,
            id,
        }
    }
}

impl News {
    /// Waits for changes and takes all there are. Safe to cancel: what was not returned stays.
    pub async fn next(&mut self) -> BTreeSet<Name> {
        loop {
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            // A change since `take` has left a permit here.
            self.wake.notified().await;
        }
    }

    /// Takes all there are now.
    pub fn take(&mut self) -> BTreeSet<Name> {
        let mut state = self.shared.state.lock();
        let own = state.listeners.iter_mut().find(|own| own.id == self.id);
        let taken = own.map(|own| std::mem::take(&mut own.names));
        drop(state);
        let taken = taken.unwrap_or_default();
        taken.into_iter().map(|name| (*name).clone()).collect()
    }
}

impl Drop for News {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.listeners.retain(|listener| listener.id != self.id);
    }
}

impl Seat {
    /// Hears of the name from now on. To be called before the name is read.
    pub(crate) fn watch(&self, name: &Arc<Name>) {
        let mut state = self.shared.state.lock();
        let marks = state.names.entry(name.clone()).or_default();
        // The newest stream stands last.
        let Err(at) = find(marks, self.id) else {
            return;
        };
        let mark = Mark {
            stream: self.id,
            is_queued: false,
            report: Report::Watched,
        };
        marks.insert(at, mark);
        if let Some(stream) = state.streams.get_mut(&self.id) {
            stream.tally.watched += 1;
        }
    }

    /// Hears of the name no more.
    pub(crate) fn unwatch(&self, name: &Name) {
        self.shared.state.lock().unwatch(self.id, name);
    }

    /// Gives the place up, of which these are the names: cheaper than finding them.
    pub(crate) fn leave<'a>(&self, names: impl IntoIterator<Item = &'a Arc<Name>>) {
        let mut names = names.into_iter().peekable();
        while names.peek().is_some() {
            let mut state = self.shared.state.lock();
            for name in names.by_ref().take(AT_ONCE) {
                state.unwatch(self.id, name);
            }
        }
    }

    /// Where to note how this stream fares.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Puts a watched name into a queue of this stream.
    pub(crate) fn mark(&self, name: &Name, urgency: Urgency) {
        self.shared.state.lock().mark(self.id, name, urgency);
    }

    /// Whether anything waits.
    pub(crate) fn has_work(&self) -> bool {
        let state = self.shared.state.lock();
        state
            .streams
            .get(&self.id)
            .is_some_and(|stream| !(stream.asked.is_empty() && stream.changed.is_empty()))
    }

    /// Waits until something may wait. Safe to cancel.
    pub(crate) async fn work(&self) {
        self.wake.notified().await;
    }

    /// Takes the next name in hand; it lags until [`Seat::put_down`].
    pub(crate) fn take(&self) -> Option<Arc<Name>> {
        self.shared.state.lock().take(self.id)
    }

    /// Takes this name in hand too, if it waits.
    pub(crate) fn take_this(&self, name: &Name) -> bool {
        self.shared.state.lock().take_this(self.id, name).is_some()
    }

    /// Lays down all that is in hand, once the reports of it are in.
    pub(crate) fn put_down(&self) {
        let mut state = self.shared.state.lock();
        let in_hand = match state.streams.get_mut(&self.id) {
            Some(stream) => std::mem::take(&mut stream.in_hand),
            None => Vec::new(),
        };
        for name in in_hand {
            state.tell(&name);
        }
    }

    /// Says how far this data plane has got with a name.
    pub(crate) fn report(&self, name: &Name, report: Report) {
        let mut state = self.shared.state.lock();
        let change = |mark: &mut Mark| {
            let is_news = mark.report != report;
            mark.report = report;
            is_news
        };
        if state.change(self.id, name, change) == Some(true) {
            state.tell(name);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.leave(self.id);
        self.shared.connected.send_replace(state.streams.len());
    }
}

impl State {
    fn publish(&mut self, name: &Name) {
        let Some((name, _)) = self.names.get_key_value(name) else {
            return;
        };
        let name = name.clone();
        let Some(marks) = self.names.get_mut(&name) else {
            return;
        };
        for mark in marks.iter_mut().filter(|mark| !mark.is_queued) {
            if let Some(stream) = self.streams.get_mut(&mark.stream) {
                stream.tally.subtract(mark);
                mark.is_queued = true;
                stream.tally.add(mark);
                stream.changed.push_back(name.clone());
                stream.wake.notify_one();
            }
        }
    }

    fn mark(&mut self, id: u64, name: &Name, urgency: Urgency) {
        let Some((name, _)) = self.names.get_key_value(name) else {
            return;
        };
        let name = name.clone();
        let enqueue = |mark: &mut Mark| std::mem::replace(&mut mark.is_queued, true);
        let Some(was_queued) = self.change(id, &name, enqueue) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match urgency {
            Urgency::Asked => stream.asked.push_back(name),
            Urgency::Changed if !was_queued => stream.changed.push_back(name),
            Urgency::Changed => {}
        }
        stream.wake.notify_one();
    }

    fn take(&mut self, id: u64) -> Option<Arc<Name>> {
        loop {
            let stream = self.streams.get_mut(&id)?;
            let name = stream
                .asked
                .pop_front()
                .or_else(|| stream.changed.pop_front())?;
            if let Some(name) = self.take_this(id, &name) {
                return Some(name);
            }
        }
    }

    /// `None`: forgotten meanwhile, or met in the other queue before.
    fn take_this(&mut self, id: u64, name: &Name) -> Option<Arc<Name>> {
        let dequeue = |mark: &mut Mark| std::mem::take(&mut mark.is_queued);
        if !self.change(id, name, dequeue)? {
            return None;
        }
        let name = self.names.get_key_value(name)?.0.clone();
        self.streams.get_mut(&id)?.in_hand.push(name.clone());
        Some(name)
    }

    fn delivery(&self, name: &Name) -> Delivery {
        let marks = self.names.get(name).into_iter().flatten();
        Delivery {
            connected: self.streams.len(),
            holders: marks.filter_map(|mark| self.holder(name, mark)).collect(),
        }
    }

    fn holder(&self, name: &Name, mark: &Mark) -> Option<Holder> {
        let stream = self.streams.get(&mark.stream)?;
        let is_in_hand = stream.in_hand.iter().any(|held| **held == *name);
        let standing = match &mark.report {
            _ if mark.is_queued || is_in_hand => Standing::Lagging,
            Report::Watched => return None,
            Report::Holds(standing) => standing.clone(),
        };
        Some(Holder {
            data_plane: stream.data_plane.clone(),
            standing,
        })
    }

    /// Forgets a stream. Where it watched anything still, walks all names.
    fn leave(&mut self, id: u64) {
        let stream = self.streams.remove(&id);
        if stream.is_none_or(|stream| stream.tally.watched == 0) {
            return;
        }
        let Self {
            names, listeners, ..
        } = self;
        names.retain(|name, marks| {
            if let Ok(at) = find(marks, id) {
                marks.remove(at);
                for listener in listeners.iter_mut() {
                    listener.tell(name);
                }
            }
            !marks.is_empty()
        });
    }

    fn unwatch(&mut self, id: u64, name: &Name) {
        let Some(marks) = self.names.get_mut(name) else {
            return;
        };
        let Ok(at) = find(marks, id) else {
            return;
        };
        let mark = marks.remove(at);
        let is_last = marks.is_empty();
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.tally.subtract(&mark);
            stream.tally.watched -= 1;
        }
        self.tell(name);
        if is_last {
            self.names.remove(name);
        }
    }

    /// Changes one mark, and the sums with it.
    fn change<R>(
        &mut self,
        id: u64,
        name: &Name,
        change: impl FnOnce(&mut Mark) -> R,
    ) -> Option<R> {
        let marks = self.names.get_mut(name)?;
        let at = find(marks, id).ok()?;
        let mark = marks.get_mut(at)?;
        let tally = &mut self.streams.get_mut(&id)?.tally;
        tally.subtract(mark);
        let result = change(mark);
        tally.add(mark);
        Some(result)
    }

    fn tell(&mut self, name: &Name) {
        if self.listeners.is_empty() {
            return;
        }
        let name = match self.names.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => Arc::new(name.clone()),
        };
        for listener in &mut self.listeners {
            listener.tell(&name);
        }
    }
}

impl Listener {
    fn tell(&mut self, name: &Arc<Name>) {
        if self.names.insert(name.clone()) && self.names.len() == 1 {
            self.wake.notify_one();
        }
    }
}

impl Mark {
    fn is_held(&self) -> bool {
        self.report != Report::Watched
    }

    fn is_suspect(&self) -> bool {
        matches!(
            self.report,
            Report::Holds(Standing::Refused(_) | Standing::TooOld(_))
        )
    }

    fn is_lagging(&self) -> bool {
        self.is_queued || self.report == Report::Holds(Standing::Lagging)
    }
}

impl Tally {
    fn add(&mut self, mark: &Mark) {
        self.held += usize::from(mark.is_held());
        self.lagging += usize::from(mark.is_lagging());
    }

    fn subtract(&mut self, mark: &Mark) {
        self.held -= usize::from(mark.is_held());
        self.lagging -= usize::from(mark.is_lagging());
    }
}

/// Finds a stream's mark, or where it would stand.
fn find(marks: &[Mark], stream: u64) -> Result<usize, usize> {
    marks.binary_search_by_key(&stream, |mark| mark.stream)
}

#[cfg(test)]
mod tests;
