//! Which hosts a namespace may claim: the installation's policy, and what an
//! annotation of the Namespace allows besides. Pure.
//!
//! A policy gives names one by one (`{namespace}.maas.example.com`), or opens
//! every name to whoever is first (`*`). Wildcards are given by annotation
//! alone, but for the platform namespace, which may claim anything.

use std::str::FromStr;

/// Stands for the claimant's namespace in a pattern.
const NAMESPACE: &str = "{namespace}";

/// Which hosts namespaces may claim without an annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostnamePolicy {
    is_open: bool,
    patterns: Vec<HostnamePattern>,
}

/// One entry of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostnamePattern {
    /// Every name.
    Any,
    /// The name; where `is_below`, every name below it instead.
    Name {
        /// Holds `{namespace}`, or gives one name to all.
        text: String,
        /// Written as `*.` before the text.
        is_below: bool,
    },
}

/// The text is no entry of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern of host names; write one such as {{namespace}}.maas.example.com, \
     *.{{namespace}}.example.com or *"
)]
pub struct PatternError(String);

/// How a namespace comes to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// The name is given to it.
    Given,
    /// Names are open to all: whoever is first has it.
    Open,
    /// It may not.
    Refused,
}

/// Who claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimant<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) is_platform: bool,
    /// What the annotation of its Namespace allows.
    pub(crate) allowed: &'a [String],
}

impl HostnamePolicy {
    /// Every name is open to whoever is first.
    pub fn open() -> Self {
        Self {
            is_open: true,
            patterns: Vec::new(),
        }
    }

    /// Gives the names that these patterns stand for; none at all closes every name.
    pub fn new(patterns: impl IntoIterator<Item = HostnamePattern>) -> Self {
        let (any, patterns): (Vec<_>, Vec<_>) = patterns
            .into_iter()
            .partition(|pattern| *pattern == HostnamePattern::Any);
        Self {
            is_open: !any.is_empty(),
            patterns,
        }
    }

    /// Says whether a host may be claimed, and by which right.
    pub(crate) fn permits(&self, claimant: Claimant<'_>, host: &str) -> Permission {
        let is_allowed = claimant.allowed.iter().any(|entry| covers(entry, host));
        let is_given = |pattern: &HostnamePattern| pattern.gives(claimant.namespace, host);
        if claimant.is_platform || is_allowed || self.patterns.iter().any(is_given) {
            Permission::Given
        } else if self.is_open {
            Permission::Open
        } else {
            Permission::Refused
        }
    }
}

impl HostnamePattern {
    fn gives(&self, namespace: &str, host: &str) -> bool {
        let HostnamePattern::Name { text, is_below } = self else {
            return false;
        };
        if host.starts_with('*') {
            return false;
        }
        let Some((before, after)) = text.split_once(NAMESPACE) else {
            return ends(host, text, *is_below);
        };
        let Some(rest) = host.strip_suffix(after) else {
            return false;
        };
        let Some(rest) = rest.strip_suffix(namespace) else {
            return false;
        };
        ends(rest, before, *is_below)
    }
}

/// Whether a name is this one, or lies below it.
fn ends(name: &str, end: &str, is_below: bool) -> bool {
    match name.strip_suffix(end) {
        Some("") => !is_below,
        Some(rest) => is_below && rest.ends_with('.') && rest.len() > 1,
        None => false,
    }
}

/// Whether an entry of the annotation allows a host: itself, or, for `*.suffix`,
/// the wildcard and all below it.
fn covers(entry: &str, host: &str) -> bool {
    entry == host
        || entry == "*"
        || (entry.starts_with("*.") && host.ends_with(&entry[1..]) && host.len() > entry.len() - 1)
}

impl FromStr for HostnamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (is_below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        // A namespace is one DNS label, or part of one.
        let sample = name.replacen(NAMESPACE, "n", 1);
        let is_label = |label: &str| {
            let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let bytes = label.as_bytes();
            label.len() <= 63
                && bytes.first().is_some_and(|byte| is_inner(*byte))
                && bytes.last().is_some_and(|byte| is_inner(*byte))
                && bytes.iter().all(|byte| is_inner(*byte) || *byte == b'-')
        };
        if sample.len() > 253 || !sample.split('.').all(is_label) {
            return Err(PatternError(text.to_owned()));
        }
        Ok(Self::Name {
            text: name.to_owned(),
            is_below,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(policy: &[&str], allowed: &str, host: &str) -> Permission {
        let patterns = policy.iter().map(|text| text.parse().unwrap());
        let claimant = Claimant {
            namespace: "tenant-4",
            is_platform: false,
            allowed: &turnpike_crds::namespaces::parse_hostnames(allowed),
        };
        HostnamePolicy::new(patterns).permits(claimant, host)
    }

    #[test]
    fn names_are_given_by_pattern_and_by_annotation() {
        use Permission::{Given, Open, Refused};
        let maas = &["{namespace}.maas.test"][..];
        let below = &["*.{namespace}.test"][..];
        for (policy, allowed, host, expected) in [
            (&[][..], "", "a.test", Refused),
            (maas, "", "tenant-4.maas.test", Given),
            (maas, "", "tenant-5.maas.test", Refused),
            (maas, "", "x.tenant-4.maas.test", Refused),
            (maas, "", "xtenant-4.maas.test", Refused),
            (maas, "", "tenant-4.maas.test.evil", Refused),
            (maas, "", "*.maas.test", Refused),
            (below, "", "a.tenant-4.test", Given),
            (below, "", "a.b.tenant-4.test", Given),
            (below, "", "tenant-4.test", Refused),
            (below, "", "atenant-4.test", Refused),
            (below, "", "*.tenant-4.test", Refused),
            (&["x-{namespace}-y.test"], "", "x-tenant-4-y.test", Given),
            (&["all.test"], "", "all.test", Given),
            (&["*"], "", "a.test", Open),
            (&["*"], "", "*.test", Open),
            (
                &["*", "{namespace}.maas.test"],
                "",
                "tenant-4.maas.test",
                Given,
            ),
            (&[], "a.test, B.test", "b.test", Given),
            (&[], "a.test", "c.a.test", Refused),
            (&[], "*.a.test", "c.a.test", Given),
            (&[], "*.a.test", "*.a.test", Given),
            (&[], "*.a.test", "*.c.a.test", Given),
            (&[], "*.a.test", "a.test", Refused),
            (&[], "*.a.test", "ba.test", Refused),
            (&[], "*", "anything.test", Given),
        ] {
            let found = permission(policy, allowed, host);
            assert_eq!(found, expected, "{policy:?} {allowed:?} {host}");
        }
    }

    #[test]
    fn the_platform_may_claim_anything() {
        let platform = Claimant {
            namespace: "turnpike-system",
            is_platform: true,
            allowed: &[],
        };
        let permission = HostnamePolicy::default().permits(platform, "*.maas.test");
        assert_eq!(permission, Permission::Given);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_an_example() {
        for text in [
            "",
            "*.",
            "A.test",
            "a..test",
            "{name}.test",
            "a.*.test",
            "-a.test",
        ] {
            let error = text.parse::<HostnamePattern>().unwrap_err();
            assert!(error.to_string().contains("{namespace}.maas"), "{error}");
        }
    }
}
