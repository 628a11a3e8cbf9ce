//! A place that one thing's current form is kept in, shared by all who refer to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio_util::sync::CancellationToken;

/// One pointer swap changes it for everybody; those who loaded it keep what they have.
///
/// `R` is runtime state that belongs to the thing and not to its configuration:
/// it outlives every change.
pub struct Slot<T, R = ()> {
    value: ArcSwapOption<T>,
    runtime: R,
}

/// What is remembered of a provider beside its configuration.
#[derive(Debug, Default)]
pub struct ProviderRuntime {
    /// Counts choices among its keys; taken modulo their number.
    pub key_turn: AtomicUsize,
    /// Cancelled to end the attempts under way; those to come have another.
    under_way: ArcSwap<CancellationToken>,
}

impl ProviderRuntime {
    /// Joins the attempts under way, which end when the token is cancelled.
    ///
    /// Called before the provider's form is loaded: whoever then finds it usable misses no block.
    pub fn attempt(&self) -> CancellationToken {
        // One of its own, so that attempts that look at theirs do not meet.
        self.under_way.load().child_token()
    }

    /// Ends the attempts under way; called once no new one can begin.
    pub(crate) fn end_attempts(&self) {
        self.under_way.swap(Arc::default()).cancel();
    }
}

impl<T, R: Default> Slot<T, R> {
    /// A place with nothing in it yet.
    pub(crate) fn empty() -> Self {
        Self {
            value: ArcSwapOption::empty(),
            runtime: R::default(),
        }
    }
}

impl<T, R> Slot<T, R> {
    /// Gives the current form; `None`: there is none, so whatever needs it cannot go on.
    pub fn load(&self) -> Option<Arc<T>> {
        self.value.load_full()
    }

    /// Gives the state that outlives changes.
    pub fn runtime(&self) -> &R {
        &self.runtime
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.value.load().is_none()
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        self.value.store(value);
    }
}

impl<T: fmt::Debug, R> fmt::Debug for Slot<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.load()).finish()
    }
}
