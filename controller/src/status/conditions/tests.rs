//! Rules of what is written, by what stands there.

use turnpike_crds::status::GroupStatus;
use turnpike_snapshot::name::ObjectName;

use super::*;
use crate::compile::finding::{Counts, Shown};

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
        halted: None,
        names: Vec::new(),
        hostnames: Vec::new(),
        counts: Counts::default(),
        certificates: Vec::new(),
    }
}

/// The status of an object without hostnames.
fn status(
    findings: &Findings,
    programmed: &Programmed,
    generation: i64,
    before: Option<&Status>,
    now: i64,
) -> Status {
    let verdict = Verdict {
        object: programmed.clone(),
        hostnames: vec![programmed.clone(); findings.hostnames.len()],
    };
    super::status(findings, &verdict, occasion(generation, before, now))
}

fn occasion(generation: i64, before: Option<&Status>, now: i64) -> Occasion<'_> {
    Occasion {
        generation: Some(generation),
        before,
        now: at(now),
        public_url: None,
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
    status(&findings(true), &Programmed::Loaded, generation, None, 1)
}

#[test]
fn a_new_object_gets_all_conditions_and_their_sum_first() {
    assert_eq!(
        loaded(3),
        Status {
            observed_generation: Some(3),
            conditions: vec![
                condition(
                    READY,
                    "True",
                    "Ready",
                    "every other condition is true",
                    3,
                    1
                ),
                condition(ACCEPTED, "True", "Fine", "as told", 3, 1),
                condition(RESOLVED_REFS, "True", "Fine", "as told", 3, 1),
                condition(PROGRAMMED, "True", "Programmed", "loaded", 3, 1),
            ],
            ..Status::default()
        }
    );
}

#[test]
fn what_stands_as_it_should_is_not_written_again() {
    let before = loaded(3);
    let now = status(&findings(true), &Programmed::Loaded, 3, Some(&before), 9);
    assert_eq!(now, before);
}

#[test]
fn the_transition_time_moves_only_with_the_status() {
    let before = loaded(3);
    let now = status(&findings(false), &Programmed::Loaded, 4, Some(&before), 9);
    let since: Vec<i64> = now
        .conditions
        .iter()
        .map(|condition| condition.last_transition_time.0.as_second())
        .collect();
    assert_eq!(since, [9, 9, 1, 1]);
}

#[test]
fn once_programmed_lag_and_loss_of_data_planes_are_no_news() {
    let before = loaded(3);
    for verdict in [
        Programmed::NotLoaded,
        Programmed::NoDataPlane,
        Programmed::Lagging(vec!["dp".into()]),
    ] {
        let now = status(&findings(true), &verdict, 3, Some(&before), 9);
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
        let now = status(&findings(true), &verdict, 4, Some(&before), 9);
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
        let refused = status(&findings(true), &verdict, 3, Some(&before), 9);
        assert_eq!(programmed(&refused), ("False".into(), reason.into(), 3));
        let again = status(&findings(true), &Programmed::Loaded, 3, Some(&refused), 10);
        assert_eq!(programmed(&again), ("True".into(), "Programmed".into(), 3));
    }
}

#[test]
fn conditions_of_others_are_left_alone() {
    let foreign = condition("Reviewed", "True", "ByHand", "", 1, 1);
    let before = Status {
        observed_generation: Some(1),
        conditions: vec![foreign.clone()],
        ..Status::default()
    };
    let now = status(&findings(true), &Programmed::Loaded, 3, Some(&before), 9);
    assert_eq!(now.conditions.len(), 5);
    assert_eq!(now.conditions[4], foreign);
}

#[test]
fn a_message_is_cut_to_what_an_api_server_takes() {
    let words = "ü".repeat(MAX_MESSAGE_BYTES);
    let now = status(&findings(true), &Programmed::Refused(words), 3, None, 9);
    assert_eq!(now.conditions[3].message.len(), MAX_MESSAGE_BYTES);
}

#[test]
fn ready_says_what_the_first_false_condition_says_or_the_first_unknown() {
    let sum = |findings: &Findings, programmed: &Programmed| {
        let ready = status(findings, programmed, 3, None, 1).conditions[0].clone();
        assert_eq!(ready.type_, READY);
        (ready.status, ready.reason, ready.message)
    };
    let say = |status: &str, reason: &str, message: &str| {
        (status.to_owned(), reason.to_owned(), message.to_owned())
    };
    let mut unresolved = findings(true);
    unresolved.resolved_refs = Finding {
        is_true: false,
        reason: "Missing",
        message: "gone".into(),
    };
    let mut halted = findings(true);
    halted.halted = Some(Finding {
        is_true: false,
        reason: "Draining",
        message: "as wished".into(),
    });
    let no_data_plane = "no data plane is connected; start one";
    let cases = [
        (
            findings(false),
            Programmed::NoDataPlane,
            say("False", "Bad", "as told"),
        ),
        (
            unresolved.clone(),
            Programmed::Refused("no".into()),
            say("False", "Missing", "gone"),
        ),
        (
            unresolved,
            Programmed::NoDataPlane,
            say("False", "Missing", "gone"),
        ),
        (
            findings(true),
            Programmed::Refused("no".into()),
            say("False", "Refused", "no"),
        ),
        (
            findings(true),
            Programmed::NoDataPlane,
            say("Unknown", "NoDataPlane", no_data_plane),
        ),
        (
            halted.clone(),
            Programmed::TooOld("old".into()),
            say("False", "DataPlaneTooOld", "old"),
        ),
        (
            halted,
            Programmed::NotLoaded,
            say("False", "Draining", "as wished"),
        ),
    ];
    for (findings, programmed, expected) in cases {
        assert_eq!(sum(&findings, &programmed), expected);
    }
}

