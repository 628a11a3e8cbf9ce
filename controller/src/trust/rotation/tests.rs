//! Rules of the rotation one by one, then replicas that race each other for years.

mod races;

use std::convert::Infallible;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A CA without cryptography.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fake {
    pem: String,
    life: Life,
}

impl Fake {
    fn new(name: &str, from: Moment, until: Moment) -> Self {
        Self {
            pem: format!("<{name}>\n"),
            life: Life { from, until },
        }
    }

    /// One that was made so many days before [`now`].
    fn aged(name: &str, days: u32) -> Self {
        let from = now().minus(DAY * days);
        Self::new(name, from, from.plus(LIFETIME))
    }
}

impl Certificate for Fake {
    fn life(&self) -> Life {
        self.life
    }

    fn pem(&self) -> &str {
        &self.pem
    }
}

impl Authority for Fake {
    type Certificate = Self;

    fn certificate(&self) -> &Self {
        self
    }
}

fn now() -> Moment {
    Moment(1_800_000_000)
}

fn held(signing: Fake) -> Held<Fake> {
    Held {
        signing,
        next: None,
        previous: None,
    }
}

fn with_next(signing: Fake, next: Fake, published: Option<Moment>) -> Held<Fake> {
    let next = Next {
        authority: next,
        published,
    };
    Held {
        next: Some(next),
        ..held(signing)
    }
}

fn done(secret: Option<&Held<Fake>>, bundle: Option<&str>) -> Act<Fake> {
    let fresh = || Ok::<_, Infallible>(Fake::aged("fresh", 0));
    let Ok(act) = act(secret, bundle, now(), fresh);
    act
}

#[test]
fn each_state_has_its_step() {
    let (young, old) = (Fake::aged("young", 10), Fake::aged("old", 250));
    let (dead, near) = (Fake::aged("dead", 365), Fake::aged("near", 364));
    let next = Fake::aged("next", 2);
    let ago = |days: u32| Some(now().minus(DAY * days));
    let hours_ago = |hours: u32| Some(now().minus(DAY / 24 * hours));
    let both = format!("{}{}", old.pem, next.pem);
    let followed = Held {
        previous: Some(old.clone()),
        ..held(young.clone())
    };
    let outlived = Held {
        previous: Some(dead.clone()),
        ..held(young.clone())
    };
    let cases = [
        ("nothing there", None, None, Step::Begin),
        ("young", Some(held(young.clone())), None, Step::Keep),
        (
            "two thirds over",
            Some(held(old.clone())),
            None,
            Step::Announce,
        ),
        ("over", Some(held(dead.clone())), None, Step::Begin),
        (
            "not published yet",
            Some(with_next(old.clone(), next.clone(), None)),
            Some(old.pem.as_str()),
            Step::Keep,
        ),
        (
            "published",
            Some(with_next(old.clone(), next.clone(), None)),
            Some(both.as_str()),
            Step::NotePublication,
        ),
        (
            "published a moment ago",
            Some(with_next(old.clone(), next.clone(), ago(0))),
            Some(both.as_str()),
            Step::Keep,
        ),
        (
            "published a day ago",
            Some(with_next(old.clone(), next.clone(), ago(1))),
            Some(both.as_str()),
            Step::Promote,
        ),
        (
            "little time: half of it is not over",
            Some(with_next(near.clone(), next.clone(), hours_ago(23))),
            Some(both.as_str()),
            Step::Keep,
        ),
        (
            "little time: half of it is over",
            Some(with_next(near, next.clone(), hours_ago(24))),
            Some(both.as_str()),
            Step::Promote,
        ),
        (
            "over before the next was published",
            Some(with_next(dead.clone(), next, None)),
            None,
            Step::Promote,
        ),
        (
            "both over",
            Some(with_next(dead.clone(), dead, ago(1))),
            None,
            Step::Begin,
        ),
        ("previous trusted", Some(followed), None, Step::Keep),
        ("previous over", Some(outlived), None, Step::Forget),
    ];
    for (case, secret, bundle, step) in cases {
        assert_eq!(plan(secret.as_ref(), bundle, now()), step, "{case}");
    }
}

#[test]
fn the_next_is_published_and_noted_before_it_signs() {
    let old = Fake::aged("old", 250);
    let fresh = Fake::aged("fresh", 0);
    let announced = with_next(old.clone(), fresh.clone(), None);
    let begun = held(old.clone());
    assert_eq!(
        done(Some(&begun), Some(&old.pem)),
        Act::Write(announced.clone())
    );
    let both = format!("{}{}", old.pem, fresh.pem);
    assert_eq!(
        done(Some(&announced), Some(&old.pem)),
        Act::Publish(both.clone())
    );
    let noted = with_next(old, fresh, Some(now()));
    assert_eq!(
        done(Some(&announced), Some(&both)),
        Act::Write(noted.clone())
    );
    assert_eq!(done(Some(&noted), Some(&both)), Act::Adopt);
}

#[test]
fn the_one_that_signed_stays_trusted() {
    let (old, next) = (Fake::aged("old", 250), Fake::aged("next", 2));
    let published = with_next(old.clone(), next.clone(), Some(now().minus(GRACE)));
    let swapped = Held {
        previous: Some(old.clone()),
        ..held(next.clone())
    };
    let bundle = published.bundle();
    assert_eq!(
        done(Some(&published), Some(&bundle)),
        Act::Write(swapped.clone())
    );
    assert_eq!(swapped.bundle(), format!("{}{}", next.pem, old.pem));
}

#[test]
fn a_bundle_that_somebody_changed_is_mended() {
    let young = held(Fake::aged("young", 1));
    for bundle in [None, Some(""), Some("<other>\n")] {
        assert_eq!(done(Some(&young), bundle), Act::Publish("<young>\n".into()));
    }
}
