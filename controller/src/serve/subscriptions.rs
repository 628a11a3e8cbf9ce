//! What one client subscribed to and holds, and what it is to be sent next.
//!
//! Names come out of the seat's queue one by one. Each is read from the view at
//! that moment and becomes one unit: what it refers to and the client lacks, then
//! itself, then drops. Invariant: a client never holds a reference to a name
//! that it was told nothing of, not even while a unit is on its way or after it
//! refused one; so what an older copy refers to is dropped only once a newer one
//! is acknowledged.
//!
//! No clock and no I/O; cost is proportional to what is sent.

mod guard;
mod node;
mod wildcards;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;
use turnpike_snapshot::{Name, Snapshot, Version, proto};

use self::guard::{Guard, HARMLESS, Judgement, Role};
use self::node::{Held, Node, Problem};
pub(crate) use self::wildcards::covering;
use self::wildcards::{Wildcards, is_wildcard};
use crate::serve::hub::{Seat, Urgency};
use crate::serve::unit::{Change, Unit};
use crate::serve::view::View;

/// Names looked at in one go before other work of the stream gets its turn.
const NAMES_AT_ONCE: usize = 64;

/// Units sent and not acknowledged, above which nothing more is sent: a client
/// that does not keep up is told less, and later.
const UNACKNOWLEDGED_UNITS: usize = 64;

/// A refusal's words are kept for conditions, up to this many characters.
const REFUSAL_CHARS: usize = 512;

/// The state of one stream.
pub struct Subscriptions {
    seat: Seat,
    features: HashSet<String>,
    nodes: HashMap<Arc<Name>, Node>,
    wildcards: Wildcards,
    guard: Guard,
    /// At most `UNACKNOWLEDGED_UNITS`, oldest first.
    in_flight: VecDeque<Sent>,
    last_number: u64,
    is_stating: bool,
    /// Nodes whose settled copy is only stated. While there are any, stated
    /// dependencies stay: something stated may need them.
    stated: HashSet<Arc<Name>>,
    pinned: Vec<Arc<Name>>,
}

/// More of what a client came with is gone than anybody would delete at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MassDelete {
    /// Names that it holds and that are gone.
    pub withheld: usize,
    /// Names that it said it holds.
    pub stated: usize,
}

struct Sent {
    number: u64,
    at: Instant,
    names: Vec<Arc<Name>>,
}

/// A unit in the making.
struct Draft {
    number: u64,
    changes: Vec<(Arc<Name>, Change)>,
}

impl Subscriptions {
    /// Nothing subscribed, nothing held.
    pub fn new(seat: Seat, features: impl IntoIterator<Item = String>) -> Self {
        Self::guarded(seat, features, Guard::new(HARMLESS))
    }

    fn guarded(seat: Seat, features: impl IntoIterator<Item = String>, guard: Guard) -> Self {
        Self {
            seat,
            features: features.into_iter().collect(),
            nodes: HashMap::new(),
            wildcards: Wildcards::default(),
            guard,
            in_flight: VecDeque::new(),
            last_number: 0,
            is_stating: true,
            stated: HashSet::new(),
            pinned: Vec::new(),
        }
    }

    /// Gives the place at the hub, to wait at.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Whether [`Subscriptions::next_unit`] may have one to give.
    pub fn has_work(&self) -> bool {
        self.in_flight.len() < UNACKNOWLEDGED_UNITS && self.seat.has_work()
    }

