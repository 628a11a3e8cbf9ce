//! A world of snapshots, a client that checks what it is sent, and the line
//! between them, where messages wait until they are delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::domain::{Authentication, Backend, Domain, Route, Rule};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{Provider, ProviderKind, Timeouts, Upstream};
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::{Name, Snapshot, Version};

use crate::serve::hub::Hub;
use crate::serve::subscriptions::Subscriptions;
use crate::serve::subscriptions::guard::Guard;
use crate::serve::subscriptions::wildcards::{covering, is_wildcard};
use crate::serve::unit::{Change, Unit};
use crate::serve::view::View;

/// The one feature that the model client has.
pub(super) const FEATURE: &str = "vendor/Echo";

#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) snapshots: Arc<Mutex<BTreeMap<Name, Snapshot>>>,
}

impl View for World {
    fn snapshot(&self, name: &Name) -> Option<Snapshot> {
        self.snapshots.lock().get(name).cloned()
    }

    fn is_synced(&self) -> bool {
        true
    }

    fn fleet_keys(&self) -> Vec<FleetKey> {
        Vec::new()
    }
}

impl World {
    pub(super) fn set(&self, name: &Name, snapshot: Option<Snapshot>) {
        let mut snapshots = self.snapshots.lock();
        match snapshot {
            Some(snapshot) => snapshots.insert(name.clone(), snapshot),
            None => snapshots.remove(name),
        };
    }

    fn resolve(&self, name: &Name) -> Option<Snapshot> {
        self.snapshot(name).or_else(|| match name {
            Name::Domain(host) if !is_wildcard(host) => covering(host)
                .find(|wildcard| self.exists(&Name::Domain(wildcard.clone())))
                .map(Snapshot::Alias),
            _ => None,
        })
    }

    /// What a client with these subscriptions has to hold, and nothing besides.
    pub(super) fn closure(&self, roots: &BTreeSet<Name>) -> BTreeMap<Name, Option<Snapshot>> {
        let mut closure = BTreeMap::new();
        let mut open: Vec<Name> = roots.iter().cloned().collect();
        while let Some(name) = open.pop() {
            if closure.contains_key(&name) {
                continue;
            }
            let snapshot = match roots.contains(&name) {
                true => self.resolve(&name),
                false => self.snapshot(&name),
            };
            open.extend(snapshot.iter().flat_map(Snapshot::references));
            closure.insert(name, snapshot);
        }
        closure
    }
}

/// The data plane's half of the protocol. Panics when a rule of it is broken.
#[derive(Default)]
pub(super) struct Client {
    pub(super) subscribed: BTreeSet<Name>,
    pub(super) held: BTreeMap<Name, Option<Snapshot>>,
    /// Refused at first sight: told of, but nothing is held.
    refused: BTreeSet<Name>,
}

type Stated = (Name, Option<Version>);

pub(super) enum Upward {
    /// Stated on a new stream, in as many messages as it takes.
    State(Vec<Stated>, Vec<Stated>),
    Subscribe(Name),
    Unsubscribe(Name),
    Ack(u64),
    Nack(u64, Name, Version),
}

impl Client {
    fn apply(&mut self, unit: Unit) -> Vec<Upward> {
        let mut answers = Vec::new();
        for (name, change) in unit.changes {
            answers.extend(self.change(unit.number, &name, change));
            self.check();
        }
        answers.push(Upward::Ack(unit.number));
        answers
    }

    fn change(&mut self, number: u64, name: &Name, change: Change) -> Option<Upward> {
        match change {
            Change::Upsert(version, content) => {
                let snapshot = turnpike_snapshot::convert::read(name, *content).unwrap();
                assert_eq!(Version::of(&snapshot), version);
                if is_poison(&snapshot) {
                    self.refused.insert(name.clone());
                    return Some(Upward::Nack(number, name.clone(), version));
                }
                self.held.insert(name.clone(), Some(snapshot));
            }
            Change::Absent => {
                self.held.insert(name.clone(), None);
            }
            Change::Drop => {
                self.held.remove(name);
                self.refused.remove(name);
            }
        }
        None
    }

    fn check(&self) {
        for (name, snapshot) in &self.held {
            for reference in snapshot.iter().flat_map(Snapshot::references) {
                let is_told =
                    self.held.contains_key(&reference) || self.refused.contains(&reference);
                assert!(is_told, "{name} refers to {reference}, which is not held");
            }
        }
    }

    /// All that it holds, as it states it on a new stream.
    fn stated(&self) -> (Vec<Stated>, Vec<Stated>) {
        let version = |name: &Name| match self.held.get(name) {
            Some(Some(snapshot)) => Some(Version::of(snapshot)),
            _ => None,
        };
        let names = self.subscribed.iter();
        let held = self.held.keys();
        let others = held.filter(|name| !self.subscribed.contains(*name));
        let stated = |name: &Name| (name.clone(), version(name));
        (names.map(stated).collect(), others.map(stated).collect())
    }
}

/// A world, a client, and one stream between them.
pub(super) struct Line {
    pub(super) world: World,
    pub(super) hub: Hub,
    pub(super) client: Client,
    pub(super) server: Subscriptions,
    pub(super) upward: VecDeque<Upward>,
    pub(super) downward: VecDeque<Unit>,
    /// Changed, not published yet.
    pub(super) unpublished: Vec<Name>,
    /// Units that were sent, over all streams.
    pub(super) sent: Vec<Unit>,
}

