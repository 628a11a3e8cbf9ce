//! What one client has of one name: settled, and on its way.

use std::collections::VecDeque;
use std::sync::Arc;

use turnpike_snapshot::{Name, Version};

use crate::serve::hub::{Report, Standing};

/// One name that a client asked for, or that something it has refers to.
#[derive(Default)]
pub(super) struct Node {
    /// Subscribed by name.
    pub(super) is_root: bool,
    /// Stated by the client as a dependency, of what is not known yet.
    pub(super) is_pinned: bool,
    /// How many copies, settled or sent, of other names refer to this one.
    pub(super) referrers: u32,
    /// What the client surely has; `None`: it was never told anything.
    pub(super) settled: Option<Held>,
    /// What was sent and not acknowledged, with the numbers of the units. The
    /// last counts as held: streams keep order and lose nothing.
    pub(super) sent: VecDeque<(u64, Held)>,
    /// The client said that it has something else than we believed.
    pub(super) must_send: bool,
    /// Why the newest is not there.
    pub(super) problem: Option<Problem>,
}

/// What a client has of a name.
#[derive(Debug)]
pub(super) enum Held {
    /// The word that there is nothing.
    Absent,
    /// A snapshot.
    Present {
        version: Version,
        /// Each counted in its node's `referrers`. `None`: the client stated the
        /// version, and of its content nothing is known.
        references: Option<Box<[Arc<Name>]>>,
    },
}

/// Why a client does not have the newest.
pub(super) enum Problem {
    Refused {
        version: Version,
        message: String,
    },
    TooOld(Vec<String>),
    /// Its withdrawal is kept back.
    Withheld,
}

impl Node {
    /// Whether the client has a use for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_root || self.is_pinned || self.referrers > 0
    }

    /// What the client has once all that is on its way arrived.
    pub(super) fn latest(&self) -> Option<&Held> {
        self.sent
            .back()
            .map(|(_, held)| held)
            .or(self.settled.as_ref())
    }

    pub(super) fn latest_version(&self) -> Option<Version> {
        self.latest().and_then(Held::version)
    }

    pub(super) fn has_refused(&self, newest: Version) -> bool {
        matches!(&self.problem, Some(Problem::Refused { version, .. }) if *version == newest)
    }

    /// Whether the client stated a version of which nothing else is known.
    pub(super) fn is_stated(&self) -> bool {
        let settled = self.settled.as_ref();
        settled.is_some_and(|held| {
            matches!(
                held,
                Held::Present {
                    references: None,
                    ..
                }
            )
        })
    }

    /// Takes all up to this unit as settled; gives what it replaced.
    pub(super) fn settle(&mut self, unit: u64) -> Vec<Held> {
        let mut replaced = Vec::new();
        while self.sent.front().is_some_and(|(number, _)| *number <= unit) {
            let newer = self.sent.pop_front().map(|(_, held)| held);
            replaced.extend(std::mem::replace(&mut self.settled, newer));
        }
        replaced
    }

    /// Takes back what the client refused; `None`: nothing such is on its way.
    pub(super) fn refuse(&mut self, unit: u64, refused: Version, message: String) -> Option<Held> {
        let at = self
            .sent
            .iter()
            .position(|(number, held)| *number == unit && held.version() == Some(refused))?;
        if at + 1 == self.sent.len() {
            self.problem = Some(Problem::Refused {
                version: refused,
                message,
            });
        }
        self.sent.remove(at).map(|(_, held)| held)
    }

    pub(super) fn report(&self) -> Report {
        let standing = match (&self.problem, &self.settled) {
            _ if !self.sent.is_empty() => Standing::Lagging,
            (Some(Problem::Withheld), _) => Standing::Lagging,
            (Some(Problem::Refused { message, .. }), _) => Standing::Refused(message.clone()),
            (Some(Problem::TooOld(features)), _) => Standing::TooOld(features.clone()),
            (None, Some(Held::Present { .. })) => Standing::Current,
            (None, Some(Held::Absent) | None) => return Report::Watched,
        };
        Report::Holds(standing)
    }
}

impl Held {
    pub(super) fn version(&self) -> Option<Version> {
        match self {
            Held::Absent => None,
            Held::Present { version, .. } => Some(*version),
        }
    }

    pub(super) fn into_references(self) -> Box<[Arc<Name>]> {
        match self {
            Held::Present {
                references: Some(references),
                ..
            } => references,
            _ => Box::default(),
        }
    }
}
