//! Which of several providers, or of several servers of one, a request goes to.

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

/// Chooses among `len`: of two at random, the one with the smaller load.
///
/// Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996.
pub fn of_two(len: usize, load: impl Fn(usize) -> usize, rng: &mut impl Rng) -> Option<usize> {
    match len {
        0 => None,
        1 => Some(0),
        _ => {
            let one = rng.random_range(0..len);
            let other = (one + rng.random_range(1..len)) % len;
            Some(if load(other) < load(one) { other } else { one })
        }
    }
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
    fn equal_servers_get_equal_shares_and_the_busiest_nothing() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = [0; 3];
        for _ in 0..9000 {
            counts[of_two(3, |_| 1, &mut rng).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (2800..3200).contains(count)));
        let loads = [9, 1, 1];
        let chosen = (0..100).filter_map(|_| of_two(3, |at| loads[at], &mut rng));
        assert_eq!(chosen.filter(|at| *at == 0).count(), 0);
        assert_eq!(of_two(1, |_| 5, &mut rng), Some(0));
        assert_eq!(of_two(0, |_| 0, &mut rng), None);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let mut rng = StdRng::seed_from_u64(7);
        assert!(choose([u32::MAX; 64].into_iter(), &mut rng).is_some());
    }
}
