//! Who was asked for, what came of it, and what is still to be said upward.
//!
//! ```text
//! ask ──► Pending ──► Held | Alias | Absent | Refused ──► … (pushes)
//! ```
//!
//! Pure: it is told the time, and does no I/O. Pending names, misses and aliases are bounded each;
//! when one kind is full, the oldest of whoever has most of it is unsubscribed and forgotten. A name that
//! nobody answered in time stays pending: it is no miss.

mod outbox;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::watch;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::proto::Content;
use turnpike_snapshot::{Name, Snapshot, Version};

use self::outbox::Outbox;
pub(crate) use self::outbox::Outgoing;
use super::asker::{Asker, Budgets};
use super::fair::Fair;
use super::journal::{Journal, Row};
use super::oldest::Oldest;

/// How many names of a kind are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Asked for and not answered yet.
    pub pending: usize,
    /// Hosts that do not exist.
    pub domain_misses: usize,
    /// Keys that nobody has.
    pub credential_misses: usize,
    /// Hosts that only a wildcard covers.
    pub aliases: usize,
}

impl Default for Bounds {
    /// 10,000 each: some 3 MB together, and more names than honest callers
    /// mistype between two restarts.
    fn default() -> Self {
        Self {
            pending: 10_000,
            domain_misses: 10_000,
            credential_misses: 10_000,
            aliases: 10_000,
        }
    }
}

/// Ends when the name has been answered or forgotten.
pub(crate) type Waiter = watch::Receiver<()>;

/// The one place that changes are written down in.
pub(crate) struct Book {
    bounds: Bounds,
    asked: HashMap<Name, Asked>,
    /// Those of whom only so many are kept.
    bounded: [Fair<Owner, Name>; CLASSES],
    budgets: Budgets,
    /// What came along by reference.
    dependencies: HashMap<Name, Dependency>,
    /// Referred to without being held: removed once nobody refers to them.
    lingering: Oldest<Name>,
    outbox: Outbox,
    /// Seconds since 1970.
    now: u32,
    /// Of all forms that are in force.
    bytes: u64,
    /// `None`: nothing is written to disk.
    journal: Option<Journal>,
}

/// A form that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) version: Version,
    /// What it takes in memory, estimated.
    pub(crate) bytes: u32,
}

/// On whose account a bounded name is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Asker(Asker),
    Realm(String),
}

struct Asked {
    state: State,
    /// Who asked first.
    asker: Asker,
    form: Option<Form>,
    /// For credentials: the fleet key that the id was made with.
    fleet_key: Option<Arc<str>>,
    /// Since when it has been in this state, in this form.
    since: u32,
}

struct Dependency {
    form: Form,
    since: u32,
}

enum State {
    /// Dropping the sender wakes all who wait.
    Pending(watch::Sender<()>),
    Settled(Settled),
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Held,
    Alias,
    Absent,
    Refused,
}

/// What is known of a name, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) state: &'static str,
    pub(crate) form: Option<Form>,
    /// Since when it has been in this state, in this form; seconds since 1970.
    pub(crate) since: u32,
}

/// How many there are of each, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Hosts answered from a snapshot of their own.
    pub domains: usize,
    /// Hosts answered from a wildcard's.
    pub aliases: usize,
    /// Keys that are somebody's.
    pub credentials: usize,
    /// Hosts and keys known not to exist.
    pub misses: usize,
    /// Hosts and keys not answered yet.
    pub pending: usize,
    /// Providers, consumers, quotas and so on.
    pub dependencies: usize,
}

const CLASSES: usize = 4;
const PENDING: usize = 0;
const CREDENTIAL_MISSES: usize = 1;
/// One asker may have this part of all questions open: a flood leaves room for the others, and
/// a proxy in front of everybody can still load thousands of domains at once.
const PENDING_SHARE: usize = 4;
/// Answers come within milliseconds.
const FULL_SHARE_PAUSE: Duration = Duration::from_secs(1);
/// Names looked at in one sweep, so that many that stay cost a unit no more than few.
const SWEPT: usize = 64;

