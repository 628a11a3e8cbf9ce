//! Findings and verdicts as Kubernetes conditions. Pure: the time is an argument.
//!
//! What is written depends on what stands there already: a condition keeps its
//! transition time while its status stays, and `Programmed`, once true for a
//! generation, stays so until a data plane refuses it; lag is no news.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use turnpike_crds::Status;
use turnpike_crds::status::{
    ACCEPTED, CERTIFICATES_VALID, HostnameStatus, INVALID, PENDING, PROGRAMMED, READY,
    RESOLVED_REFS,
};

use crate::compile::finding::{Finding, Findings, HostnameFinding};
use crate::status::certificates::{self, Judgement, Standing};
use crate::status::programmed::{Programmed, Verdict};
use crate::status::public_url::PublicUrl;

/// An API server refuses longer messages.
const MAX_MESSAGE_BYTES: usize = 32_768;
/// A route has up to 64 hostnames, each with messages of its own.
const MAX_HOSTNAME_MESSAGE_BYTES: usize = 1_024;

/// The conditions that are written here; others are left as they stand.
const OURS: [&str; 5] = [
    READY,
    ACCEPTED,
    RESOLVED_REFS,
    PROGRAMMED,
    CERTIFICATES_VALID,
];

/// What a status depends on besides what is found.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// Of the object as it is now.
    pub generation: Option<i64>,
    /// What stands there.
    pub before: Option<&'a Status>,
    pub now: Timestamp,
    /// How clients reach hostnames, if that is known.
    pub public_url: Option<&'a PublicUrl>,
}

/// Says what the status shall be; equal to `before` if there is nothing to write.
pub fn status(findings: &Findings, verdict: &Verdict, occasion: Occasion<'_>) -> Status {
    let standing = occasion.before.map_or(&[][..], |before| &before.conditions);
    let scribe = Scribe {
        occasion,
        standing,
        max_message: MAX_MESSAGE_BYTES,
    };
    let parts = [
        scribe.write(ACCEPTED, Said::from(&findings.accepted)),
        scribe.write(RESOLVED_REFS, Said::from(&findings.resolved_refs)),
        scribe.programmed(&verdict.object),
    ];
    let judged = certificates::judge(&findings.certificates, occasion.now);
    let is_over = judged
        .as_ref()
        .is_some_and(|it| it.standing == Standing::Expired);
    let certificates = judged.map(|it| scribe.write(CERTIFICATES_VALID, Said::from(it)));
    // One that is still good for days takes nobody out of use.
    let summed = parts.iter().chain(certificates.iter().filter(|_| is_over));
    let ready = scribe.write(READY, ready(summed, findings.halted.as_ref()));
    let is_ours = |condition: &&Condition| OURS.contains(&&*condition.type_);
    let others = standing.iter().filter(|condition| !is_ours(condition));
    let hostnames = findings.hostnames.iter().zip(&verdict.hostnames);
    let counts = &findings.counts;
    Status {
        observed_generation: occasion.generation,
        conditions: [ready]
            .into_iter()
            .chain(parts)
            .chain(certificates)
            .chain(others.cloned())
            .collect(),
        hostnames: hostnames
            .map(|(found, programmed)| hostname(found, programmed, occasion))
            .collect(),
        routes: counts
            .routes
            .map(|routes| i64::try_from(routes).unwrap_or(i64::MAX)),
        groups: counts.groups.clone(),
    }
}

fn hostname(
    found: &HostnameFinding,
    programmed: &Programmed,
    occasion: Occasion<'_>,
) -> HostnameStatus {
    let mut before = occasion.before.into_iter().flat_map(|it| &it.hostnames);
    let before = before.find(|before| before.name == found.name);
    let scribe = Scribe {
        occasion,
        standing: before.map_or(&[], |before| &before.conditions),
        max_message: MAX_HOSTNAME_MESSAGE_BYTES,
    };
    HostnameStatus {
        name: found.name.clone(),
        url: occasion.public_url.and_then(|url| url.of(&found.name)),
        conditions: vec![
            scribe.write(ACCEPTED, Said::from(&found.accepted)),
            scribe.programmed(programmed),
        ],
    }
}

