//! Lets a stream in by its token, and tells when it has to end.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tracing::warn;

use crate::metrics::Reason;
use crate::trust::AUDIENCE;
use crate::trust::complaints::Complaints;
use crate::trust::lobby::Visitor;
use crate::trust::moment::Moment;
use crate::trust::reviewer::{Outcome, Reviewer};
use crate::trust::reviews::Verdict;
use crate::trust::token::{self, Account, Claims};

/// After a token's end, while the API server cannot be asked.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// A token's end is told in whole seconds.
const PAST_END: Duration = Duration::from_secs(1);
/// Of an audience that somebody wrote into a token.
const SHOWN_CHARS: usize = 100;

/// Decides who gets a stream; cheap to clone.
#[derive(Clone)]
pub struct Gate(Option<Arc<Check>>);

struct Check {
    reviewer: Reviewer,
    accounts: Vec<Account>,
    /// The flag that names the accounts.
    flag: &'static str,
    complaints: Complaints,
}

/// What a stream was let in by.
pub struct Pass(Option<Ticket>);

struct Ticket {
    reviewer: Reviewer,
    token: SecretString,
    until: Moment,
}

/// Why somebody is not let in. Nothing of a token is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error(
        "this controller asks for a service-account token for the audience {AUDIENCE}; name a \
         file with one by --controller-token-file"
    )]
    NoToken,
    #[error("the token is not accepted: {0}")]
    NotToken(#[from] token::Fault),
    #[error("token of {0} is not accepted: it is for {1}, not for {AUDIENCE}; project one that is")]
    Audience(Account, String),
    #[error("token of {0} is not accepted: its account is not one of {1}")]
    Account(Account, &'static str),
    #[error("token of {0} is not accepted: it has expired")]
    Expired(Account),
    #[error("token of {0} is not accepted: {1}")]
    Refused(Account, Arc<str>),
    #[error("the token of {0} cannot be reviewed now: {1}; try again or another controller")]
    Unavailable(Account, Arc<str>),
}

impl Gate {
    /// Lets everybody in.
    pub fn open() -> Self {
        Self(None)
    }

    /// Lets those accounts in, which `flag` names, as the API server says whose a token is.
    pub fn new(
        reviewer: Reviewer,
        accounts: Vec<Account>,
        flag: &'static str,
        complaints: Complaints,
    ) -> Self {
        Self(Some(Arc::new(Check {
            reviewer,
            accounts,
            flag,
            complaints,
        })))
    }

    /// Looks at the token of a call; whose connection the call came by may stay once it is
    /// accepted. A refusal says what to do.
    pub async fn admit(
        &self,
        metadata: &MetadataMap,
        visitor: Option<&Visitor>,
    ) -> Result<Pass, Status> {
        let Some(check) = &self.0 else {
            return Ok(Pass(None));
        };
        match check.admit(metadata).await {
            Ok(ticket) => {
                if let Some(visitor) = visitor {
                    visitor.let_in();
                }
                Ok(Pass(Some(ticket)))
            }
            Err(refusal) => {
                let remote = visitor.and_then(Visitor::remote);
                let ip = remote.map(|remote| remote.ip());
                if let Some(unsaid) = check.complaints.note(refusal.reason(), ip) {
                    let remote = remote.map(tracing::field::display);
                    warn!(remote, reason = %refusal, unsaid, "stream refused");
                }
                Err(refusal.into())
            }
        }
    }
}

impl Check {
    async fn admit(&self, metadata: &MetadataMap) -> Result<Ticket, Refusal> {
        let token = bearer(metadata).ok_or(Refusal::NoToken)?;
        let claims = token::read(token)?;
        self.screen(&claims, Moment::now())?;
        let token = SecretString::from(token);
        match self.reviewer.review(&token, claims.expires).await {
            Outcome::Verdict(Verdict::Sound(account, until)) => {
                self.admit_account(&account)?;
                Ok(Ticket {
                    reviewer: self.reviewer.clone(),
                    token,
                    until,
                })
            }
            Outcome::Verdict(Verdict::Refused(reason)) => {
                Err(Refusal::Refused(claims.account, reason))
            }
            Outcome::Unavailable(reason) => Err(Refusal::Unavailable(claims.account, reason)),
        }
    }

    /// Refuses what the API server would, or we after it, by what the token says of
    /// itself: so that the words are better, and nobody is asked.
    fn screen(&self, claims: &Claims, now: Moment) -> Result<(), Refusal> {
        let account = claims.account.clone();
        if !claims.audiences.iter().any(|audience| audience == AUDIENCE) {
            let shown = claims.audiences.join(", ");
            let shown = shown.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS);
            return Err(Refusal::Audience(account, shown.collect()));
        }
        if now >= claims.expires {
            return Err(Refusal::Expired(account));
        }
        self.admit_account(&claims.account)
    }

    fn admit_account(&self, account: &Account) -> Result<(), Refusal> {
        match self.accounts.contains(account) {
            true => Ok(()),
            false => Err(Refusal::Account(account.clone(), self.flag)),
        }
    }
}

/// Source: RFC 6750, section 2.1; the scheme's case does not matter.
fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl Refusal {
    fn reason(&self) -> Reason {
        match self {
            Self::NoToken => Reason::NoToken,
            Self::Account(..) => Reason::Account,
            Self::Unavailable(..) => Reason::Unavailable,
            Self::NotToken(_) | Self::Audience(..) | Self::Expired(_) | Self::Refused(..) => {
                Reason::Token
            }
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let words = refusal.to_string();
        match refusal.reason() {
            Reason::Account => Self::permission_denied(words),
            Reason::Unavailable => Self::unavailable(words),
            _ => Self::unauthenticated(words),
        }
    }
}

impl Pass {
    /// Waits until the stream must end: its token is over, and a new one can be reviewed.
    /// While the API server cannot be asked, whoever is in stays.
    pub async fn lapsed(&self) {
        let Some(ticket) = &self.0 else {
            return std::future::pending().await;
        };
        let left = Moment::now().until(ticket.until);
        tokio::time::sleep(left + PAST_END).await;
        loop {
            let asking = ticket.reviewer.review_anew(&ticket.token, ticket.until);
            match asking.await {
                Outcome::Verdict(_) => return,
                Outcome::Unavailable(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// What is said last on a stream that has lapsed.
    pub fn parting() -> Status {
        Status::unauthenticated("the token of this stream has expired; connect with a new one")
    }
}

#[cfg(test)]
mod tests;
