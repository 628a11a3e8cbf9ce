//! Which of a provider's keys a request is sent with: each in its turn.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Takes the next index below `len`; `None`: there is nothing to choose from.
///
/// `turn` belongs to the provider and outlives changes of its keys.
pub fn next(turn: &AtomicUsize, len: usize) -> Option<usize> {
    match len {
        0 => None,
        1 => Some(0),
        _ => Some(turn.fetch_add(1, Ordering::Relaxed) % len),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_turns() {
        let turn = AtomicUsize::default();
        let taken: Vec<_> = (0..5).filter_map(|_| next(&turn, 3)).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn the_turn_survives_a_change_of_their_number_and_an_overflow() {
        let turn = AtomicUsize::new(usize::MAX);
        assert!(next(&turn, 2).is_some_and(|index| index < 2));
        assert_eq!(next(&turn, 3), Some(0));
        assert_eq!(next(&turn, 0), None);
    }
}
