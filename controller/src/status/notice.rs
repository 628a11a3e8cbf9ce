//! Which changes of a status a person should see as an event, and how many of them
//! are told. Pure: time is an argument.
//!
//! What a data plane has not taken yet is no news; neither is what stood there
//! before, so that a controller that starts anew has nothing to tell.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::time::Instant;
use turnpike_crds::Status;
use turnpike_crds::status::{
    ACCEPTED, CERTIFICATES_VALID, INVALID, PENDING, PROGRAMMED, READY, RESOLVED_REFS,
};

use crate::source::ObjectKey;

/// Source: the API server's validation of `events.k8s.io/v1`, `note`.
const MAX_NOTE_BYTES: usize = 1_024;
/// Over all objects: so many at once, and so many a second in the long run.
const OVERALL: Rate = Rate {
    burst: 50.0,
    pause: Duration::from_millis(200),
};
/// Of one object: three times bad and well again, then one event a minute.
const PER_OBJECT: Rate = Rate {
    burst: 6.0,
    pause: Duration::from_secs(60),
};
/// Objects that are remembered before those that may tell anew are forgotten.
const MAX_OBJECTS: usize = 4_096;

/// The conditions that are told of; `Ready` repeats them.
const TOLD: [&str; 4] = [ACCEPTED, RESOLVED_REFS, PROGRAMMED, CERTIFICATES_VALID];

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) severity: Severity,
    pub(crate) reason: String,
    pub(crate) note: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It is well again.
    Normal,
    /// It is not.
    Warning,
}

/// What a person should see of a status that is written now.
///
/// A condition that becomes false, or false for another reason, is a warning. That
/// all are true again is told if one was told of before (`was_bad`, or by `before`).
pub(crate) fn notices(before: Option<&Status>, now: &Status, was_bad: bool) -> Vec<Notice> {
    let fault_before = |type_| before.and_then(|status| fault(status, type_));
    let mut notices: Vec<Notice> = TOLD
        .into_iter()
        .filter_map(|type_| {
            let fault = fault(now, type_)?;
            let is_old = fault_before(type_).is_some_and(|old| old.reason == fault.reason);
            (!is_old).then(|| Notice::new(Severity::Warning, fault))
        })
        .collect();
    let was_bad = was_bad || TOLD.into_iter().any(|type_| fault_before(type_).is_some());
    let ready = find(now, READY).filter(|ready| ready.status == "True");
    // It may be ready while a certificate is about to expire.
    if let Some(ready) = ready.filter(|_| was_bad && !is_bad(now)) {
        notices.push(Notice::new(Severity::Normal, ready));
    }
    notices
}

/// Whether all is well with what has this status.
pub(crate) fn is_ready(status: &Status) -> bool {
    find(status, READY).is_some_and(|ready| ready.status == "True")
}

/// Whether anything is wrong with what has this status, besides that data planes lag.
pub(crate) fn is_bad(status: &Status) -> bool {
    TOLD.into_iter().any(|type_| fault(status, type_).is_some())
}

fn fault<'a>(status: &'a Status, type_: &str) -> Option<&'a Condition> {
    let condition = find(status, type_)?;
    let is_news = ![PENDING, INVALID].contains(&&*condition.reason);
    (condition.status == "False" && is_news).then_some(condition)
}

fn find<'a>(status: &'a Status, type_: &str) -> Option<&'a Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == type_)
}

impl Notice {
    fn new(severity: Severity, condition: &Condition) -> Self {
        let end = condition.message.floor_char_boundary(MAX_NOTE_BYTES);
        Self {
            severity,
            reason: condition.reason.clone(),
            note: condition.message[..end].to_owned(),
        }
    }
}

/// How much may be told.
#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    /// Until one more may be told.
    pause: Duration,
}

/// What is left to tell, overall and of each object. Bounded in memory.
#[derive(Default)]
pub(crate) struct Budget {
    overall: Option<Bucket>,
    objects: HashMap<ObjectKey, Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Budget {
    /// Takes from what is left; `false`: nothing may be told now.
    pub(crate) fn take(&mut self, object: &ObjectKey, now: Instant) -> bool {
        let overall = Bucket::filled(self.overall, OVERALL, now);
        let own = Bucket::filled(self.objects.get(object).copied(), PER_OBJECT, now);
        let (Some(overall_left), Some(own_left)) = (overall.less_one(), own.less_one()) else {
            return false;
        };
        if self.objects.len() >= MAX_OBJECTS {
            // At the overall rate fewer than half can lack anything.
            let is_full = |bucket: &Bucket| {
                Bucket::filled(Some(*bucket), PER_OBJECT, now).left >= PER_OBJECT.burst
            };
            self.objects.retain(|_, bucket| !is_full(bucket));
        }
        self.overall = Some(overall_left);
        self.objects.insert(object.clone(), own_left);
        true
    }
}

impl Bucket {
    fn filled(bucket: Option<Self>, rate: Rate, now: Instant) -> Self {
        let left = bucket.map_or(rate.burst, |bucket| {
            let gained = now.duration_since(bucket.at).as_secs_f64() / rate.pause.as_secs_f64();
            (bucket.left + gained).min(rate.burst)
        });
        Self { left, at: now }
    }