impl Book {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            asked: HashMap::new(),
            bounded: Default::default(),
            budgets: Budgets::default(),
            dependencies: HashMap::new(),
            lingering: Oldest::default(),
            outbox: Outbox::default(),
            now: 0,
            bytes: 0,
            journal: None,
        }
    }

    /// Tells the time, in seconds since 1970: what is written down from now on is of this time.
    pub(crate) fn set_now(&mut self, now: u32) {
        self.now = now;
    }

    /// What all that is held takes in memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Asks for a name unless that has been done; `None`: it has been answered.
    /// The second part is who had to make room.
    pub(crate) fn ask(
        &mut self,
        name: &Name,
        fleet_key: Option<&Arc<str>>,
        asker: Asker,
    ) -> (Option<Waiter>, Option<Name>) {
        match self.asked.get(name).map(|asked| &asked.state) {
            Some(State::Settled(_)) => (None, None),
            Some(State::Pending(sender)) => (Some(sender.subscribe()), None),
            None => {
                let (sender, waiter) = watch::channel(());
                let asked = Asked {
                    state: State::Pending(sender),
                    asker,
                    form: None,
                    fleet_key: fleet_key.cloned(),
                    since: self.now,
                };
                self.asked.insert(name.clone(), asked);
                self.outbox.subscribe(name);
                (Some(waiter), self.enter(name))
            }
        }
    }

    /// How long this asker must wait before it may ask for a name that is not known; `None`: it
    /// need not. Whoever joins a question that is open asks nothing.
    pub(crate) fn refusal(&self, name: &Name, asker: Asker) -> Option<Duration> {
        if asker == Asker::Nobody || self.asked.contains_key(name) {
            return None;
        }
        let share = (self.bounds.pending / PENDING_SHARE).max(1);
        if self.bounded[PENDING].len_of(&Owner::Asker(asker)) >= share {
            return Some(FULL_SHARE_PAUSE);
        }
        self.budgets.refusal(name, asker, self.now)
    }

    /// Writes down what came of a name; gives who had to make room for it.
    pub(crate) fn settle(
        &mut self,
        name: &Name,
        settled: Settled,
        form: Option<Form>,
    ) -> Option<Name> {
        self.leave(name);
        let asked = self.asked.get_mut(name)?;
        if !asked.is(settled, form) {
            asked.since = self.now;
        }
        if settled == Settled::Absent && matches!(asked.state, State::Pending(_)) {
            self.budgets.debit(name, asked.asker, self.now);
        }
        self.bytes = self.bytes - bytes(asked.form) + bytes(form);
        let is_withdrawn = asked.form.is_some() && form.is_none();
        asked.form = form;
        asked.state = State::Settled(settled);
        if is_withdrawn {
            self.erase(name);
        }
        self.enter(name)
    }

    /// Back to waiting for an answer: what was said of the name holds no more.
    pub(crate) fn unsettle(&mut self, name: &Name) -> Option<Name> {
        self.leave(name);
        let asked = self.asked.get_mut(name)?;
        self.bytes -= bytes(asked.form.take());
        asked.since = self.now;
        asked.state = State::Pending(watch::channel(()).0);
        // Nobody asked for this to be open again.
        asked.asker = Asker::Nobody;
        self.erase(name);
        self.enter(name)
    }

    /// Unsubscribes a name and wakes who waits for it.
    pub(crate) fn forget(&mut self, name: &Name) {
        self.leave(name);
        if let Some(asked) = self.asked.remove(name) {
            self.bytes -= bytes(asked.form);
            self.outbox.unsubscribe(name);
            if asked.form.is_some() {
                self.erase(name);
            }
        }
    }

    pub(crate) fn is_asked(&self, name: &Name) -> bool {
        self.asked.contains_key(name)
    }

    /// What came of a name, and which version is in force.
    pub(crate) fn settled(&self, name: &Name) -> Option<(Settled, Option<Version>)> {
        match self.asked.get(name)? {
            Asked {
                state: State::Settled(settled),
                form,
                ..
            } => Some((*settled, form.map(|form| form.version))),
            _ => None,
        }
    }

    /// Names the credentials asked for under fleet keys that this says are gone.
    pub(crate) fn asked_under(&self, is_gone: impl Fn(&str) -> bool) -> Vec<Name> {
        let gone = |asked: &Asked| asked.fleet_key.as_deref().is_some_and(&is_gone);
        let names = self.asked.iter().filter(|(_, asked)| gone(asked));
        names.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn census(&self) -> Census {
        let mut census = Census {
            dependencies: self.dependencies.len(),
            ..Census::default()
        };
        for (name, asked) in &self.asked {
            let count = match (&asked.state, name) {
                (State::Pending(_), _) => &mut census.pending,
                (State::Settled(Settled::Alias), _) => &mut census.aliases,
                (State::Settled(Settled::Absent | Settled::Refused), _) => &mut census.misses,
                (State::Settled(Settled::Held), Name::Credential { .. }) => &mut census.credentials,
                (State::Settled(Settled::Held), _) => &mut census.domains,
            };
            *count += 1;
        }
        census
    }

    /// Gives what requests asked for by name.
    pub(crate) fn names(&self, mut is_wanted: impl FnMut(&Name) -> bool) -> Vec<(Name, Standing)> {
        let wanted = self.asked.iter().filter(|(name, _)| is_wanted(name));
        let standing = |asked: &Asked| Standing {
            state: asked.state.word(),
            form: asked.form,
            since: asked.since,
        };
        wanted
            .map(|(name, asked)| (name.clone(), standing(asked)))
            .collect()
    }

    fn enter(&mut self, name: &Name) -> Option<Name> {
        let class = self.class(name)?;
        let (bound, owner) = (self.bound(class), self.owner(class, name)?);
        self.bounded[class].insert(owner, name.clone());
        let evicted = (self.bounded[class].len() > bound)
            .then(|| self.bounded[class].pop())
            .flatten()?;
        self.forget(&evicted);
        Some(evicted)
    }

    fn leave(&mut self, name: &Name) {
        if let Some(class) = self.class(name)
            && let Some(owner) = self.owner(class, name)
        {
            self.bounded[class].remove(&owner, name);
        }
    }

    /// Wrong keys are on the account of the tenant that they are tried at, all else
    /// on that of who asked.
    fn owner(&self, class: usize, name: &Name) -> Option<Owner> {
        match name {
            Name::Credential { realm, .. } if class == CREDENTIAL_MISSES => {
                Some(Owner::Realm(realm.clone()))
            }
            _ => Some(Owner::Asker(self.asked.get(name)?.asker)),
        }
    }

    fn class(&self, name: &Name) -> Option<usize> {
        match (&self.asked.get(name)?.state, name) {
            (State::Pending(_), _) => Some(PENDING),
            (State::Settled(Settled::Absent), Name::Credential { .. }) => Some(CREDENTIAL_MISSES),
            (State::Settled(Settled::Absent), _) => Some(2),
            (State::Settled(Settled::Alias), _) => Some(3),
            (State::Settled(Settled::Held | Settled::Refused), _) => None,
        }
    }

    fn bound(&self, class: usize) -> usize {
        let Bounds {
            pending,
            domain_misses,
            credential_misses,
            aliases,
        } = self.bounds;
        [pending, credential_misses, domain_misses, aliases][class].max(1)
    }
}

