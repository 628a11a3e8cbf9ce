//! What the leader knows of the data planes of other replicas; cheap to clone.
//!
//! One lock over plain maps, held for a few look-ups. Answers are kept while a status
//! may be drafted with them, up to a bound; a peer that leaves takes its answers along.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use turnpike_snapshot::proto::from_replica::Message;
use turnpike_snapshot::{Name, Version};

use crate::peers::wire::{self, Exact};
use crate::serve::{Holder, Standing};

/// Answers of one peer; those that are final are forgotten beyond, and asked for anew.
const MAX_ANSWERS: usize = 10_000;
/// Open questions to one peer, and names that it says are refused.
const MAX_NAMES: usize = 100_000;

/// The meeting point of the status writer and the peers.
#[derive(Clone)]
pub struct Board {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    connected: watch::Sender<usize>,
    news: Notify,
}

#[derive(Default)]
struct State {
    peers: BTreeMap<u64, Peer>,
    next_id: u64,
    /// Names on which a verdict may have changed.
    news: BTreeSet<Name>,
}

struct Peer {
    identity: String,
    connected: usize,
    asked: HashMap<Name, Option<Version>>,
    answers: HashMap<Name, Answer>,
    suspects: HashSet<Name>,
    /// Asked and not sent yet; the newest question about each name.
    outbox: BTreeMap<Name, Option<Version>>,
    wake: Arc<Notify>,
}

struct Answer {
    version: Option<Version>,
    holders: Vec<Holder>,
}

/// One peer's place; leaving it forgets the peer.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    wake: Arc<Notify>,
    id: u64,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                connected: watch::Sender::new(0),
                news: Notify::new(),
            }),
        }
    }
}

impl Board {
    /// Counts the data planes of all peers.
    pub fn connected(&self) -> usize {
        *self.shared.connected.borrow()
    }

    /// Wakes whenever that count changes.
    pub fn connections(&self) -> watch::Receiver<usize> {
        self.shared.connected.subscribe()
    }

    /// Counts the peers.
    pub fn len(&self) -> usize {
        self.shared.state.lock().peers.len()
    }

    /// Whether there is no peer to ask.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some peer says that one of these names is refused.
    pub fn is_suspect(&self, names: &[Name]) -> bool {
        let state = self.shared.state.lock();
        let mut peers = state.peers.values();
        peers.any(|peer| names.iter().any(|name| peer.suspects.contains(name)))
    }

    /// Tells who holds this very version elsewhere. A peer that has not answered counts
    /// as one that lags, and is asked; [`Board::next_news`] tells when it has.
    pub fn holders(&self, name: &Name, version: Option<Version>) -> Vec<Holder> {
        let mut state = self.shared.state.lock();
        let peers = state.peers.values_mut();
        peers.flat_map(|peer| peer.holders(name, version)).collect()
    }

    /// Waits for names of which peers had news, and takes all there are. Safe to cancel.
    pub async fn next_news(&self) -> BTreeSet<Name> {
        loop {
            let taken = std::mem::take(&mut self.shared.state.lock().news);
            if !taken.is_empty() {
                return taken;
            }
            self.shared.news.notified().await;
        }
    }

    /// Takes a place for a peer.
    pub(crate) fn join(&self, identity: &str) -> Seat {
        let wake = Arc::new(Notify::new());
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let peer = Peer {
            identity: identity.to_owned(),
            connected: 0,
            asked: HashMap::new(),
            answers: HashMap::new(),
            suspects: HashSet::new(),
            outbox: BTreeMap::new(),
            wake: wake.clone(),
        };
        state.peers.insert(id, peer);
        Seat {
            shared: self.shared.clone(),
            wake,
            id,
        }
    }
}

impl Seat {
    /// Takes what the peer says.
    pub(crate) fn hear(&self, message: Message) {
        let mut state = self.shared.state.lock();
        let Some(peer) = state.peers.get_mut(&self.id) else {
            return;
        };
        let news = match message {
            Message::Connected(connected) => {
                peer.connected = usize::try_from(connected.data_planes).unwrap_or(usize::MAX);
                self.count(&state);
                None
            }
            Message::Answer(answer) => wire::read_exact(&answer.name, &answer.version)
                .and_then(|exact| peer.answer(exact, wire::read_holders(answer.bearers))),
            Message::Suspect(suspect) => suspect
                .name
                .parse()
                .ok()
                .and_then(|name| peer.suspect(name, suspect.is_suspect)),
            Message::Hello(_) => None,
        };
        if let Some(name) = news {
            state.news.insert(name);
            drop(state);
            self.shared.news.notify_one();
        }
    }

    /// Waits for questions and takes at most so many. Safe to cancel.
    pub(crate) async fn questions(&self, count: usize) -> Vec<Exact> {
        loop {
            let taken = self.take_questions(count);
            if !taken.is_empty() {
                return taken;
            }
            self.wake.notified().await;
        }
    }

    fn take_questions(&self, count: usize) -> Vec<Exact> {
        let mut state = self.shared.state.lock();
        let Some(peer) = state.peers.get_mut(&self.id) else {
            return Vec::new();
        };
        std::iter::from_fn(|| peer.outbox.pop_first())
            .take(count)
            .collect()
    }

    fn count(&self, state: &State) {
        let peers = state.peers.values();
        let connected = peers.fold(0_usize, |sum, peer| sum.saturating_add(peer.connected));
        self.shared.connected.send_if_modified(|known| {
            let is_news = *known != connected;
            *known = connected;
            is_news
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(peer) = state.peers.remove(&self.id) {
            state.news.extend(peer.asked.into_keys());
            state.news.extend(peer.suspects);
        }
        self.count(&state);
        drop(state);
        self.shared.news.notify_one();
    }
}

impl Peer {
    fn holders(&mut self, name: &Name, version: Option<Version>) -> Vec<Holder> {
        let answer = self.answers.get(name);
        if let Some(answer) = answer.filter(|answer| answer.version == version) {
            return answer.holders.clone();
        }
        if self.asked.get(name) != Some(&version) {
            if self.asked.len() >= MAX_NAMES {
                self.asked.clear();
            }
            self.asked.insert(name.clone(), version);
            self.outbox.insert(name.clone(), version);
            self.wake.notify_one();
        }
        vec![Holder {
            data_plane: format!("(those of controller {})", self.identity),
            standing: Standing::Lagging,
        }]
    }

    /// `None`: to a question that was replaced meanwhile.
    fn answer(&mut self, (name, version): Exact, holders: Vec<Holder>) -> Option<Name> {
        if self.asked.get(&name) != Some(&version) {
            return None;
        }
        if wire::is_final(&holders) {
            self.asked.remove(&name);
        }
        if self.answers.len() >= MAX_ANSWERS {
            self.answers
                .retain(|_, answer| !wire::is_final(&answer.holders));
        }
        self.answers
            .insert(name.clone(), Answer { version, holders });
        Some(name)
    }

    fn suspect(&mut self, name: Name, is_suspect: bool) -> Option<Name> {
        let is_news = match is_suspect {
            true => self.suspects.len() < MAX_NAMES && self.suspects.insert(name.clone()),
            false => self.suspects.remove(&name),
        };
        if !is_news {
            return None;
        }
        // What it answered before is not so any more.
        self.answers.remove(&name);
        self.asked.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests;