    /// Asks for names, each with what the client says it holds of it; the same for
    /// what it holds by reference, where no version means that it knows of nothing there.
    ///
    /// What it says is believed until [`Subscriptions::end_statement`]: later its
    /// words could be older than what is on its way to it, so that what is asked for
    /// again is sent again.
    pub fn subscribe(
        &mut self,
        names: Vec<(Name, Option<Version>)>,
        dependencies: Vec<(Name, Option<Version>)>,
    ) {
        let is_stating = self.is_stating;
        for (name, version) in dependencies.into_iter().filter(|_| is_stating) {
            let name = self.state(name, version);
            if version.is_some() {
                self.guard.state(&name, Role::Dependency);
            }
            let node = self.nodes.entry(name.clone()).or_default();
            node.is_pinned = true;
            if node.latest().is_none() {
                node.settled = Some(Held::Absent);
            }
            self.seat.mark(&name, Urgency::Changed);
            self.pinned.push(name);
        }
        for (name, version) in names {
            let version = version.filter(|_| is_stating);
            let urgency = match version {
                Some(_) => Urgency::Changed,
                None => Urgency::Asked,
            };
            let name = self.state(name, version);
            if version.is_some() {
                self.guard.state(&name, Role::Root);
            }
            self.nodes.entry(name.clone()).or_default().is_root = true;
            self.seat.mark(&name, urgency);
        }
    }

    /// Ends the time in which the client states what it held before this stream; it may
    /// take several messages. Until then no stated dependency is dropped, as what
    /// needs it may be stated next; nor is anything stated withdrawn, as too much of it
    /// may have to be.
    pub fn end_statement(&mut self) {
        self.is_stating = false;
        self.guard.end_statement();
        self.unpin();
    }

    /// Judges the withdrawals of the stream's start once all that was stated is compiled:
    /// they are let go, or it is told, once, that they are too many and withheld until
    /// [`Subscriptions::accept_mass_delete`]. Everything else goes on.
    pub fn judge_mass_delete(&mut self) -> Option<MassDelete> {
        match self.guard.judge()? {
            Judgement::Release(names) => {
                self.withdraw(&names);
                None
            }
            Judgement::Hold { withheld, stated } => Some(MassDelete { withheld, stated }),
        }
    }

    /// Lets everything be withdrawn from now on.
    pub fn accept_mass_delete(&mut self) {
        let names = self.guard.open();
        self.withdraw(&names);
    }

    /// Counts the withdrawals that are withheld.
    pub fn withheld(&self) -> usize {
        self.guard.held_back()
    }

    /// Shows everybody how the stream fares.
    pub fn beat(&self) {
        let (oldest, withheld) = (self.oldest_unacknowledged(), self.withheld());
        self.seat
            .pulse()
            .note(self.in_flight.len(), oldest, withheld);
    }

    /// When the oldest unit that is not acknowledged was sent.
    pub fn oldest_unacknowledged(&self) -> Option<Instant> {
        self.in_flight.front().map(|sent| sent.at)
    }