/// What came along by reference.
impl Book {
    pub(crate) fn holds(&self, name: &Name, version: Version) -> bool {
        let held = self.dependencies.get(name);
        held.is_some_and(|held| held.form.version == version)
    }

    /// Gives what came along, each with its form and the time that it has had it since.
    pub(crate) fn dependencies(
        &self,
        mut is_wanted: impl FnMut(&Name) -> bool,
    ) -> Vec<(Name, Form, u32)> {
        let wanted = self.dependencies.iter().filter(|(name, _)| is_wanted(name));
        wanted
            .map(|(name, held)| (name.clone(), held.form, held.since))
            .collect()
    }

    pub(crate) fn hold(&mut self, name: &Name, form: Form) {
        let since = self.now;
        let before = self
            .dependencies
            .insert(name.clone(), Dependency { form, since });
        self.bytes = self.bytes + u64::from(form.bytes) - bytes(before.map(|held| held.form));
    }

    /// No longer held, though somebody may still refer to it.
    pub(crate) fn release(&mut self, name: &Name) {
        let before = self.dependencies.remove(name);
        self.bytes -= bytes(before.map(|held| held.form));
        self.erase(name);
        self.lingering.insert(name.clone());
    }

    /// Notes that somebody refers to a name, held or not.
    pub(crate) fn refer(&mut self, name: Name) {
        if !self.dependencies.contains_key(&name) {
            self.lingering.insert(name);
        }
    }

