//! Findings and verdicts as Kubernetes conditions. Pure: the time is an argument.
//!
//! What is written depends on what stands there already: a condition keeps its
//! transition time while its status stays, and `Programmed`, once true for a
//! generation, stays so until a data plane refuses it; lag is no news.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use turnpike_crds::Status;
use turnpike_crds::status::{ACCEPTED, PROGRAMMED, RESOLVED_REFS};

use crate::compile::finding::{Finding, Findings};
use crate::status::programmed::Programmed;

/// An API server refuses longer messages.
const MAX_MESSAGE_BYTES: usize = 32_768;

/// Says what the status shall be; equal to `before` if there is nothing to write.
pub fn status(
    findings: &Findings,
    programmed: &Programmed,
    generation: Option<i64>,
    before: Option<&Status>,
    now: Timestamp,
) -> Status {
    let before = before.map_or(&[][..], |status| &status.conditions);
    let find = |type_: &str| before.iter().find(|condition| condition.type_ == type_);
    let mut conditions: Vec<Condition> = before
        .iter()
        .filter(|condition| ![ACCEPTED, RESOLVED_REFS, PROGRAMMED].contains(&&*condition.type_))
        .cloned()
        .collect();
    let mut set = |type_: &'static str, said: Said| {
        conditions.push(said.into_condition(type_, generation, find(type_), now));
    };
    set(ACCEPTED, Said::from(&findings.accepted));
    set(RESOLVED_REFS, Said::from(&findings.resolved_refs));
    let stands = find(PROGRAMMED).filter(|condition| stands(condition, programmed, generation));
    match stands {
        Some(stands) => conditions.push(stands.clone()),
        None => set(PROGRAMMED, Said::from(programmed)),
    }
    Status {
        observed_generation: generation,
        conditions,
    }
}

/// Whether the verdict says nothing that could undo this `Programmed`.
fn stands(condition: &Condition, programmed: &Programmed, generation: Option<i64>) -> bool {
    let is_harmless = match programmed {
        Programmed::Loaded
        | Programmed::NotLoaded
        | Programmed::NoDataPlane
        | Programmed::Lagging(_) => true,
        Programmed::Refused(_) | Programmed::TooOld(_) | Programmed::Nothing => false,
    };
    is_harmless && condition.status == "True" && condition.observed_generation == generation
}

/// What a condition says.
struct Said {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Said {
    fn new(status: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
        }
    }

    fn into_condition(
        mut self,
        type_: &str,
        generation: Option<i64>,
        before: Option<&Condition>,
        now: Timestamp,
    ) -> Condition {
        let since = before.filter(|before| before.status == self.status);
        let end = self.message.floor_char_boundary(MAX_MESSAGE_BYTES);
        self.message.truncate(end);
        Condition {
            type_: type_.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            observed_generation: generation,
            last_transition_time: since.map_or_else(
                || whole_seconds(now),
                |since| since.last_transition_time.clone(),
            ),
        }
    }
}

impl From<&Finding> for Said {
    fn from(finding: &Finding) -> Self {
        let status = if finding.is_true { "True" } else { "False" };
        Said::new(status, finding.reason, &finding.message)
    }
}

impl From<&Programmed> for Said {
    fn from(programmed: &Programmed) -> Self {
        match programmed {
            Programmed::Loaded => Said::new("True", "Programmed", "loaded"),
            Programmed::NotLoaded => Said::new(
                "True",
                "Programmed",
                "not loaded yet: the first request that needs it loads it",
            ),
            Programmed::NoDataPlane => Said::new(
                "Unknown",
                "NoDataPlane",
                "no data plane is connected; start one",
            ),
            Programmed::Lagging(data_planes) => Said::new(
                "False",
                "Pending",
                format!("waiting for data plane {}", data_planes.join(", ")),
            ),
            Programmed::Refused(words) => Said::new("False", "Refused", words),
            Programmed::TooOld(words) => Said::new("False", "DataPlaneTooOld", words),
            Programmed::Nothing => Said::new(
                "False",
                "Invalid",
                "nothing of it is in force; see the condition Accepted",
            ),
        }
    }
}

/// As an API server keeps it; else what is read back would differ from what was written.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests;