    fn less_one(self) -> Option<Self> {
        let left = self.left - 1.0;
        (left >= 0.0).then_some(Self { left, ..self })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::source::Kind;

    /// Conditions in order of the four types, each `status reason`.
    fn status(conditions: [&str; 4]) -> Status {
        let types = [READY, ACCEPTED, RESOLVED_REFS, PROGRAMMED];
        let conditions = types.into_iter().zip(conditions).map(|(type_, said)| {
            let (status, reason) = said.split_once(' ').unwrap();
            Condition {
                type_: type_.into(),
                status: status.into(),
                reason: reason.into(),
                message: format!("{type_} told"),
                observed_generation: Some(1),
                last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            }
        });
        Status {
            conditions: conditions.collect(),
            ..Status::default()
        }
    }

    fn well() -> Status {
        status([
            "True Ready",
            "True Accepted",
            "True ResolvedRefs",
            "True Programmed",
        ])
    }

    fn conflict() -> Status {
        status([
            "False HostnameConflict",
            "False HostnameConflict",
            "True ResolvedRefs",
            "False Invalid",
        ])
    }

    fn lagging() -> Status {
        status([
            "False Pending",
            "True Accepted",
            "True ResolvedRefs",
            "False Pending",
        ])
    }

    fn told(before: Option<&Status>, now: &Status, was_bad: bool) -> Vec<(Severity, String)> {
        let notices = notices(before, now, was_bad).into_iter();
        notices
            .map(|notice| (notice.severity, notice.reason))
            .collect()
    }

    #[test]
    fn what_becomes_false_is_told_once() {
        let warning = [(Severity::Warning, "HostnameConflict".to_owned())];
        assert_eq!(told(None, &conflict(), false), warning);
        assert_eq!(told(Some(&well()), &conflict(), false), warning);
        assert!(told(Some(&conflict()), &conflict(), false).is_empty());
    }

    #[test]
    fn another_reason_is_news_and_so_is_each_condition() {
        let refused = status([
            "False NotPermitted",
            "False NotPermitted",
            "True ResolvedRefs",
            "False Refused",
        ]);
        let reasons = told(Some(&conflict()), &refused, false);
        let reasons: Vec<_> = reasons.iter().map(|(_, reason)| &**reason).collect();
        assert_eq!(reasons, ["NotPermitted", "Refused"]);
    }

    #[test]
    fn what_only_waits_is_not_told() {
        assert!(told(None, &lagging(), false).is_empty());
        assert!(told(Some(&well()), &lagging(), false).is_empty());
        assert!(told(Some(&lagging()), &well(), false).is_empty());
        assert!(
            told(None, &well(), false).is_empty(),
            "a new object that is well"
        );
    }

    #[test]
    fn that_it_is_well_again_is_told_where_it_was_bad() {
        let normal = [(Severity::Normal, "Ready".to_owned())];
        assert_eq!(told(Some(&conflict()), &well(), false), normal);
        assert_eq!(told(Some(&lagging()), &well(), true), normal);
        assert!(is_bad(&conflict()) && !is_bad(&lagging()) && !is_bad(&well()));
    }

    #[test]
    fn a_note_is_cut_to_what_an_api_server_takes() {
        let mut now = conflict();
        now.conditions[1].message = "ü".repeat(MAX_NOTE_BYTES);
        assert_eq!(notices(None, &now, false)[0].note.len(), MAX_NOTE_BYTES);
    }

    #[test]
    fn a_storm_is_cut_short_and_a_flapping_object_too() {
        let start = Instant::now();
        let mut budget = Budget::default();
        let object = |at: usize| ObjectKey::new(Kind::AIRoute, "a", format!("r-{at}"));
        let told = (0..50_000).filter(|at| budget.take(&object(*at), start));
        assert_eq!(told.count(), 50);
        let later = start + Duration::from_secs(10);
        let told = (0..50_000).filter(|_| budget.take(&object(1), later));
        assert_eq!(told.count(), 5, "and one before");
        assert!(budget.take(&object(2), later));
    }

    #[test]
    fn objects_that_were_told_of_long_ago_are_forgotten() {
        let mut now = Instant::now();
        let mut budget = Budget::default();
        for at in 0..3 * MAX_OBJECTS {
            now += OVERALL.pause;
            let object = ObjectKey::new(Kind::AIRoute, "a", format!("r-{at}"));
            assert!(budget.take(&object, now));
        }
        assert!(budget.objects.len() <= MAX_OBJECTS);
    }
}
