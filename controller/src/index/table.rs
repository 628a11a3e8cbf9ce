//! Objects of one kind as the index keeps them: only what compiling needs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use turnpike_crds::Status;
use turnpike_snapshot::name::ObjectName;

use crate::index::packed::PackedStatus;

/// The objects of one kind, in order of their names; boxed, since a third of a
/// tree's places are empty.
pub type Table<S> = BTreeMap<ObjectName, Box<Stored<S>>>;

/// An object without all that the controller never reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<S> {
    pub meta: Meta,
    pub spec: S,
    /// As last seen or written; none of the index's decisions depend on it.
    pub status: Option<PackedStatus>,
}

/// What tells one state of an object from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Missing in files.
    pub uid: Option<String>,
    /// Missing in files.
    pub generation: Option<i64>,
    /// Missing in files.
    pub created: Option<Timestamp>,
}

/// Orders objects by who came first: creation time, then namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Age {
    pub created: Option<Timestamp>,
    pub name: ObjectName,
}

/// How an object in a table changed.
pub struct Change<S> {
    pub before: Option<Box<Stored<S>>>,
    /// It is there now.
    pub is_present: bool,
}

impl From<ObjectMeta> for Meta {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            uid: meta.uid,
            generation: meta.generation,
            created: meta.creation_timestamp.map(|time| time.0),
        }
    }
}

impl<S> Stored<S> {
    /// Keeps what is read of an object.
    pub fn new(meta: ObjectMeta, spec: S, status: Option<impl Into<Status>>) -> Box<Self> {
        Box::new(Self {
            meta: meta.into(),
            spec,
            status: status.map(|status| PackedStatus::new(&status.into())),
        })
    }

    /// Gives the object's place in the order of who came first.
    pub fn age(&self, name: &ObjectName) -> Age {
        Age {
            created: self.meta.created,
            name: name.clone(),
        }
    }
}

impl<S> Change<S> {
    /// Whether the object came or went, rather than changed.
    pub fn is_presence(&self) -> bool {
        self.before.is_some() != self.is_present
    }
}

/// Puts an object in; `None`: nothing changed but at most its status.
pub fn put<S: PartialEq>(
    table: &mut Table<S>,
    name: ObjectName,
    object: Box<Stored<S>>,
) -> Option<Change<S>> {
    if let Some(held) = table.get_mut(&name)
        && held.meta == object.meta
        && held.spec == object.spec
    {
        held.status = object.status;
        return None;
    }
    Some(Change {
        before: table.insert(name, object),
        is_present: true,
    })
}

/// Takes an object out; `None`: it wasn't there.
pub fn take<S>(table: &mut Table<S>, name: &ObjectName) -> Option<Change<S>> {
    table.remove(name).map(|before| Change {
        before: Some(before),
        is_present: false,
    })
}

/// Walks the objects of one namespace.
pub fn of_namespace<'a, V>(
    table: &'a BTreeMap<ObjectName, V>,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a ObjectName, &'a V)> {
    table
        .range(ObjectName::new(namespace, "")..)
        .take_while(move |(name, _)| name.namespace == namespace)
}