impl Line {
    pub(super) fn new() -> Self {
        let hub = Hub::new();
        Self {
            world: World::default(),
            client: Client::default(),
            server: connect(&hub),
            hub,
            upward: VecDeque::new(),
            downward: VecDeque::new(),
            unpublished: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, name: Name, snapshot: Option<Snapshot>) {
        self.world.set(&name, snapshot);
        self.unpublished.push(name);
    }

    pub(super) fn publish(&mut self) {
        self.hub.publish(self.unpublished.drain(..));
    }

    pub(super) fn subscribe(&mut self, name: Name) {
        if self.client.subscribed.insert(name.clone()) {
            self.upward.push_back(Upward::Subscribe(name));
        }
    }

    /// The client forgets at once, where nothing else that it holds needs the name.
    pub(super) fn unsubscribe(&mut self, name: Name) {
        if self.client.subscribed.remove(&name) {
            let mut references = self
                .client
                .held
                .values()
                .flatten()
                .flat_map(Snapshot::references);
            if !references.any(|reference| reference == name) {
                self.client.held.remove(&name);
            }
            self.upward.push_back(Upward::Unsubscribe(name));
        }
    }

    /// The server hears the next message.
    pub(super) fn hear(&mut self) {
        match self.upward.pop_front() {
            None => {}
            Some(Upward::State(names, dependencies)) => self.server.subscribe(names, dependencies),
            Some(Upward::Subscribe(name)) => {
                self.server.subscribe(vec![(name, None)], Vec::new());
            }
            Some(Upward::Unsubscribe(name)) => self.server.unsubscribe([name]),
            Some(Upward::Ack(unit)) => self.server.acknowledge(unit),
            Some(Upward::Nack(unit, name, version)) => {
                self.server.refuse(unit, &name, version, "poison");
            }
        }
    }

    /// Somebody accepts what the guard may be holding back.
    pub(super) fn accept(&mut self) {
        self.server.accept_mass_delete();
    }

    /// The server makes one unit.
    pub(super) fn send(&mut self) {
        self.server.judge_mass_delete();
        if let Some(unit) = self.server.next_unit(&self.world, Instant::now()) {
            self.sent.push(unit.clone());
            self.downward.push_back(unit);
        }
    }

    /// The client applies the next unit.
    pub(super) fn deliver(&mut self) {
        if let Some(unit) = self.downward.pop_front() {
            self.upward.extend(self.client.apply(unit));
        }
    }

    /// The stream breaks; what was under way is lost. Of what the client refused at
    /// first sight it states that there is nothing.
    pub(super) fn reconnect(&mut self) {
        for name in std::mem::take(&mut self.client.refused) {
            self.client.held.entry(name).or_insert(None);
        }
        self.upward.clear();
        self.downward.clear();
        self.server = connect(&self.hub);
        let (names, dependencies) = self.client.stated();
        self.upward
            .push_back(Upward::State(Vec::new(), dependencies));
        for name in names {
            self.upward.push_back(Upward::State(vec![name], Vec::new()));
        }
    }

    /// Statements take less time than they are given.
    pub(super) fn end_statement(&mut self) {
        let is_state = |message: &Upward| matches!(message, Upward::State(..));
        if !self.upward.iter().any(is_state) {
            self.server.end_statement();
        }
    }

    /// Everything that can happen by itself happens.
    pub(super) fn settle(&mut self) {
        self.publish();
        loop {
            self.end_statement();
            self.server.judge_mass_delete();
            if !self.server.has_work() && self.upward.is_empty() && self.downward.is_empty() {
                return;
            }
            self.hear();
            self.send();
            self.deliver();
        }
    }
}

fn connect(hub: &Hub) -> Subscriptions {
    // One withdrawal passes unasked, so that small worlds meet the guard too.
    Subscriptions::guarded(hub.join("model"), [FEATURE.to_owned()], Guard::new(1))
}

pub(super) fn host(host: &str) -> Name {
    Name::Domain(host.into())
}

pub(super) fn provider_name(name: &str) -> Name {
    Name::Provider(ObjectName::new("t", name))
}

/// A domain of namespace `t` that refers to these providers. Its version says
/// which; the model client refuses version 13.
pub(super) fn domain(version: u64, providers: &[&str]) -> Snapshot {
    let backends = providers.iter().map(|name| Backend {
        provider: ObjectName::new("t", *name),
        model: None,
        weight: 1,
        priority: 0,
        models: Vec::new(),
        fault: None,
    });
    let rule = Rule {
        name: String::new(),
        matches: Vec::new(),
        backends: backends.collect(),
        retries: Retries::default(),
    };
    Snapshot::Domain(Domain {
        namespace: "t".into(),
        routes: vec![Route {
            name: "main".into(),
            authentication: Some(Authentication::Required),
            allow: Some(Vec::new()),
            rules: vec![rule],
            max_body_bytes: Some(version),
            head_bytes: None,
            heartbeat: None,
            on_disconnect: None,
            template: None,
            suspension: None,
        }],
        ..Domain::default()
    })
}

/// A provider; the model client lacks every vendor but Echo, and refuses version 13.
pub(super) fn provider(version: u64, vendor: &str) -> Snapshot {
    let url = format!("http://localhost/{version}");
    Snapshot::Provider(Provider::Upstream(Upstream {
        kind: ProviderKind::Vendor(vendor.into()),
        url: Some(url),
        service: None,
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
        keys: Vec::new(),
        models: Vec::new(),
        timeouts: Timeouts {
            connect: std::time::Duration::ZERO,
            first_token: std::time::Duration::ZERO,
            idle: std::time::Duration::ZERO,
            total: std::time::Duration::ZERO,
        },
    }))
}

fn is_poison(snapshot: &Snapshot) -> bool {
    match snapshot {
        Snapshot::Domain(domain) => domain
            .routes
            .iter()
            .any(|route| route.max_body_bytes == Some(13)),
        Snapshot::Provider(Provider::Upstream(upstream)) => {
            upstream.url.as_deref() == Some("http://localhost/13")
        }
        _ => false,
    }
}
