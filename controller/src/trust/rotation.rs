//! What the Secret of the CA and the published bundle should hold, given what they hold
//! and the time. Pure; certificates are whatever has a life and a text.
//!
//! ```text
//!           2/3 of its life       in the bundle      GRACE later           its end
//! signing ─────────────────→ + next ─────────→ noted ──────────→ swapped ─────────→ signing
//!                                                                + previous
//! ```
//! A CA is in the bundle for [`GRACE`] before it signs anything, so that every data plane
//! trusts it by then; the one before stays in the bundle until its end. Any number of
//! replicas do this at once: each write names the version that it replaces, and
//! whoever comes second looks again.

use std::fmt;
use std::time::Duration;

use crate::trust::moment::{Life, Moment};

/// A CA's.
pub const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// From the publication of a CA to its first signature. A mounted ConfigMap follows within
/// two minutes; a day leaves time to see that something hinders that.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);

/// What data planes are given of a CA.
pub trait Certificate: Clone + fmt::Debug + Eq {
    /// When it holds.
    fn life(&self) -> Life;

    /// As it stands in the bundle, with a newline at its end.
    fn pem(&self) -> &str;
}

/// A CA with the key to sign with.
pub trait Authority {
    /// Its public part.
    type Certificate: Certificate;

    /// Gives its public part.
    fn certificate(&self) -> &Self::Certificate;
}

/// What the Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<A: Authority> {
    /// Signs what replicas serve with.
    pub signing: A,
    /// Will sign.
    pub next: Option<Next<A>>,
    /// Signed before; its key is gone.
    pub previous: Option<A::Certificate>,
}

/// A CA that does not sign yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next<A> {
    /// The CA.
    pub authority: A,
    /// When somebody first saw it in the bundle.
    pub published: Option<Moment>,
}

/// The one thing to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act<A: Authority> {
    /// Write this into the Secret in place of what was read, and look again.
    Write(Held<A>),
    /// Write this into the bundle in place of what was read, and look again.
    Publish(String),
    /// All is as it should be: serve with it.
    Adopt,
}

/// Why the Secret changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It need not.
    Keep,
    /// No CA signs, or only one that has ended.
    Begin,
    /// The one that signs has little time left.
    Announce,
    /// The next one is in the bundle.
    NotePublication,
    /// The next one has been in the bundle for long enough.
    Promote,
    /// The previous one has ended.
    Forget,
}

/// Tells what there is to do. `secret` and `bundle` are as read, the bundle first, or
/// a bundle of long ago could replace one of now; `fresh` makes a CA that begins now.
/// Fails only where that fails.
pub fn act<A: Authority + Clone, E>(
    secret: Option<&Held<A>>,
    bundle: Option<&str>,
    now: Moment,
    fresh: impl FnOnce() -> Result<A, E>,
) -> Result<Act<A>, E> {
    let step = plan(secret, bundle, now);
    if let Some(changed) = change(secret, step, now, fresh)? {
        return Ok(Act::Write(changed));
    }
    let published = secret.map(Held::bundle);
    Ok(match published {
        Some(published) if bundle != Some(&published) => Act::Publish(published),
        _ => Act::Adopt,
    })
}

/// Tells why the Secret should change.
pub fn plan<A: Authority>(secret: Option<&Held<A>>, bundle: Option<&str>, now: Moment) -> Step {
    let Some(held) = secret else {
        return Step::Begin;
    };
    let signing = held.signing.certificate().life();
    let next = held.next.as_ref();
    let next = next.filter(|next| !next.authority.certificate().life().has_ended(now));
    if signing.has_ended(now) {
        return match next {
            Some(_) => Step::Promote,
            None => Step::Begin,
        };
    }
    let previous = held.previous.as_ref();
    if previous.is_some_and(|previous| previous.life().has_ended(now)) {
        return Step::Forget;
    }
    let Some(next) = next else {
        return match now >= signing.two_thirds() {
            true => Step::Announce,
            false => Step::Keep,
        };
    };
    let pem = next.authority.certificate().pem();
    match next.published {
        None if bundle.is_some_and(|bundle| bundle.contains(pem)) => Step::NotePublication,
        Some(published) if now >= signs_from(published, signing.until) => Step::Promote,
        _ => Step::Keep,
    }
}

/// Where the one that signs ends sooner than grace does, half of what is left has to do.
fn signs_from(published: Moment, signing_until: Moment) -> Moment {
    let left = published.until(signing_until);
    published.plus(GRACE.min(left / 2))
}

fn change<A: Authority + Clone, E>(
    secret: Option<&Held<A>>,
    step: Step,
    now: Moment,
    fresh: impl FnOnce() -> Result<A, E>,
) -> Result<Option<Held<A>>, E> {
    let begin = |signing| Held {
        signing,
        next: None,
        previous: None,
    };
    let Some(held) = secret else {
        return fresh().map(|signing| Some(begin(signing)));
    };
    let mut held = held.clone();
    match step {
        Step::Keep => return Ok(None),
        Step::Begin => held = begin(fresh()?),
        Step::Announce => {
            held.next = Some(Next {
                authority: fresh()?,
                published: None,
            });
        }
        Step::NotePublication => {
            if let Some(next) = &mut held.next {
                next.published = Some(now);
            }
        }
        Step::Promote => {
            if let Some(next) = held.next.take() {
                let signed = std::mem::replace(&mut held.signing, next.authority);
                let signed = signed.certificate().clone();
                held.previous = Some(signed).filter(|signed| !signed.life().has_ended(now));
            }
        }
        Step::Forget => held.previous = None,
    }
    Ok(Some(held))
}

impl<A: Authority> Held<A> {
    /// The CAs that data planes trust, the one that signs first.
    pub fn trusted(&self) -> impl Iterator<Item = &A::Certificate> {
        let next = self.next.iter().map(|next| next.authority.certificate());
        std::iter::once(self.signing.certificate())
            .chain(next)
            .chain(&self.previous)
    }

    /// The same as text.
    pub fn bundle(&self) -> String {
        self.trusted().map(Certificate::pem).collect()
    }
}

#[cfg(test)]
mod tests;
