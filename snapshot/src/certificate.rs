//! Certificates for TLS with callers, and the CAs that callers' own certificates are signed by.
//!
//! Which certificate a host is shown is decided here, so that the controller says of a
//! certificate what data planes do with it.

use std::fmt;

use crate::name::ObjectName;

/// A certificate with its key, as a data plane needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// It can be shown.
    Usable(KeyedCertificate),
    /// It cannot; whoever holds an older form keeps that.
    Faulty {
        /// In words for whoever wrote the Secret; never a secret.
        reason: String,
    },
}

/// A certificate that fits its key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyedCertificate {
    /// The DNS names that it is for, in lower case, sorted; `*.` in front stands for one label.
    pub names: Vec<String>,
    /// Its own certificate first, in DER.
    pub chain: Vec<Vec<u8>>,
    /// The private key in DER: PKCS#8, PKCS#1 or SEC1.
    pub key: Vec<u8>,
    /// Seconds since 1970 from which clients refuse it.
    pub not_after: i64,
}

/// CAs that callers' certificates are signed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Their certificates, in DER; at least one.
    Usable(Vec<Vec<u8>>),
    /// They cannot be read; whoever holds an older form keeps that.
    Faulty {
        /// In words for whoever wrote the Secret.
        reason: String,
    },
}

/// The platform's certificates, for hosts without one of their own, in the platform's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetCertificates {
    /// Each a snapshot `certificate/<namespace>/<name>`.
    pub certificates: Vec<ObjectName>,
}

/// How a certificate names a host; the greater is the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// By a wildcard over the host's first label.
    Wildcard,
    /// By the host itself.
    Exact,
}

/// Says how a certificate with these names fits a host; `None`: it is not for it.
///
/// Source: RFC 6125 §6.4.3, with wildcards of the whole first label alone, as browsers have it.
pub fn fit<'a>(names: impl IntoIterator<Item = &'a str>, host: &str) -> Option<Fit> {
    let parent = host
        .split_once('.')
        .filter(|(label, parent)| !label.is_empty() && *label != "*" && !parent.is_empty())
        .map(|(_, parent)| parent);
    names
        .into_iter()
        .filter_map(|name| match name.strip_prefix("*.") {
            _ if name == host => Some(Fit::Exact),
            Some(below) if Some(below) == parent => Some(Fit::Wildcard),
            _ => None,
        })
        .max()
}

/// Chooses the certificate for a host: the best fit, among equals the first.
pub fn choose<'a, C, N>(candidates: impl IntoIterator<Item = (C, N)>, host: &str) -> Option<C>
where
    N: IntoIterator<Item = &'a str>,
{
    let mut best: Option<(Fit, C)> = None;
    for (candidate, names) in candidates {
        if let Some(fit) = fit(names, host)
            && best.as_ref().is_none_or(|(held, _)| fit > *held)
        {
            best = Some((fit, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

impl fmt::Debug for KeyedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCertificate")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn chosen(candidates: &[&[&'static str]], host: &str) -> Option<usize> {
        let candidates = candidates.iter().enumerate();
        choose(
            candidates.map(|(at, names)| (at, names.iter().copied())),
            host,
        )
    }

    #[test]
    fn the_exact_name_goes_before_the_wildcard_and_the_first_among_equals() {
        let certificates: &[&[&str]] = &[
            &["*.a.test", "a.test"],
            &["x.a.test"],
            &["x.a.test", "*.test"],
            &["*.b.a.test"],
        ];
        for (host, expected) in [
            ("x.a.test", Some(1)),
            ("y.a.test", Some(0)),
            ("a.test", Some(0)),
            ("b.test", Some(2)),
            ("y.b.a.test", Some(3)),
            ("z.y.a.test", None),
            ("test", None),
            ("", None),
            (".a.test", None),
            ("elsewhere", None),
        ] {
            assert_eq!(chosen(certificates, host), expected, "{host}");
        }
    }

    #[test]
    fn a_wildcard_of_part_of_a_label_or_of_everything_fits_nothing() {
        for name in ["*", "x*.a.test", "*x.a.test", "*.*.test", "*."] {
            assert_eq!(fit([name], "xx.a.test"), None, "{name}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let certificate = KeyedCertificate {
            names: vec!["a.test".into()],
            chain: vec![b"canary-chain".to_vec()],
            key: b"canary".to_vec(),
            not_after: 7,
        };
        let shown = format!("{:?}", Certificate::Usable(certificate));
        assert!(
            !shown.contains("99, 97, 110") && !shown.contains("canary"),
            "{shown}"
        );
    }

    fn label() -> impl Strategy<Value = String> {
        "[ab]{1,2}"
    }

    fn host() -> impl Strategy<Value = String> {
        vec(label(), 1..4).prop_map(|labels| labels.join("."))
    }

    proptest! {
        #[test]
        fn what_is_chosen_fits_and_nothing_fits_better(
            certificates in vec(vec((host(), any::<bool>()), 0..4), 0..5),
            host in host(),
        ) {
            let named = |(name, wildcard): &(String, bool)| match wildcard {
                true => format!("*.{name}"),
                false => name.clone(),
            };
            let certificates: Vec<Vec<String>> = certificates
                .iter()
                .map(|names| names.iter().map(named).collect())
                .collect();
            let fit_of = |names: &[String]| fit(names.iter().map(String::as_str), &host);
            let candidates = certificates.iter().enumerate();
            let chosen = choose(
                candidates.map(|(at, names)| (at, names.iter().map(String::as_str))),
                &host,
            );
            let best = certificates.iter().filter_map(|names| fit_of(names)).max();
            prop_assert_eq!(chosen.and_then(|at| fit_of(&certificates[at])), best);
            if let Some(chosen) = chosen {
                prop_assert!(certificates[..chosen].iter().all(|names| fit_of(names) < best));
                let is_exact = certificates[chosen].contains(&host);
                let dots = host.matches('.').count();
                let is_wildcard = certificates[chosen]
                    .iter()
                    .any(|name| name.starts_with("*.") && name.matches('.').count() == dots);
                prop_assert!(is_exact || is_wildcard);
            }
        }
    }
}
