//! Rules of the sliding window, as tables and as properties over all times.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn counts(current: u64, previous: u64) -> Counts {
    Counts { current, previous }
}

/// The moment `elapsed_ms` after a minute began.
fn minute(elapsed_ms: u64) -> Moment {
    Moment::at(1_700_000_040_000 + elapsed_ms, MINUTE)
}

#[test]
fn a_moment_lies_in_the_bucket_that_began_last() {
    let cases = [
        (0, 28_333_334, 60_000),
        (1, 28_333_334, 59_999),
        (59_999, 28_333_334, 1),
        (60_000, 28_333_335, 60_000),
    ];
    for (elapsed_ms, id, remaining_ms) in cases {
        let moment = minute(elapsed_ms);
        assert_eq!((moment.id, moment.remaining_ms), (id, remaining_ms));
    }
}

#[test]
fn the_previous_bucket_fades_and_rounds_up() {
    let cases = [
        (0, counts(0, 100), 100),
        (15_000, counts(0, 100), 75),
        (30_000, counts(7, 100), 57),
        (30_000, counts(0, 1), 1),
        (59_999, counts(0, 1), 1),
        (59_999, counts(0, 0), 0),
        (0, counts(u64::MAX, u64::MAX), u64::MAX),
    ];
    for (elapsed_ms, counts, expected) in cases {
        let counted = counted(counts, minute(elapsed_ms));
        assert_eq!(counted, expected, "{counts:?} after {elapsed_ms} ms");
    }
}

#[test]
fn exactly_the_limit_fits_and_one_more_does_not() {
    assert!(fits(40, 100, counts(10, 100), minute(30_000)));
    assert!(!fits(41, 100, counts(10, 100), minute(30_000)));
    assert!(!fits(u64::MAX, u64::MAX, counts(1, 0), minute(0)));
}

#[test]
fn the_wait_ends_when_enough_has_faded() {
    let cases = [
        // Fits now.
        (10, counts(90, 0), 0, 0),
        // The previous bucket must fade to 50 of 100.
        (50, counts(0, 100), 0, 30_000),
        (50, counts(0, 100), 20_000, 10_000),
        // This bucket is full: it must first become the previous one, then fade to a half.
        (50, counts(100, 0), 10_000, 50_000 + 30_000),
        // The whole limit is wanted: until nothing counts.
        (100, counts(1, 0), 10_000, 110_000),
    ];
    for (amount, counts, elapsed_ms, expected) in cases {
        let wait = wait_ms(amount, 100, counts, minute(elapsed_ms));
        assert_eq!(
            wait, expected,
            "{amount} beside {counts:?} after {elapsed_ms} ms"
        );
    }
}

#[test]
fn odd_windows_are_brought_into_range() {
    assert_eq!(to_ms(Duration::ZERO), 1);
    assert_eq!(to_ms(Duration::MAX), 1 << 35);
    assert_eq!(Moment::at(5, Duration::MAX).id, 0);
}

#[test]
fn a_settled_id_is_remembered_for_two_windows_but_no_longer_than_a_day() {
    let minutes = |n: u64| n * 60_000;
    assert_eq!(remember_ms(MINUTE), minutes(12));
    assert_eq!(remember_ms(30 * 24 * 60 * MINUTE), minutes(24 * 60));
}

/// The window `ms` later, if nothing comes.
fn later(counts_now: Counts, moment: Moment, ms: u64) -> (Counts, Moment) {
    let now_ms = moment.id * moment.window_ms + (moment.window_ms - moment.remaining_ms);
    let then = Moment::at(now_ms + ms, Duration::from_millis(moment.window_ms));
    let counts_then = match then.id - moment.id {
        0 => counts_now,
        1 => counts(0, counts_now.current),
        _ => counts(0, 0),
    };
    (counts_then, then)
}

prop_compose! {
    fn situation()(
        window_ms in prop_oneof![1u64..2000, Just(60_000), Just(86_400_000), Just(1 << 35)],
    )(
        window_ms in Just(window_ms),
        now_ms in 1_600_000_000_000u64..1_900_000_000_000,
        current in 0u64..200_000_000,
        previous in 0u64..200_000_000,
    ) -> (Counts, Moment) {
        (counts(current, previous), Moment::at(now_ms, Duration::from_millis(window_ms)))
    }
}

proptest! {
    #[test]
    fn counts_never_too_little_and_hardly_too_much((counts, moment) in situation()) {
        let exact = u128::from(counts.previous) * u128::from(moment.remaining_ms);
        let counted = counted(counts, moment);
        let faded = u128::from(counted - counts.current);
        prop_assert!(faded * u128::from(moment.window_ms) >= exact);
        prop_assert!(faded <= exact / u128::from(moment.window_ms) + u128::from(counts.previous >> 16) + 2);
    }

    #[test]
    fn what_fits_after_the_wait_does_not_fit_a_moment_before(
        (counts, moment) in situation(),
        limit in 1u64..200_000_000,
        share in 0u64..=1000,
    ) {
        let amount = limit * share / 1000;
        let wait = wait_ms(amount, limit, counts, moment);
        let fits_after = |ms| {
            let (counts, moment) = later(counts, moment, ms);
            fits(amount, limit, counts, moment)
        };
        prop_assert!(fits_after(wait));
        prop_assert!(wait == 0 || !fits_after(wait - 1));
        prop_assert!(wait <= reset_ms(counts, moment));
    }

    #[test]
    fn nothing_counts_after_the_reset_and_something_before((counts, moment) in situation()) {
        let reset = reset_ms(counts, moment);
        let counted_after = |ms| {
            let (counts, moment) = later(counts, moment, ms);
            counted(counts, moment)
        };
        prop_assert_eq!(counted_after(reset), 0);
        prop_assert!(reset == 0 || counted_after(reset - 1) > 0);
    }

    /// Redis' scripts calculate the same in doubles.
    #[test]
    fn doubles_give_the_same_integers((counts, moment) in situation(), scale in 0u32..9) {
        let previous = counts.previous << scale;
        let weight = (moment.remaining_ms as f64 * 65536.0 / moment.window_ms as f64).ceil();
        let in_doubles = (previous as f64 * weight / 65536.0).ceil() as u64;
        let counts = Counts { current: 0, previous };
        prop_assert_eq!(in_doubles, counted(counts, moment));
    }
}
