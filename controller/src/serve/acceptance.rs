//! Whether an operator said that much may be deleted at once; cheap to clone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A word of acceptance holds for data planes that connect a little later, too.
const ACCEPTED_FOR: Duration = Duration::from_secs(600);

/// The operator's word, for all streams of this controller.
#[derive(Clone, Debug)]
pub struct Acceptance {
    is_standing: bool,
    until: Arc<watch::Sender<Option<Instant>>>,
}

impl Acceptance {
    /// `is_standing`: everything is accepted for as long as this process lives.
    pub fn new(is_standing: bool) -> Self {
        Self {
            is_standing,
            until: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Accepts what is withheld now, and what would be in the next minutes.
    pub fn accept(&self, now: Instant) {
        self.until.send_replace(Some(now + ACCEPTED_FOR));
    }

    /// Whether a stream that begins now may withdraw all it has to.
    pub fn is_accepted(&self, now: Instant) -> bool {
        self.is_standing || self.until.borrow().is_some_and(|until| now < until)
    }

    /// Wakes at each [`Acceptance::accept`] from now on.
    pub fn words(&self) -> watch::Receiver<Option<Instant>> {
        self.until.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_for_a_while_and_the_flag_for_ever() {
        let now = Instant::now();
        let acceptance = Acceptance::new(false);
        assert!(!acceptance.is_accepted(now));
        acceptance.accept(now);
        assert!(acceptance.clone().is_accepted(now + ACCEPTED_FOR / 2));
        assert!(!acceptance.is_accepted(now + ACCEPTED_FOR));
        assert!(Acceptance::new(true).is_accepted(now + 2 * ACCEPTED_FOR));
    }
}
