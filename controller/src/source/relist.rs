//! What of a kind is known, so that a list tells who is gone. Pure.
//!
//! A list may come in pages, break off and begin anew (410 Gone, a lost
//! connection). An object that a page did not name is not gone: only a list
//! that reached its end says so.

use std::collections::BTreeSet;

use turnpike_snapshot::name::ObjectName;

/// The objects of one kind that have been told as applied.
#[derive(Default)]
pub(crate) struct Relist {
    known: BTreeSet<ObjectName>,
    /// What the running list has named so far.
    seen: Option<BTreeSet<ObjectName>>,
}

impl Relist {
    /// A list begins; one that was under way is void.
    pub(crate) fn begin(&mut self) {
        self.seen = Some(BTreeSet::new());
    }

    /// A list or a watch names an object that is there.
    pub(crate) fn apply(&mut self, name: &ObjectName) {
        if let Some(seen) = &mut self.seen {
            seen.insert(name.clone());
        }
        self.known.insert(name.clone());
    }

    /// A list or a watch names an object that cannot be read: told or not, it is there.
    pub(crate) fn keep(&mut self, name: &ObjectName) {
        if self.known.contains(name) {
            self.apply(name);
        }
    }

    /// A watch names an object that is gone; `false`: it was not known.
    pub(crate) fn delete(&mut self, name: &ObjectName) -> bool {
        if let Some(seen) = &mut self.seen {
            seen.remove(name);
        }
        self.known.remove(name)
    }

    /// The list is complete: gives the known objects that it did not name.
    pub(crate) fn end(&mut self) -> Vec<ObjectName> {
        let Some(seen) = self.seen.take() else {
            return Vec::new();
        };
        let gone = self.known.difference(&seen).cloned().collect();
        self.known = seen;
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ObjectName {
        ObjectName::new("ns", name)
    }

    fn holding(names: &[&str]) -> Relist {
        let mut relist = Relist::default();
        relist.begin();
        for known in names {
            relist.apply(&name(known));
        }
        assert!(relist.end().is_empty());
        relist
    }

    #[test]
    fn an_object_that_a_complete_list_lacks_is_gone() {
        let mut relist = holding(&["a", "b", "c"]);
        relist.begin();
        relist.apply(&name("b"));
        assert_eq!(relist.end(), [name("a"), name("c")]);
        relist.begin();
        relist.apply(&name("b"));
        assert!(relist.end().is_empty());
    }

    #[test]
    fn a_list_that_breaks_off_removes_nothing() {
        let mut relist = holding(&["a", "b", "c"]);
        relist.begin();
        relist.apply(&name("a"));
        relist.begin();
        for known in ["a", "b", "c"] {
            relist.apply(&name(known));
        }
        assert!(relist.end().is_empty());
    }

    #[test]
    fn what_only_a_broken_list_named_is_gone_after_the_next() {
        let mut relist = holding(&["a"]);
        relist.begin();
        relist.apply(&name("new"));
        relist.begin();
        relist.apply(&name("a"));
        assert_eq!(relist.end(), [name("new")]);
    }

    #[test]
    fn what_a_watch_deleted_is_not_deleted_twice() {
        let mut relist = holding(&["a"]);
        assert!(relist.delete(&name("a")));
        assert!(!relist.delete(&name("a")));
        relist.begin();
        assert!(relist.end().is_empty());
    }

    #[test]
    fn an_object_that_cannot_be_read_any_more_is_not_gone() {
        let mut relist = holding(&["a"]);
        relist.begin();
        relist.keep(&name("a"));
        relist.keep(&name("never-told"));
        assert!(relist.end().is_empty());
        assert!(!relist.delete(&name("never-told")));
    }

    #[test]
    fn an_end_without_a_beginning_removes_nothing() {
        assert!(holding(&["a"]).end().is_empty());
    }
}