    /// Goes through what is not held, some at a time in turn, keeping what `remove` says is still
    /// referred to.
    pub(crate) fn sweep(&mut self, remove: impl Fn(&Name) -> bool) {
        for _ in 0..self.lingering.len().min(SWEPT) {
            let Some(name) = self.lingering.pop() else {
                return;
            };
            if !self.dependencies.contains_key(&name) && !remove(&name) {
                self.lingering.insert(name);
            }
        }
    }
}

/// What is to be written to disk.
impl Book {
    pub(crate) fn keep_journal(&mut self) {
        self.journal = Some(Journal::default());
    }

    pub(crate) fn take_journal(&mut self) -> Journal {
        let journal = self.journal.as_mut().map(std::mem::take);
        journal.unwrap_or_default()
    }

    /// A snapshot has come into force.
    pub(crate) fn record(&mut self, name: &Name, version: Version, snapshot: &Snapshot) {
        if let Some(journal) = &mut self.journal {
            let asked = self.asked.get(name);
            let row = Row {
                version,
                fleet_key: asked.and_then(|asked| asked.fleet_key.clone()),
                content: Content::from(snapshot).encode_to_vec(),
            };
            journal.put(name, row);
        }
    }

    pub(crate) fn record_fleet_keys(&mut self, keys: Vec<FleetKey>) {
        if let Some(journal) = &mut self.journal {
            journal.set_fleet_keys(keys);
        }
    }

    /// What is not in force must not be found on disk.
    pub(crate) fn erase(&mut self, name: &Name) {
        if let Some(journal) = &mut self.journal {
            journal.remove(name);
        }
    }
}

/// What is said upward.
impl Book {
    /// Takes what is to be said on this stream, at most `max` names.
    pub(crate) fn take_outgoing(&mut self, max: usize) -> Outgoing {
        self.outbox.take(max)
    }

    /// Gives everything asked for and everything held, for a new stream to begin with.
    pub(crate) fn restate(&mut self) -> Restated {
        self.outbox.clear();
        let names = self
            .asked
            .iter()
            .map(|(name, asked)| (name.clone(), asked.form.map(|form| form.version)));
        let dependencies = self.dependencies.iter();
        Restated {
            names: names.collect(),
            dependencies: dependencies
                .map(|(name, held)| (name.clone(), held.form.version))
                .collect(),
        }
    }
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            State::Pending(_) => "Pending",
            State::Settled(Settled::Held) => "Held",
            State::Settled(Settled::Alias) => "Alias",
            State::Settled(Settled::Absent) => "Absent",
            State::Settled(Settled::Refused) => "Refused",
        }
    }
}

impl Asked {
    fn is(&self, settled: Settled, form: Option<Form>) -> bool {
        let version = |form: Option<Form>| form.map(|form| form.version);
        matches!(self.state, State::Settled(before) if before == settled)
            && version(self.form) == version(form)
    }
}

fn bytes(form: Option<Form>) -> u64 {
    form.map_or(0, |form| form.bytes.into())
}

/// What a new stream begins with.
#[derive(Debug)]
pub(crate) struct Restated {
    pub(crate) names: Vec<(Name, Option<Version>)>,
    pub(crate) dependencies: Vec<(Name, Version)>,
}

impl Restated {
    /// Asks for a name for as long as the stream lasts, whatever else refers to it.
    pub(crate) fn follow(&mut self, name: Name) {
        let held = self.dependencies.iter().position(|(held, _)| *held == name);
        let version = held.map(|at| self.dependencies.swap_remove(at).1);
        self.names.push((name, version));
    }
}

#[cfg(test)]
mod tests;
