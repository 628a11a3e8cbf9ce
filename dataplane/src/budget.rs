//! The process's memory budget: what requests make it hold is charged here, and what would go over it
//! is refused before the kernel ends everything.
//!
//! Charged are bytes of bodies and answers that are held, each for as long as its [`Charge`] lives. Beside
//! that the resident memory of the process is looked at: as it nears the limit of its container, new
//! requests are refused, whatever holds the memory.

mod container;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use container::container_limit;

/// How old a look at the resident memory may be: reading it takes some microseconds.
const LOOK: Duration = Duration::from_millis(100);

/// The budget of the process. Cheap to clone; clones share.
#[derive(Clone, Debug)]
pub struct Budget(Arc<State>);

/// What may be held, and when the process is too large. `None`: as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of bodies and answers.
    pub held: Option<u64>,
    /// Bytes of the whole process.
    pub resident: Option<u64>,
}

#[derive(Debug)]
struct State {
    bounds: Bounds,
    held: AtomicU64,
    refused: AtomicU64,
    born: Instant,
    /// Milliseconds after `born`.
    looked: AtomicU64,
    resident: AtomicU64,
}

/// The budget does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory budget of the gateway is used up")]
pub struct Exhausted;

/// What somebody holds, until dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Bounds {
    /// A budget of so many bytes (default: 70 % of the container's limit, where it has one), in a
    /// process that stays under 90 % of its container's limit.
    pub fn new(held: Option<u64>, container: Option<u64>) -> Self {
        let share = |percent: u64| container.map(|limit| limit / 100 * percent);
        Self {
            held: held.or_else(|| share(70)),
            resident: share(90),
        }
    }
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(State {
            bounds,
            held: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            born: Instant::now(),
            looked: AtomicU64::new(0),
            resident: AtomicU64::new(0),
        }))
    }

    /// Asks whether a new request may begin that will hold so many bytes.
    pub fn admit(&self, bytes: u64) -> Result<(), Exhausted> {
        let state = &*self.0;
        let has_room = state.bounds.held.is_none_or(|bound| {
            let held = state.held.load(Ordering::Relaxed);
            held.saturating_add(bytes) <= bound
        });
        let is_small = state
            .bounds
            .resident
            .is_none_or(|bound| self.look() <= bound);
        match has_room && is_small {
            true => Ok(()),
            false => Err(self.refuse()),
        }
    }

    /// Begins to hold, nothing at first.
    pub fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Bytes that are held.
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Bytes that may be held; `None`: any number.
    pub fn bound(&self) -> Option<u64> {
        self.0.bounds.held
    }

    /// How often it was refused to hold more.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    fn refuse(&self) -> Exhausted {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        Exhausted
    }

    /// The resident memory of the process, as it was a moment ago.
    fn look(&self) -> u64 {
        let state = &*self.0;
        let now = u64::try_from(state.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let looked = state.looked.load(Ordering::Relaxed);
        let is_old = looked == 0 || now.saturating_sub(looked) >= LOOK.as_millis() as u64;
        let take = |was| {
            let order = Ordering::Relaxed;
            let taken = state.looked.compare_exchange(was, now.max(1), order, order);
            taken.is_ok()
        };
        // One of those who find it old looks again.
        if is_old && take(looked) {
            state
                .resident
                .store(container::resident(), Ordering::Relaxed);
        }
        state.resident.load(Ordering::Relaxed)
    }
}

impl Default for Budget {
    /// Without bounds: what a test needs.
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Charge {
    /// Holds so many bytes more, if the budget has them.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Exhausted> {
        let state = &*self.budget.0;
        let held = state.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if state.bounds.held.is_some_and(|bound| held > bound) {
            state.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(self.budget.refuse());
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Holds so many bytes in place of what it holds.
    pub fn become_of(&mut self, bytes: u64) -> Result<(), Exhausted> {
        match bytes.checked_sub(self.bytes) {
            Some(more) if more > 0 => self.grow(more),
            Some(_) => Ok(()),
            None => {
                self.shrink(self.bytes - bytes);
                Ok(())
            }
        }
    }

    /// Holds so many bytes less.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(held: u64) -> Budget {
        Budget::new(Bounds {
            held: Some(held),
            resident: None,
        })
    }

    #[test]
    fn what_is_held_is_given_back() {
        let budget = of(100);
        let mut charge = budget.charge();
        charge.grow(60).unwrap();
        assert_eq!(budget.held(), 60);
        charge.shrink(20);
        let mut other = budget.charge();
        assert_eq!(other.grow(61), Err(Exhausted));
        other.grow(60).unwrap();
        assert_eq!((budget.admit(0), budget.admit(1)), (Ok(()), Err(Exhausted)));
        charge.become_of(10).unwrap();
        assert_eq!(charge.become_of(41), Err(Exhausted));
        assert_eq!(budget.held(), 70);
        drop(charge);
        assert_eq!((budget.held(), budget.refused()), (60, 3));
        drop(other);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_process_over_its_bound_admits_nobody() {
        let sized = |resident| {
            Budget::new(Bounds {
                held: None,
                resident: Some(resident),
            })
        };
        assert_eq!(sized(1).admit(0), Err(Exhausted));
        assert_eq!(sized(u64::MAX).admit(u64::MAX), Ok(()));
    }

    #[test]
    fn the_default_is_a_share_of_the_container() {
        let bounds = |held, resident| Bounds { held, resident };
        assert_eq!(Bounds::new(None, None), bounds(None, None));
        assert_eq!(Bounds::new(None, Some(1000)), bounds(Some(700), Some(900)));
        assert_eq!(Bounds::new(Some(5), Some(1000)), bounds(Some(5), Some(900)));
        assert_eq!(Bounds::new(Some(5), None), bounds(Some(5), None));
    }
}
