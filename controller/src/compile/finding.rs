//! What is found of an object: one issue for each fault, summed up in two findings, and
//! what else its status tells.

use jiff::Timestamp;
use turnpike_crds::status::GroupStatus;
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issue {
    pub subject: Subject,
    /// In CamelCase, as conditions have it.
    pub reason: &'static str,
    /// Of the field, such as `spec.rules[0].backendRefs[1]`.
    pub path: String,
    /// What is wrong and what would be right; never a secret.
    pub message: String,
}

/// The condition that an issue makes false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Accepted,
    ResolvedRefs,
}

/// What is said of an object besides `Programmed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    pub accepted: Finding,
    pub resolved_refs: Finding,
    /// Why it is out of use although nothing is wrong with it: somebody wants it so.
    pub halted: Option<Finding>,
    /// The snapshots that the object is part of.
    pub names: Vec<Name>,
    /// Of a route, in its own order.
    pub hostnames: Vec<HostnameFinding>,
    pub counts: Counts,
    /// That it shows to callers or to its provider; of those that can be read.
    pub certificates: Vec<Shown>,
}

/// A certificate, and its end. Whether it is over is for who has a clock to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub secret: ObjectName,
    /// The last moment that it is valid at.
    pub not_after: Timestamp,
}

/// What is said of one hostname of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostnameFinding {
    pub name: String,
    pub accepted: Finding,
}

/// What an object's status counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of a provider and of a template: routes that name it.
    pub routes: Option<usize>,
    /// Of a quota: the consumers of each group that it selects.
    pub groups: Vec<GroupStatus>,
}

/// What one condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub is_true: bool,
    pub reason: &'static str,
    pub message: String,
}

/// More issues than these make no message clearer.
const MAX_TOLD: usize = 16;

impl Issue {
    pub fn new(
        subject: Subject,
        reason: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            subject,
            reason,
            path: path.into(),
            message: message.into(),
        }
    }
}

impl Findings {
    /// Sums up the issues of an object, without hostnames, counts and certificates.
    pub fn new(issues: &[Issue], names: Vec<Name>) -> Self {
        Self {
            accepted: Finding::of(Subject::Accepted, issues),
            resolved_refs: Finding::of(Subject::ResolvedRefs, issues),
            halted: None,
            names,
            hostnames: Vec::new(),
            counts: Counts::default(),
            certificates: Vec::new(),
        }
    }
}

impl HostnameFinding {
    /// Says that a hostname is the route's, or why not.
    pub fn new(name: &str, fault: Option<(&'static str, String)>) -> Self {
        let fine = || Finding::fine(Subject::Accepted);
        Self {
            name: name.to_owned(),
            accepted: fault.map_or_else(fine, |(reason, message)| Finding {
                is_true: false,
                reason,
                message,
            }),
        }
    }
}

impl Finding {
    fn of(subject: Subject, issues: &[Issue]) -> Self {
        let issues: Vec<&Issue> = issues
            .iter()
            .filter(|issue| issue.subject == subject)
            .collect();
        let Some(first) = issues.first() else {
            return Self::fine(subject);
        };
        let reason = first.reason;
        Self {
            is_true: false,
            reason,
            message: joined(&issues),
        }
    }

    fn fine(subject: Subject) -> Self {
        let (reason, message) = match subject {
            Subject::Accepted => ("Accepted", "valid"),
            Subject::ResolvedRefs => ("ResolvedRefs", "every reference leads somewhere"),
        };
        Self {
            is_true: true,
            reason,
            message: message.to_owned(),
        }
    }
}

/// Writes issues as one text: `path: message; path: message`.
pub fn joined(issues: &[&Issue]) -> String {
    let told = issues.iter().take(MAX_TOLD);
    let mut parts: Vec<String> = told
        .map(|issue| format!("{}: {}", issue.path, issue.message))
        .collect();
    if issues.len() > MAX_TOLD {
        parts.push(format!("and {} more", issues.len() - MAX_TOLD));
    }
    parts.join("; ")
}
