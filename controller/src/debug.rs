//! What `/debug/index` answers: who leads, who is served, and what compiles. Names and
//! versions only, never contents.

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use turnpike_snapshot::{Name, Snapshot, Version};

use crate::lease::Leadership;
use crate::serve::subscriptions::covering;
use crate::serve::{Holder, Standing, Standpoint, View};
use crate::world::World;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// These names.
    names: Vec<Name>,
    /// Every name that a data plane holds.
    is_held: bool,
}

impl Query {
    /// Reads `name=…` (repeatable) and `held=true`. What cannot be read is told.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("name", name)) => {
                    let name = decode(name).and_then(|name| name.parse().ok());
                    let fault = || format!("{part}: not the name of a snapshot");
                    parsed.names.push(name.ok_or_else(fault)?);
                }
                Some(("held", "true")) => parsed.is_held = true,
                Some(("held", "false")) => parsed.is_held = false,
                _ => return Err(format!("{part}: try name=NAME or held=true")),
            }
        }
        Ok(parsed)
    }

    fn asks_names(&self) -> bool {
        self.is_held || !self.names.is_empty()
    }
}

/// Makes the page. May compile every name that is held; each under a lock of its own.
pub fn page(world: &World, leadership: &Leadership, query: Query, now: Instant) -> Value {
    let (counts, hosts) = world.read(|index| (index.counts(), index.hosts.count()));
    let objects: Map<String, Value> = counts
        .into_iter()
        .map(|(kind, count)| (kind.as_str().to_owned(), count.into()))
        .collect();
    let mut standpoints = world.hub().standpoints(now);
    standpoints.sort_by(|one, other| one.data_plane.cmp(&other.data_plane));
    let mut page = json!({
        "synced": world.is_synced(),
        "leader": {
            "isLeader": leadership.is_leader(now),
            "holder": leadership.holder,
        },
        "objects": objects,
        "hosts": hosts,
        "streams": standpoints.iter().map(stream).collect::<Vec<_>>(),
    });
    if query.asks_names() {
        let mut names = query.names;
        if query.is_held {
            let held = world.hub().held_names();
            names.extend(held.iter().map(|name| (**name).clone()));
            names.sort_unstable();
            names.dedup();
        }
        page["names"] = names.iter().map(|name| entry(world, name)).collect();
    }
    page
}

fn stream(standpoint: &Standpoint) -> Value {
    json!({
        "dataPlane": standpoint.data_plane,
        "since": standpoint.since.to_string(),
        "names": standpoint.names,
        "lagging": standpoint.lagging,
        "unacknowledgedUnits": standpoint.beat.unacknowledged,
        "oldestUnacknowledgedSeconds": standpoint.beat.oldest.as_secs_f64(),
        "withheld": standpoint.beat.withheld,
    })
}

fn entry(world: &World, name: &Name) -> Value {
    let version = resolve(world, name).map(|snapshot| Version::of(&snapshot).to_string());
    let holders = world.hub().delivery(name).holders;
    json!({
        "name": name.to_string(),
        "version": version,
        "holders": holders.iter().map(holder).collect::<Vec<_>>(),
    })
}

fn holder(holder: &Holder) -> Value {
    let standing = match &holder.standing {
        Standing::Lagging => "Lagging",
        Standing::Current => "Current",
        Standing::Refused(_) => "Refused",
        Standing::TooOld(_) => "TooOld",
    };
    json!({ "dataPlane": holder.data_plane, "standing": standing })
}

/// As a data plane that asked for it gets it: a host also through a wildcard.
fn resolve(view: &dyn View, name: &Name) -> Option<Snapshot> {
    view.snapshot(name).or_else(|| match name {
        Name::Domain(host) if !host.starts_with('*') => covering(host)
            .find(|wildcard| view.exists(&Name::Domain(wildcard.clone())))
            .map(Snapshot::Alias),
        _ => None,
    })
}

/// Undoes percent-encoding; `None`: it is broken.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'%' => {
                let (digits, after) = after.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                after
            }
            byte => {
                bytes.push(*byte);
                after
            }
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::serve::Hub;
    use crate::serve::hub::Report;
    use crate::source::{Event, Kind};
    use crate::testing::{self, Tell};

    fn world() -> World {
        let mut events = vec![
            testing::provider("a", "p").event(),
            testing::route("a", "r")
                .host("x.a.test")
                .rule(&[], "p")
                .event(),
        ];
        events.extend(Kind::ALL.map(Event::Synced));
        World::new(testing::index_of(events), Hub::new())
    }

    fn ask(world: &World, query: &str) -> Value {
        let query = Query::parse(query).unwrap();
        page(world, &Leadership::alone(), query, Instant::now())
    }

    #[test]
    fn the_page_tells_who_is_served_and_what_compiles() {
        let world = world();
        let seat = world.hub().join("dp-1");
        let name = Arc::new(Name::Domain("x.a.test".into()));
        seat.watch(&name);
        seat.report(&name, Report::Holds(Standing::Current));
        let page = ask(&world, "held=true&name=domain%2Fgone.test");
        assert_eq!(page["synced"], true);
        assert_eq!(page["leader"]["isLeader"], true);
        assert_eq!(page["objects"]["AIRoute"], 1);
        assert_eq!(page["hosts"], 1);
        assert_eq!(page["streams"][0]["dataPlane"], "dp-1");
        assert_eq!(page["streams"][0]["names"], 1);
        let names = page["names"].as_array().unwrap();
        assert_eq!(names[0]["name"], "domain/gone.test");
        assert_eq!(names[0]["version"], Value::Null);
        assert_eq!(names[1]["holders"][0]["standing"], "Current");
        assert_eq!(names[1]["version"].as_str().map(str::len), Some(32));
        assert_eq!(ask(&world, "").get("names"), None);
    }

    #[test]
    fn a_query_that_cannot_be_read_is_told() {
        for query in ["name=nothing", "name=domain/%zz", "held", "all=true"] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }
}
