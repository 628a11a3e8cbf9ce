//! Whether a new stream may take away most of what its client came with.
//!
//! ```text
//! stated ─ compiled, exists ─→ forgotten
//!        └ compiled, absent ─→ withheld ─ all weighed ─→ few: released
//!                                                     └→ most: kept until accepted
//! ```
//! A controller that has lost its view (an emptied API server, a wrong cluster)
//! looks like a mass deletion to a data plane that reconnects. Only what is found
//! absent at the start of a stream is weighed: what goes later went before our eyes.
//! What the stated names refer to shares their fate, or they would be kept in vain.

use std::collections::HashMap;
use std::sync::Arc;

use turnpike_snapshot::Name;

/// So many withdrawals at once are nobody's mistake to fear.
pub(super) const HARMLESS: usize = 100;

/// How a client stated a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Asked for by itself; these are counted.
    Root,
    /// Held since something else refers to it.
    Dependency,
}

/// The withdrawals of one stream's start.
pub(super) struct Guard {
    harmless: usize,
    phase: Phase,
    /// Stated as held, not compiled since.
    unweighed: HashMap<Arc<Name>, Role>,
    /// Stated, and found absent.
    withheld: HashMap<Arc<Name>, Role>,
    /// How many roots were stated as held.
    roots: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// More may be stated.
    Stating,
    /// All is stated; some of it has not been compiled.
    Weighing,
    /// Most would go, and nobody has said that it may.
    Holding,
    /// Withdrawals are sent.
    Open,
}

/// What the weighing came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// These may be withdrawn now.
    Release(Vec<Arc<Name>>),
    /// So many are withheld, of so many stated.
    Hold { withheld: usize, stated: usize },
}

impl Guard {
    /// `harmless`: this many withdrawals are always let through.
    pub(super) fn new(harmless: usize) -> Self {
        Self {
            harmless,
            phase: Phase::Stating,
            unweighed: HashMap::new(),
            withheld: HashMap::new(),
            roots: 0,
        }
    }

    /// The client says that it holds a version of this name.
    pub(super) fn state(&mut self, name: &Arc<Name>, role: Role) {
        if self.phase != Phase::Stating {
            return;
        }
        let before = self.unweighed.get(name).copied();
        if role == Role::Root && before != Some(Role::Root) {
            self.roots += 1;
        }
        if before != Some(Role::Root) {
            self.unweighed.insert(name.clone(), role);
        }
    }

    /// Nothing more is stated.
    pub(super) fn end_statement(&mut self) {
        if self.phase == Phase::Stating {
            self.phase = Phase::Weighing;
        }
    }

    /// The name was compiled, and there is something; or the client needs it no more.
    pub(super) fn exists(&mut self, name: &Name) {
        self.unweighed.remove(name);
        self.withheld.remove(name);
    }

    /// The name was compiled, and there is nothing. Tells whether to keep that back.
    pub(super) fn withholds(&mut self, name: &Arc<Name>) -> bool {
        if self.phase == Phase::Open {
            return false;
        }
        if let Some(role) = self.unweighed.remove(name) {
            self.withheld.insert(name.clone(), role);
        }
        self.withheld.contains_key(name)
    }

    /// Judges, once, as soon as all that was stated is weighed.
    pub(super) fn judge(&mut self) -> Option<Judgement> {
        if self.phase != Phase::Weighing || !self.unweighed.is_empty() {
            return None;
        }
        let roles = self.withheld.values();
        let withheld = roles.filter(|role| **role == Role::Root).count();
        if withheld > self.harmless && withheld > self.roots / 2 {
            self.phase = Phase::Holding;
            return Some(Judgement::Hold {
                withheld,
                stated: self.roots,
            });
        }
        Some(Judgement::Release(self.open()))
    }

    /// Lets everything through from now on; gives what was kept back.
    pub(super) fn open(&mut self) -> Vec<Arc<Name>> {
        self.phase = Phase::Open;
        self.unweighed = HashMap::new();
        std::mem::take(&mut self.withheld).into_keys().collect()
    }

    /// Counts what is kept back by judgement, not while it is being weighed.
    pub(super) fn held_back(&self) -> usize {
        match self.phase {
            Phase::Holding => self.withheld.len(),
            Phase::Stating | Phase::Weighing | Phase::Open => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Arc<Name> {
        Arc::new(Name::Domain(format!("{number}.test")))
    }

    /// A guard that was told of so many names, of which the first so many are gone.
    fn weighed(stated: usize, gone: usize) -> Guard {
        let mut guard = Guard::new(HARMLESS);
        for number in 0..stated {
            guard.state(&name(number), Role::Root);
        }
        for number in 0..stated {
            match number < gone {
                true => assert!(guard.withholds(&name(number))),
                false => guard.exists(&name(number)),
            }
        }
        assert_eq!(guard.judge(), None, "before the statement has ended");
        guard.end_statement();
        guard
    }

    #[test]
    fn more_than_half_and_more_than_a_hundred_are_held_back() {
        let cases = [
            (1, 1, false),
            (100, 100, false),
            (101, 101, true),
            (202, 101, false),
            (201, 101, true),
            (10_000, 101, false),
            (10_000, 5_000, false),
            (10_000, 5_001, true),
        ];
        for (stated, gone, holds) in cases {
            let mut guard = weighed(stated, gone);
            let judgement = guard.judge().unwrap();
            match judgement {
                Judgement::Hold { withheld, .. } => assert_eq!((withheld, holds), (gone, true)),
                Judgement::Release(names) => assert_eq!((names.len(), holds), (gone, false)),
            }
            assert_eq!(guard.held_back(), if holds { gone } else { 0 });
            assert_eq!(guard.judge(), None, "judged once");
        }
    }

    #[test]
    fn nothing_is_judged_before_all_is_weighed() {
        let mut guard = Guard::new(HARMLESS);
        guard.state(&name(1), Role::Root);
        guard.end_statement();
        assert_eq!(guard.judge(), None);
        guard.exists(&name(1));
        assert_eq!(guard.judge(), Some(Judgement::Release(Vec::new())));
    }

    #[test]
    fn what_comes_back_is_kept_back_no_more() {
        let mut guard = weighed(101, 101);
        guard.judge();
        guard.exists(&name(3));
        assert_eq!(guard.held_back(), 100);
        assert!(!guard.withholds(&name(3)), "it went in mid-stream");
        assert!(guard.withholds(&name(4)));
        assert_eq!(guard.open().len(), 100);
        assert!(!guard.withholds(&name(4)));
    }

    #[test]
    fn what_goes_in_mid_stream_is_never_kept_back() {
        let mut guard = weighed(101, 0);
        assert!(!guard.withholds(&name(1)));
        assert!(!guard.withholds(&name(1_000)));
    }

    #[test]
    fn dependencies_are_kept_back_and_not_counted() {
        let mut guard = Guard::new(0);
        guard.state(&name(1), Role::Root);
        guard.state(&name(2), Role::Dependency);
        guard.state(&name(3), Role::Dependency);
        guard.exists(&name(1));
        assert!(guard.withholds(&name(2)) && guard.withholds(&name(3)));
        guard.end_statement();
        let Some(Judgement::Release(mut names)) = guard.judge() else {
            panic!("no root is gone");
        };
        names.sort();
        assert_eq!(names, [name(2), name(3)]);
    }
}
