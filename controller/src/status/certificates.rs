//! Whether certificates have expired, or will soon. Pure: the time is an argument.

use jiff::{SignedDuration, Timestamp};

use crate::compile::finding::Shown;

/// How long before its end a certificate is told of. Who renews by itself has done so by then:
/// ACME clients begin after two thirds of a life.
pub(crate) const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The worse, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Valid,
    ExpiresSoon,
    Expired,
}

/// What is said of an object's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Of the worst.
    pub(crate) standing: Standing,
    /// Of each, the worst first. Changes with its standing alone, and not from day to day.
    pub(crate) message: String,
}

impl Standing {
    /// A certificate is valid up to and including its end (RFC 5280 §4.1.2.5).
    pub(crate) fn of(not_after: Timestamp, now: Timestamp) -> Self {
        if now > not_after {
            Self::Expired
        } else if not_after.duration_since(now) <= SOON {
            Self::ExpiresSoon
        } else {
            Self::Valid
        }
    }

    /// The reason of a condition.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Valid => "CertificatesValid",
            Self::ExpiresSoon => "CertificateExpiresSoon",
            Self::Expired => "CertificateExpired",
        }
    }
}

/// Judges them; `None`: there are none.
pub(crate) fn judge(certificates: &[Shown], now: Timestamp) -> Option<Judgement> {
    let standing = |shown: &Shown| Standing::of(shown.not_after, now);
    let mut certificates: Vec<&Shown> = certificates.iter().collect();
    certificates.sort_by_key(|shown| std::cmp::Reverse(standing(shown)));
    let worst = standing(certificates.first()?);
    let words = certificates.into_iter().map(|shown| {
        let (secret, end) = (&shown.secret, shown.not_after);
        let words = match standing(shown) {
            Standing::Valid => format!("is valid until {end}"),
            Standing::ExpiresSoon => format!("expires at {end}; put a new one there"),
            Standing::Expired => format!("expired at {end}; put a new one there"),
        };
        format!("the certificate in Secret {secret} {words}")
    });
    Some(Judgement {
        standing: worst,
        message: words.collect::<Vec<_>>().join("; "),
    })
}

/// How long what is said of them stays true; `None`: for ever.
pub(crate) fn next_change(certificates: &[Shown], now: Timestamp) -> Option<SignedDuration> {
    let second = SignedDuration::from_secs(1);
    let changes = certificates.iter().filter_map(|shown| {
        let left = shown.not_after.duration_since(now);
        match Standing::of(shown.not_after, now) {
            Standing::Valid => Some(left - SOON),
            // Its last second is its own.
            Standing::ExpiresSoon => Some(left + second),
            Standing::Expired => None,
        }
    });
    changes.min()
}

#[cfg(test)]
mod tests {
    use turnpike_snapshot::name::ObjectName;

    use super::*;

    const NOW: i64 = 2_000_000_000;
    const WEEK: i64 = 7 * 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn shown(secret: &str, left: i64) -> Shown {
        Shown {
            secret: ObjectName::new("a", secret),
            not_after: at(NOW + left),
        }
    }

    #[test]
    fn a_certificate_is_judged_by_what_is_left_of_it_and_until_when_that_holds() {
        use Standing::{Expired, ExpiresSoon, Valid};
        for (left, standing, holds) in [
            (10 * WEEK, Valid, Some(9 * WEEK)),
            (WEEK + 1, Valid, Some(1)),
            (WEEK, ExpiresSoon, Some(WEEK + 1)),
            (1, ExpiresSoon, Some(2)),
            (0, ExpiresSoon, Some(1)),
            (-1, Expired, None),
            (-10 * WEEK, Expired, None),
        ] {
            let certificates = [shown("own", left)];
            let judged = judge(&certificates, at(NOW)).unwrap();
            assert_eq!(judged.standing, standing, "{left}");
            let change = next_change(&certificates, at(NOW));
            assert_eq!(change.map(|change| change.as_secs()), holds, "{left}");
            let Some(holds) = holds else { continue };
            let before = judge(&certificates, at(NOW + holds - 1));
            let after = judge(&certificates, at(NOW + holds));
            assert_eq!(before, Some(judged.clone()), "{left}");
            assert_ne!(after, Some(judged), "{left}");
        }
    }

    #[test]
    fn the_worst_of_several_counts_and_is_told_first() {
        let certificates = [
            shown("fine", 9 * WEEK),
            shown("soon", WEEK / 2),
            shown("over", -1),
        ];
        let judged = judge(&certificates, at(NOW)).unwrap();
        assert_eq!(judged.standing, Standing::Expired);
        assert_eq!(
            judged.message,
            "the certificate in Secret a/over expired at 2033-05-18T03:33:19Z; put a new one there; \
             the certificate in Secret a/soon expires at 2033-05-21T15:33:20Z; put a new one there; \
             the certificate in Secret a/fine is valid until 2033-07-20T03:33:20Z"
        );
        let change = next_change(&certificates, at(NOW)).unwrap();
        assert_eq!(change.as_secs(), WEEK / 2 + 1);
        assert_eq!(judge(&[], at(NOW)), None);
        assert_eq!(next_change(&[], at(NOW)), None);
    }

    #[test]
    fn the_ends_of_time_are_borne() {
        for (not_after, now) in [
            (Timestamp::MAX, Timestamp::MIN),
            (Timestamp::MIN, Timestamp::MAX),
        ] {
            let certificates = [Shown {
                secret: ObjectName::new("a", "own"),
                not_after,
            }];
            assert!(judge(&certificates, now).is_some());
            let change = next_change(&certificates, now);
            assert!(change.is_none_or(|change| change.is_positive()));
        }
    }
}
