//! Rules of what is written, by what stands there.

use super::*;

fn finding(is_true: bool) -> Finding {
    Finding {
        is_true,
        reason: if is_true { "Fine" } else { "Bad" },
        message: "as told".into(),
    }
}

fn findings(is_accepted: bool) -> Findings {
    Findings {
        accepted: finding(is_accepted),
        resolved_refs: finding(true),
        names: Vec::new(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn condition(
    type_: &str,
    status: &str,
    reason: &str,
    message: &str,
    generation: i64,
    since: i64,
) -> Condition {
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: Some(generation),
        last_transition_time: Time(at(since)),
    }
}

/// `Programmed` as status, reason and generation.
fn programmed(status: &Status) -> (String, String, i64) {
    let conditions = status.conditions.iter();
    let mut conditions = conditions.filter(|condition| condition.type_ == PROGRAMMED);
    let found = conditions.next().unwrap();
    (
        found.status.clone(),
        found.reason.clone(),
        found.observed_generation.unwrap(),
    )
}

fn loaded(generation: i64) -> Status {
    status(
        &findings(true),
        &Programmed::Loaded,
        Some(generation),
        None,
        at(1),
    )
}

#[test]
fn a_new_object_gets_all_three_conditions() {
    assert_eq!(
        loaded(3),
        Status {
            observed_generation: Some(3),
            conditions: vec![
                condition(ACCEPTED, "True", "Fine", "as told", 3, 1),
                condition(RESOLVED_REFS, "True", "Fine", "as told", 3, 1),
                condition(PROGRAMMED, "True", "Programmed", "loaded", 3, 1),
            ],
        }
    );
}

#[test]
fn what_stands_as_it_should_is_not_written_again() {
    let before = loaded(3);
    let now = status(
        &findings(true),
        &Programmed::Loaded,
        Some(3),
        Some(&before),
        at(9),
    );
    assert_eq!(now, before);
}

#[test]
fn the_transition_time_moves_only_with_the_status() {
    let before = loaded(3);
    let now = status(
        &findings(false),
        &Programmed::Loaded,
        Some(4),
        Some(&before),
        at(9),
    );
    let since: Vec<i64> = now
        .conditions
        .iter()
        .map(|condition| condition.last_transition_time.0.as_second())
        .collect();
    assert_eq!(since, [9, 1, 1]);
}

#[test]
fn once_programmed_lag_and_loss_of_data_planes_are_no_news() {
    let before = loaded(3);
    for verdict in [
        Programmed::NotLoaded,
        Programmed::NoDataPlane,
        Programmed::Lagging(vec!["dp".into()]),
    ] {
        let now = status(&findings(true), &verdict, Some(3), Some(&before), at(9));
        assert_eq!(now, before, "{verdict:?}");
    }
}

#[test]
fn a_new_generation_is_programmed_anew() {
    let before = loaded(3);
    let cases = [
        (Programmed::Lagging(vec!["dp".into()]), ("False", "Pending")),
        (Programmed::NoDataPlane, ("Unknown", "NoDataPlane")),
        (Programmed::NotLoaded, ("True", "Programmed")),
    ];
    for (verdict, (state, reason)) in cases {
        let now = status(&findings(true), &verdict, Some(4), Some(&before), at(9));
        assert_eq!(programmed(&now), (state.into(), reason.into(), 4));
    }
}

#[test]
fn a_refusal_undoes_programmed_and_an_acceptance_brings_it_back() {
    let before = loaded(3);
    let cases = [
        (Programmed::Refused("no".into()), "Refused"),
        (Programmed::TooOld("old".into()), "DataPlaneTooOld"),
        (Programmed::Nothing, "Invalid"),
    ];
    for (verdict, reason) in cases {
        let refused = status(&findings(true), &verdict, Some(3), Some(&before), at(9));
        assert_eq!(programmed(&refused), ("False".into(), reason.into(), 3));
        let again = status(
            &findings(true),
            &Programmed::Loaded,
            Some(3),
            Some(&refused),
            at(10),
        );
        assert_eq!(programmed(&again), ("True".into(), "Programmed".into(), 3));
    }
}

#[test]
fn conditions_of_others_are_left_alone() {
    let foreign = condition("Reviewed", "True", "ByHand", "", 1, 1);
    let before = Status {
        observed_generation: Some(1),
        conditions: vec![foreign.clone()],
    };
    let now = status(
        &findings(true),
        &Programmed::Loaded,
        Some(3),
        Some(&before),
        at(9),
    );
    assert_eq!(now.conditions.len(), 4);
    assert_eq!(now.conditions[0], foreign);
}

#[test]
fn a_message_is_cut_to_what_an_api_server_takes() {
    let words = "ü".repeat(MAX_MESSAGE_BYTES);
    let now = status(
        &findings(true),
        &Programmed::Refused(words),
        Some(3),
        None,
        at(9),
    );
    assert_eq!(now.conditions[2].message.len(), MAX_MESSAGE_BYTES);
}