/// Sums up: true if all are; else what the first false one says, or that the object is halted, or
/// the first unknown. So "halted" means: everywhere, as far as is known.
fn ready<'a>(parts: impl Iterator<Item = &'a Condition> + Clone, halted: Option<&Finding>) -> Said {
    let first = |status: &str| parts.clone().find(|part| part.status == status);
    let (status, part) = match (first("False"), halted, first("Unknown")) {
        (Some(part), ..) => ("False", part),
        (None, Some(halted), _) => return Said::from(halted),
        (None, None, Some(part)) => ("Unknown", part),
        (None, None, None) => return Said::new("True", READY, "every other condition is true"),
    };
    Said::new(status, part.reason.clone(), part.message.clone())
}

/// Writes conditions in view of those that stand there.
struct Scribe<'a> {
    occasion: Occasion<'a>,
    standing: &'a [Condition],
    max_message: usize,
}

impl Scribe<'_> {
    fn find(&self, type_: &str) -> Option<&Condition> {
        let mut standing = self.standing.iter();
        standing.find(|condition| condition.type_ == type_)
    }

    fn write(&self, type_: &str, mut said: Said) -> Condition {
        let since = self.find(type_).map(|before| {
            let is_same = before.status == said.status;
            (is_same, &before.last_transition_time)
        });
        // A default of the schema stands for no time.
        let since = since.filter(|(is_same, since)| *is_same && since.0 != Timestamp::UNIX_EPOCH);
        let end = said.message.floor_char_boundary(self.max_message);
        said.message.truncate(end);
        Condition {
            type_: type_.to_owned(),
            status: said.status.to_owned(),
            reason: said.reason,
            message: said.message,
            observed_generation: self.occasion.generation,
            last_transition_time: since.map_or_else(
                || whole_seconds(self.occasion.now),
                |(_, since)| since.clone(),
            ),
        }
    }

    fn programmed(&self, programmed: &Programmed) -> Condition {
        let standing = self.find(PROGRAMMED);
        match standing.filter(|standing| self.stands(standing, programmed)) {
            Some(standing) => standing.clone(),
            None => self.write(PROGRAMMED, Said::from(programmed)),
        }
    }

    /// Whether the verdict says nothing that could undo this `Programmed`.
    fn stands(&self, condition: &Condition, programmed: &Programmed) -> bool {
        let is_harmless = match programmed {
            Programmed::Loaded
            | Programmed::NotLoaded
            | Programmed::NoDataPlane
            | Programmed::Lagging(_) => true,
            Programmed::Refused(_) | Programmed::TooOld(_) | Programmed::Nothing => false,
        };
        let is_current = condition.observed_generation == self.occasion.generation;
        is_harmless && condition.status == "True" && is_current
    }
}

/// What a condition says.
struct Said {
    status: &'static str,
    reason: String,
    message: String,
}

impl Said {
    fn new(status: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

impl From<&Finding> for Said {
    fn from(finding: &Finding) -> Self {
        let status = if finding.is_true { "True" } else { "False" };
        Said::new(status, finding.reason, &finding.message)
    }
}

impl From<Judgement> for Said {
    fn from(judged: Judgement) -> Self {
        let status = match judged.standing {
            Standing::Valid => "True",
            Standing::ExpiresSoon | Standing::Expired => "False",
        };
        Said::new(status, judged.standing.reason(), judged.message)
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
                PENDING,
                format!("waiting for data plane {}", data_planes.join(", ")),
            ),
            Programmed::Refused(words) => Said::new("False", "Refused", words),
            Programmed::TooOld(words) => Said::new("False", "DataPlaneTooOld", words),
            Programmed::Nothing => Said::new(
                "False",
                INVALID,
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