    /// Takes names back. What nothing else refers to is dropped with the next unit.
    pub fn unsubscribe(&mut self, names: impl IntoIterator<Item = Name>) {
        for name in names {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.is_root = false;
                self.seat.mark(&name, Urgency::Changed);
            }
        }
    }

    /// Notes that the client applied all units up to this one.
    pub fn acknowledge(&mut self, unit: u64) {
        while let Some(sent) = self.in_flight.pop_front_if(|sent| sent.number <= unit) {
            for name in sent.names {
                self.settle(&name, sent.number);
            }
        }
    }

    /// Notes that the client refused a version and keeps what it had.
    /// Tells whether that version was on its way.
    pub fn refuse(&mut self, unit: u64, name: &Name, version: Version, message: &str) -> bool {
        let message = message.chars().take(REFUSAL_CHARS).collect();
        let Some(node) = self.nodes.get_mut(name) else {
            return false;
        };
        let Some(held) = node.refuse(unit, version, message) else {
            return false;
        };
        self.release(&held.into_references());
        self.report(name);
        true
    }

    /// Makes the next unit; `None`: nothing to send, or not yet.
    pub fn next_unit(&mut self, view: &dyn View, now: Instant) -> Option<Unit> {
        for _ in 0..NAMES_AT_ONCE {
            if self.in_flight.len() >= UNACKNOWLEDGED_UNITS {
                return None;
            }
            let name = self.seat.take()?;
            let mut draft = Draft {
                number: self.last_number + 1,
                changes: Vec::new(),
            };
            self.weigh_wildcard(&name, view);
            self.visit(&name, view, &mut draft);
            self.unpin();
            let unit = self.seal(draft, now);
            self.seat.put_down();
            if unit.is_some() {
                return unit;
            }
        }
        None
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.wildcards.is_empty() && self.stated.is_empty()
    }

    fn withdraw(&self, names: &[Arc<Name>]) {
        for name in names {
            self.seat.mark(name, Urgency::Changed);
        }
    }

    fn state(&mut self, name: Name, version: Option<Version>) -> Arc<Name> {
        let name = Arc::new(name);
        if let Some(node) = self.nodes.get_mut(&name) {
            node.must_send |= version.is_none() || node.latest_version() != version;
            return name;
        }
        self.seat.watch(&name);
        let settled = version.map(|version| Held::Present {
            version,
            references: None,
        });
        if settled.is_some() {
            self.stated.insert(name.clone());
        }
        let node = Node {
            settled,
            ..Node::default()
        };
        self.nodes.insert(name.clone(), node);
        self.report(&name);
        name
    }

    /// Brings the client up to date with one name.
    fn visit(&mut self, name: &Arc<Name>, view: &dyn View, draft: &mut Draft) {
        match self.nodes.get(name) {
            None => {}
            Some(node) if !node.is_wanted() => self.drop_name(name, draft),
            Some(_) => match self.resolve(name, view) {
                Some(snapshot) => {
                    self.guard.exists(name);
                    self.offer(name, &snapshot, view, draft);
                }
                None => self.offer_absent(name, draft),
            },
        }
        self.report(name);
    }

    /// Reads a name; a subscribed host also through the wildcard that serves it.
    fn resolve(&mut self, name: &Arc<Name>, view: &dyn View) -> Option<Snapshot> {
        let snapshot = view.snapshot(name);
        let is_root = self.nodes.get(name).is_some_and(|node| node.is_root);
        match &**name {
            Name::Domain(host) if is_root && !is_wildcard(host) => {
                let serving = match snapshot {
                    Some(_) => None,
                    None => self.serving_wildcard(name, host, view),
                };
                self.detach_after(name, host, serving.as_deref(), snapshot.is_some());
                snapshot.or(serving.map(Snapshot::Alias))
            }
            _ => snapshot,
        }
    }

    /// Finds the most specific wildcard, and watches all that come before it.
    fn serving_wildcard(
        &mut self,
        name: &Arc<Name>,
        host: &str,
        view: &dyn View,
    ) -> Option<String> {
        covering(host).find(|wildcard| {
            let wildcard = Arc::new(Name::Domain(wildcard.clone()));
            self.seat.watch(&wildcard);
            self.wildcards.attach(&wildcard, name);
            self.weigh_wildcard(&wildcard, view)
        })
    }

    /// Stops to watch the wildcards that no longer decide on a host: all when it
    /// is served exactly, else those after the serving one.
    fn detach_after(&mut self, name: &Name, host: &str, serving: Option<&str>, is_exact: bool) {
        let mut is_past = is_exact;
        for wildcard in covering(host) {
            if is_past {
                self.detach(&Name::Domain(wildcard), name);
            } else {
                is_past = serving == Some(&*wildcard);
            }
        }
    }

    fn detach(&mut self, wildcard: &Name, host: &Name) {
        if self.wildcards.detach(wildcard, host) && !self.nodes.contains_key(wildcard) {
            self.seat.unwatch(wildcard);
        }
    }

    /// Where a wildcard came or went, has its hosts resolved again. Tells whether it exists.
    fn weigh_wildcard(&mut self, name: &Name, view: &dyn View) -> bool {
        if !self.wildcards.contains(name) {
            return false;
        }
        let exists = view.exists(name);
        for host in self.wildcards.note(name, exists) {
            self.seat.mark(&host, Urgency::Changed);
        }
        exists
    }

    fn offer(&mut self, name: &Arc<Name>, snapshot: &Snapshot, view: &dyn View, draft: &mut Draft) {
        if snapshot.keeps_previous() && !self.is_news(name, snapshot) {
            return self.leave_previous(name, snapshot, view, draft);
        }
        let content = proto::Content::from(snapshot);
        let version = Version::of_content(&content);
        let lacking = self.lacking(snapshot);
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        if node.latest_version() == Some(version) && !node.must_send {
            node.problem = None;
            self.adopt_references(name, snapshot, view, draft);
        } else if node.has_refused(version) && !node.must_send {
            // It would refuse the same again.
        } else if lacking.is_empty() {
            let references = self.require(snapshot, view, draft);
            let held = Held::Present {
                version,
                references: Some(references),
            };
            self.send(
                name,
                held,
                Change::Upsert(version, Box::new(content)),
                draft,
            );
        } else {
            self.withhold(name, lacking, draft);
        }
    }

    fn offer_absent(&mut self, name: &Arc<Name>, draft: &mut Draft) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let knows = matches!(node.latest(), Some(Held::Absent));
        if node.must_send {
            self.guard.exists(name);
        }
        if knows && !node.must_send {
            node.problem = None;
        } else if !self.guard.withholds(name) {
            self.send(name, Held::Absent, Change::Absent, draft);
        } else if let Some(node) = self.nodes.get_mut(name) {
            node.problem = Some(Problem::Withheld);
        }
    }

    /// Whether a fault is better told than nothing: a provider's says to callers what is wrong, and
    /// the client holds none.
    fn is_news(&self, name: &Arc<Name>, snapshot: &Snapshot) -> bool {
        let held = self.nodes.get(name).and_then(|node| node.latest());
        matches!(snapshot, Snapshot::Provider(_)) && matches!(held, None | Some(Held::Absent))
    }

    /// Lets the client keep what it holds, an older form that can be used. Where it holds
    /// nothing, what refers to the name needs a word all the same.
    fn leave_previous(
        &mut self,
        name: &Arc<Name>,
        snapshot: &Snapshot,
        view: &dyn View,
        draft: &mut Draft,
    ) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        node.problem = None;
        match node.latest() {
            None => self.send(name, Held::Absent, Change::Absent, draft),
            Some(_) => self.adopt_references(name, snapshot, view, draft),
        }
    }

    /// Sends nothing new to a client that could not obey it. Where it holds nothing,
    /// what refers to the name needs a word all the same.
    fn withhold(&mut self, name: &Arc<Name>, lacking: Vec<String>, draft: &mut Draft) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        if node.latest().is_none() && !node.is_root {
            self.send(name, Held::Absent, Change::Absent, draft);
        }
        if let Some(node) = self.nodes.get_mut(name) {
            node.problem = Some(Problem::TooOld(lacking));
        }
    }

    fn send(&mut self, name: &Arc<Name>, held: Held, change: Change, draft: &mut Draft) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.sent.push_back((draft.number, held));
            node.must_send = false;
            node.problem = None;
            draft.changes.push((name.clone(), change));
        }
    }

    fn lacking(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut features = snapshot.features();
        features.retain(|feature| !self.features.contains(feature));
        features
    }

    /// Learns what a stated version refers to, now that its content is known.
    fn adopt_references(
        &mut self,
        name: &Arc<Name>,
        snapshot: &Snapshot,
        view: &dyn View,
        draft: &mut Draft,
    ) {
        let is_settled = |node: &Node| node.is_stated() && node.sent.is_empty();
        if !self.nodes.get(name).is_some_and(is_settled) {
            return;
        }
        let adopted = self.require(snapshot, view, draft);
        if let Some(Held::Present { references, .. }) = self
            .nodes
            .get_mut(name)
            .and_then(|node| node.settled.as_mut())
        {
            *references = Some(adopted);
        }
        self.stated.remove(name);
    }

    /// Counts what a snapshot refers to as referred to, and brings each up to date
    /// where the client lacks it or holds it outdated.
    fn require(
        &mut self,
        snapshot: &Snapshot,
        view: &dyn View,
        draft: &mut Draft,
    ) -> Box<[Arc<Name>]> {
        let references: Box<[_]> = snapshot
            .references()
            .into_iter()
            .map(|name| self.refer(name))
            .collect();
        for name in &references {
            let is_outdated = self.seat.take_this(name);
            let is_unknown = |node: &Node| node.latest().is_none();
            if is_outdated || self.nodes.get(name).is_some_and(is_unknown) {
                self.weigh_wildcard(name, view);
                self.visit(name, view, draft);
            }
        }
        references
    }

    fn refer(&mut self, name: Name) -> Arc<Name> {
        let name = match self.nodes.get_key_value(&name) {
            Some((known, _)) => known.clone(),
            None => Arc::new(name),
        };
        self.seat.watch(&name);
        self.nodes.entry(name.clone()).or_default().referrers += 1;
        name
    }

    /// Takes back references of a copy that is gone; what nothing needs any more is
    /// marked, and dropped by a unit of its own.
    fn release(&mut self, references: &[Arc<Name>]) {
        for name in references {
            if let Some(node) = self.nodes.get_mut(name) {
                node.referrers -= 1;
                if !node.is_wanted() {
                    self.seat.mark(name, Urgency::Changed);
                }
            }
        }
    }

    /// Drops a name and, after it, whatever only it referred to.
    fn drop_name(&mut self, name: &Arc<Name>, draft: &mut Draft) {
        let Some(node) = self.nodes.remove(name) else {
            return;
        };
        self.stated.remove(name);
        self.guard.exists(name);
        if let Name::Domain(host) = &**name {
            self.detach_after(name, host, None, true);
        }
        if !self.wildcards.contains(name) {
            self.seat.unwatch(name);
        }
        if node.latest().is_some() || node.problem.is_some() {
            draft.changes.push((name.clone(), Change::Drop));
        }
        let sent = node.sent.into_iter().map(|(_, held)| held);
        for held in node.settled.into_iter().chain(sent) {
            let references = held.into_references();
            self.release(&references);
            for name in &references {
                if self.nodes.get(name).is_some_and(|node| !node.is_wanted()) {
                    self.drop_name(name, draft);
                }
            }
        }
    }

    fn settle(&mut self, name: &Arc<Name>, unit: u64) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let replaced = node.settle(unit);
        if !node.is_stated() && self.stated.remove(name) {
            self.unpin();
        }
        for held in replaced {
            self.release(&held.into_references());
        }
        self.report(name);
    }

    /// Lets stated dependencies go by their references, once all of these are known.
    fn unpin(&mut self) {
        if self.is_stating || !self.stated.is_empty() {
            return;
        }
        for name in std::mem::take(&mut self.pinned) {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.is_pinned = false;
                if !node.is_wanted() {
                    self.seat.mark(&name, Urgency::Changed);
                }
            }
        }
    }

    fn report(&self, name: &Name) {
        if let Some(node) = self.nodes.get(name) {
            self.seat.report(name, node.report());
        }
    }

    /// Closes a unit. An empty one is none, and its number is free for the next.
    fn seal(&mut self, draft: Draft, now: Instant) -> Option<Unit> {
        if draft.changes.is_empty() {
            return None;
        }
        self.last_number = draft.number;
        self.in_flight.push_back(Sent {
            number: draft.number,
            at: now,
            names: draft.changes.iter().map(|(name, _)| name.clone()).collect(),
        });
        Some(Unit {
            number: draft.number,
            changes: draft.changes,
        })
    }
}

/// The names are known here; the hub alone would have to search for them.
impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.seat.leave(self.nodes.keys());
        self.seat.leave(self.wildcards.names());
    }
}

#[cfg(test)]
mod tests;
