//! Which of several providers a request goes to.

use rand::{Rng, RngExt};

/// Chooses an index with a chance in proportion to its weight; `None`: all weights are 0.
pub fn choose(weights: impl Iterator<Item = u32> + Clone, rng: &mut impl Rng) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    if total == 0 {
        return None;
    }
    let mut at = rng.random_range(0..total);
    for (index, weight) in weights.enumerate() {
        match at.checked_sub(u64::from(weight)) {
            Some(rest) => at = rest,
            None => return Some(index),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn shares<const N: usize>(weights: [u32; N]) -> [u32; N] {
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = [0; N];
        for _ in 0..10_000 {
            let chosen = choose(weights.into_iter(), &mut rng);
            counts[chosen.unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn chances_are_in_proportion_to_weights() {
        let [most, few] = shares([95, 5]);
        assert!((400..600).contains(&few), "{most} {few}");
    }

    #[test]
    fn weight_zero_is_never_chosen() {
        assert_eq!(shares([0, 1, 0])[1], 10_000);
    }

    #[test]
    fn nothing_is_chosen_where_nothing_weighs() {
        let mut rng = StdRng::seed_from_u64(7);
        assert_eq!(choose([0, 0].into_iter(), &mut rng), None);
        assert_eq!(choose([].into_iter(), &mut rng), None);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let mut rng = StdRng::seed_from_u64(7);
        assert!(choose([u32::MAX; 64].into_iter(), &mut rng).is_some());
    }
}
