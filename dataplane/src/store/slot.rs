//! A place that one thing's current form is kept in, shared by all who refer to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwapOption;

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