#[test]
fn the_default_of_the_schema_is_no_time_of_a_transition() {
    let unknown = condition(
        READY,
        "Unknown",
        PENDING,
        "waiting for the controller",
        0,
        0,
    );
    let before = Status {
        conditions: vec![unknown],
        ..Status::default()
    };
    let now = status(
        &findings(true),
        &Programmed::NoDataPlane,
        3,
        Some(&before),
        9,
    );
    let since = |status: &Status| status.conditions[0].last_transition_time.0;
    assert_eq!(since(&now), at(9));
    let again = status(&findings(true), &Programmed::NoDataPlane, 3, Some(&now), 11);
    assert_eq!(again, now);
}

/// A route with a hostname of its own, one that is another's, and a wildcard.
fn with_hostnames() -> Findings {
    let conflict = Some(("HostnameConflict", "b.test is another's".to_owned()));
    Findings {
        hostnames: vec![
            HostnameFinding::new("a.test", None),
            HostnameFinding::new("b.test", conflict),
            HostnameFinding::new("*.c.test", None),
        ],
        ..findings(false)
    }
}

/// Of each hostname: its name, and status and reason of both conditions.
fn told(status: &Status) -> Vec<String> {
    let hostnames = status.hostnames.iter();
    hostnames
        .map(|hostname| {
            let conditions = hostname.conditions.iter();
            let said = conditions.map(|it| format!(" {}={} {}", it.type_, it.status, it.reason));
            hostname.name.clone() + &said.collect::<String>()
        })
        .collect()
}

#[test]
fn each_hostname_has_conditions_of_its_own() {
    let verdict = Verdict {
        object: Programmed::Lagging(vec!["dp".into()]),
        hostnames: vec![
            Programmed::Loaded,
            Programmed::Nothing,
            Programmed::Lagging(vec!["dp".into()]),
        ],
    };
    let url: PublicUrl = "https://{host}".parse().unwrap();
    let occasion = Occasion {
        public_url: Some(&url),
        ..occasion(3, None, 1)
    };
    let now = super::status(&with_hostnames(), &verdict, occasion);
    assert_eq!(
        told(&now),
        [
            "a.test Accepted=True Accepted Programmed=True Programmed",
            "b.test Accepted=False HostnameConflict Programmed=False Invalid",
            "*.c.test Accepted=True Accepted Programmed=False Pending",
        ]
    );
    let urls: Vec<_> = now.hostnames.iter().map(|it| it.url.as_deref()).collect();
    assert_eq!(urls, [Some("https://a.test"), Some("https://b.test"), None]);
}

#[test]
fn a_hostname_that_stands_as_it_should_is_not_written_again() {
    let before = status(&with_hostnames(), &Programmed::Loaded, 3, None, 1);
    let lag = Programmed::Lagging(vec!["dp".into()]);
    let now = status(&with_hostnames(), &lag, 3, Some(&before), 9);
    assert_eq!(now, before);
    let refused = status(
        &with_hostnames(),
        &Programmed::Refused("no".into()),
        3,
        Some(&before),
        9,
    );
    assert!(told(&refused)[0].ends_with("Programmed=False Refused"));
}

#[test]
fn messages_of_hostnames_are_short() {
    let words = Programmed::Refused("ü".repeat(MAX_MESSAGE_BYTES));
    let now = status(&with_hostnames(), &words, 3, None, 1);
    let length = now.hostnames[0].conditions[1].message.len();
    assert_eq!(length, MAX_HOSTNAME_MESSAGE_BYTES);
}

#[test]
fn counts_are_told_as_they_are() {
    let groups = vec![GroupStatus {
        name: "gold".into(),
        consumers: 2,
    }];
    let counted = Findings {
        counts: Counts {
            routes: Some(7),
            groups: groups.clone(),
        },
        ..findings(true)
    };
    let now = status(&counted, &Programmed::Loaded, 3, None, 1);
    assert_eq!((now.routes, now.groups), (Some(7), groups));
}

#[test]
fn certificates_are_told_where_there_are_and_count_once_they_have_expired() {
    const HOUR: i64 = 3600;
    let now = 2_000_000_000;
    let cases = [
        (None, true, "True Ready", None),
        (
            Some(200 * HOUR),
            true,
            "True Ready",
            Some("True CertificatesValid"),
        ),
        (
            Some(HOUR),
            true,
            "True Ready",
            Some("False CertificateExpiresSoon"),
        ),
        (
            Some(-1),
            true,
            "False CertificateExpired",
            Some("False CertificateExpired"),
        ),
        (
            Some(-1),
            false,
            "False Bad",
            Some("False CertificateExpired"),
        ),
    ];
    for (left, is_accepted, ready, certificates) in cases {
        let shown = left.map(|left| Shown {
            secret: ObjectName::new("a", "own"),
            not_after: at(now + left),
        });
        let findings = Findings {
            certificates: shown.into_iter().collect(),
            ..findings(is_accepted)
        };
        let now = status(&findings, &Programmed::Loaded, 3, None, now);
        let said = |type_: &str| {
            let mut conditions = now.conditions.iter();
            let found = conditions.find(|condition| condition.type_ == type_);
            found.map(|found| format!("{} {}", found.status, found.reason))
        };
        assert_eq!(said(READY).as_deref(), Some(ready), "{left:?}");
        assert_eq!(
            said(CERTIFICATES_VALID).as_deref(),
            certificates,
            "{left:?}"
        );
    }
}
