//! Names to be subscribed and unsubscribed on the stream that is open.
//!
//! Holds names, not messages, and each at most once: a slow controller costs
//! no more memory than the names that are known anyway.

use turnpike_snapshot::Name;

use crate::store::oldest::Oldest;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    subscribe: Oldest<Name>,
    unsubscribe: Oldest<Name>,
}

/// To be said in this order: a name in both is asked for anew.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) unsubscribe: Vec<Name>,
    pub(crate) subscribe: Vec<Name>,
}

impl Outbox {
    pub(crate) fn subscribe(&mut self, name: &Name) {
        self.subscribe.insert(name.clone());
    }

    /// What has not been subscribed yet need not be unsubscribed.
    pub(crate) fn unsubscribe(&mut self, name: &Name) {
        if !self.subscribe.remove(name) {
            self.unsubscribe.insert(name.clone());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.subscribe.clear();
        self.unsubscribe.clear();
    }

    /// All unsubscriptions go before any subscription.
    pub(crate) fn take(&mut self, max: usize) -> Outgoing {
        let unsubscribe = take(&mut self.unsubscribe, max);
        let subscribe = take(&mut self.subscribe, max - unsubscribe.len());
        Outgoing {
            unsubscribe,
            subscribe,
        }
    }
}

fn take(names: &mut Oldest<Name>, max: usize) -> Vec<Name> {
    std::iter::from_fn(|| names.pop()).take(max).collect()
}
