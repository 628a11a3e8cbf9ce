use http::StatusCode;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use turnpike_snapshot::domain::{Backend, Rule};
use turnpike_snapshot::name::ObjectName;

use super::*;
use crate::store::Tables;

fn rule(backends: &[(u32, u32)], retries: Retries) -> RuleView {
    let backends = backends.iter().enumerate();
    let rule = Rule {
        name: "r".into(),
        matches: Vec::new(),
        backends: backends
            .map(|(at, &(priority, weight))| Backend {
                provider: ObjectName::new("t", format!("p-{at}")),
                model: None,
                weight,
                priority,
                models: Vec::new(),
                fault: None,
            })
            .collect(),
        retries,
    };
    RuleView::compile(&rule, &Tables::default()).unwrap()
}

fn failed() -> RequestError {
    RequestError::upstream(
        UpstreamFault::Transient,
        StatusCode::BAD_GATEWAY,
        "x",
        "it failed",
    )
}

/// Fails every attempt; which backends were asked, and the pauses before each but the first.
fn walk(rule: &RuleView, seed: u64) -> (Vec<usize>, Vec<Duration>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let model = "m".into();
    let mut course = Course::new(rule, &model);
    let (mut asked, mut pauses) = (Vec::new(), Vec::new());
    loop {
        // Nobody is behind these names, which is a failure as good as any.
        assert!(course.choose(&mut rng).is_err());
        let Some(current) = course.current else {
            return (asked, pauses);
        };
        asked.push(current);
        match course.after(&failed(), &mut rng) {
            Turn::Over => return (asked, pauses),
            Turn::Again(pause) => pauses.push(pause),
        }
    }
}

fn retries(is_failover: bool, attempts: u32) -> Retries {
    Retries {
        conditions: vec![Failure::Server, Failure::Connect],
        is_failover,
        attempts,
        backoff: Duration::from_millis(100),
        per_attempt_timeout: Duration::ZERO,
    }
}

#[test]
fn tiers_come_in_their_order_and_begin_anew_after_a_pause() {
    let rule = rule(&[(1, 1), (0, 1), (7, 1), (3, 0)], retries(true, 2));
    let (asked, pauses) = walk(&rule, 1);
    assert_eq!(asked, [1, 0, 2, 1, 0]);
    assert!(pauses[0].is_zero() && pauses[1].is_zero());
}

#[test]
fn without_failover_the_same_is_asked_again() {
    let rule = rule(&[(0, 1), (0, 1)], retries(false, 3));
    let (asked, _) = walk(&rule, 1);
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|at| *at == asked[0]));
}

#[test]
fn a_rule_that_says_nothing_ends_with_its_first_attempt() {
    let rule = rule(&[(0, 1), (0, 1)], Retries::default());
    assert_eq!(walk(&rule, 1).0.len(), 1);
}

#[test]
fn pauses_double_up_to_their_bound() {
    let mut rng = StdRng::seed_from_u64(3);
    let longest = |retries| {
        let pauses = (0..2000).map(|_| pause(Duration::from_millis(100), retries, &mut rng));
        pauses.max().unwrap().as_millis()
    };
    let reached: Vec<u128> = [0, 1, 2, 10, u32::MAX].into_iter().map(longest).collect();
    for (reached, bound) in reached.into_iter().zip([100, 200, 400, 2000, 2000]) {
        assert!(
            (bound * 9 / 10..=bound).contains(&reached),
            "{reached} {bound}"
        );
    }
}

proptest! {
    #[test]
    fn every_walk_is_bounded_and_repeats_nobody_while_others_wait(
        backends in prop::collection::vec((0u32..4, 0u32..3), 1..16),
        is_failover: bool,
        attempts in 0u32..4,
        seed: u64,
    ) {
        let usable = backends.iter().filter(|(_, weight)| *weight > 0).count();
        let rule = rule(&backends, retries(is_failover, attempts));
        let (asked, pauses) = walk(&rule, seed);
        if usable == 0 {
            prop_assert!(asked.is_empty());
            return Ok(());
        }
        let first = if is_failover { usable } else { 1 };
        prop_assert_eq!(asked.len(), first + attempts as usize);
        if is_failover {
            for round in asked.chunks(usable) {
                let mut seen = round.to_vec();
                seen.sort_unstable();
                seen.dedup();
                prop_assert_eq!(seen.len(), round.len());
                let tiers: Vec<u32> = round.iter().map(|at| backends[*at].0).collect();
                prop_assert!(tiers.is_sorted());
            }
        }
        let unpaused = pauses.iter().take_while(|pause| pause.is_zero()).count();
        prop_assert!(unpaused + 1 >= first);
    }
}
