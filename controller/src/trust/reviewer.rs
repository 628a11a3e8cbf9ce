//! Asks the API server whose a token is: TokenReview, for our audience.
//!
//! One review at a time for each token, few at a time of all; answers are remembered as
//! [`reviews`](crate::trust::reviews) says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Shared};
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use kube::{Client, Error};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::trust::AUDIENCE;
use crate::trust::moment::Moment;
use crate::trust::reviews::{Remembered, Reviews, TokenDigest, Verdict};
use crate::trust::token::Account;

/// A review takes a few milliseconds; the data plane waits for it and for the Welcome 5 s.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(3);
/// Reviews under way. Beyond, nobody is asked: a flood of tokens must not become a flood
/// of calls.
const MAX_RUNNING: usize = 32;
const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// What comes of a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API server's word, of now or of a moment ago.
    Verdict(Verdict),
    /// It cannot be asked, and nothing is known of the token.
    Unavailable(Arc<str>),
}

/// Reviews tokens; cheap to clone.
#[derive(Clone)]
pub struct Reviewer(Arc<Inner>);

struct Inner {
    client: Client,
    reviews: Mutex<Reviews>,
    running: Mutex<HashMap<TokenDigest, Running>>,
}

/// Many may wait for one.
type Running = Shared<BoxFuture<'static, Outcome>>;

/// What is read of the answer. It repeats the token, so that it is never shown as a whole.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    user: User,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    error: String,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

impl Reviewer {
    /// Asks this API server.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner {
            client,
            reviews: Mutex::default(),
            running: Mutex::default(),
        }))
    }

    /// Tells whose a token is; `until` is the end that the token itself tells.
    ///
    /// While the API server cannot be asked, a token that it has found sound before is
    /// sound until its end.
    pub async fn review(&self, token: &SecretString, until: Moment) -> Outcome {
        let digest = TokenDigest::of(token.expose_secret());
        let (now, clock) = (Instant::now(), Moment::now());
        let remembered = self.0.reviews.lock().get(digest, now, clock);
        let stale = match remembered {
            Remembered::Fresh(verdict) => return Outcome::Verdict(verdict),
            Remembered::Stale(account, until) => Some(Verdict::Sound(account, until)),
            Remembered::Nothing => None,
        };
        match (self.review_anew(token, until).await, stale) {
            (Outcome::Unavailable(reason), Some(stale)) => {
                warn!(%reason, "token not reviewed anew; its last review counts");
                Outcome::Verdict(stale)
            }
            (outcome, _) => outcome,
        }
    }

    /// The same, whatever was said before.
    pub async fn review_anew(&self, token: &SecretString, until: Moment) -> Outcome {
        let digest = TokenDigest::of(token.expose_secret());
        let running = {
            let mut running = self.0.running.lock();
            match running.get(&digest) {
                Some(under_way) => under_way.clone(),
                None if running.len() >= MAX_RUNNING => {
                    return Outcome::Unavailable("too many tokens are under review".into());
                }
                None => {
                    let begun = self.begin(digest, token.clone(), until);
                    running.insert(digest, begun.clone());
                    begun
                }
            }
        };
        running.await
    }

    /// A task of its own, so that it ends, and is forgotten, when nobody waits any more.
    fn begin(&self, digest: TokenDigest, token: SecretString, until: Moment) -> Running {
        let reviewer = self.clone();
        let asking = tokio::spawn(async move {
            let asked = tokio::time::timeout(REVIEW_TIMEOUT, reviewer.ask(&token, until)).await;
            let outcome = asked.unwrap_or_else(|_| {
                Outcome::Unavailable("the API server did not answer in time".into())
            });
            let inner = &*reviewer.0;
            if let Outcome::Verdict(verdict) = &outcome {
                let (now, clock) = (Instant::now(), Moment::now());
                inner
                    .reviews
                    .lock()
                    .put(digest, verdict.clone(), now, clock);
            }
            inner.running.lock().remove(&digest);
            outcome
        });
        let ended = async {
            let failed = |_| Outcome::Unavailable("the review was broken off".into());
            asking.await.unwrap_or_else(failed)
        };
        ended.boxed().shared()
    }

    async fn ask(&self, token: &SecretString, until: Moment) -> Outcome {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token.expose_secret(), "audiences": [AUDIENCE]}
        });
        let request = Request::post(PATH)
            .header(CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        let answered = match request {
            // Not `request`: that logs an answer that it cannot read.
            Ok(request) => self.0.client.request_text(request).await,
            Err(error) => Err(Error::HttpError(error)),
        };
        match answered {
            Ok(answer) => match serde_json::from_str::<Answer>(&answer) {
                Ok(answer) => Outcome::Verdict(judge(answer.status, token, until)),
                Err(_) => Outcome::Unavailable("the API server's answer is unreadable".into()),
            },
            Err(Error::Api(status)) if matches!(status.code, 401 | 403) => {
                error!(
                    code = status.code,
                    "this controller may not create tokenreviews.authentication.k8s.io; no new \
                     data plane gets in until its role allows it"
                );
                Outcome::Unavailable("this controller may not review tokens".into())
            }
            Err(error) => {
                warn!(%error, "token not reviewed");
                Outcome::Unavailable("the API server cannot be asked".into())
            }
        }
    }
}

fn judge(status: Status, token: &SecretString, until: Moment) -> Verdict {
    if !status.authenticated {
        let reason = match status.error.as_str() {
            "" => "the API server does not know it".to_owned(),
            error => {
                let error = error.replace(token.expose_secret(), "…");
                format!("the API server says: {error}")
            }
        };
        return Verdict::Refused(reason.into());
    }
    // A server that knows no audiences tells none, and has not looked at ours.
    if !status.audiences.iter().any(|audience| audience == AUDIENCE) {
        return Verdict::Refused(format!("it is not for the audience {AUDIENCE}").into());
    }
    match Account::of_subject(&status.user.username) {
        Some(account) => Verdict::Sound(account, until),
        None => Verdict::Refused("it is not of a service account".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::trust::reviews::FRESH;
    use crate::trust::scripted::{Server, failure};

    fn until() -> Moment {
        Moment::now().plus(Duration::from_secs(3600))
    }

    fn found(spec: &Value) -> Value {
        json!({"kind": "TokenReview", "spec": spec, "status": {
            "authenticated": true, "audiences": [AUDIENCE],
            "user": {"username": "system:serviceaccount:ns:dp"}
        }})
    }

    fn sound(until: Moment) -> Outcome {
        Outcome::Verdict(Verdict::Sound("ns/dp".parse().unwrap(), until))
    }

    fn refused(status: Value) -> String {
        let status: Status = serde_json::from_value(status).unwrap();
        match judge(status, &"canary".into(), until()) {
            Verdict::Refused(reason) => reason.to_string(),
            Verdict::Sound(account, _) => panic!("sound: {account}"),
        }
    }

    #[test]
    fn only_a_service_account_with_our_audience_is_sound() {
        let user = json!({"username": "system:serviceaccount:ns:dp"});
        let other = json!({"username": "alice"});
        for (status, reason) in [
            (json!({}), "does not know it"),
            (
                json!({"error": "canary is no token"}),
                "says: … is no token",
            ),
            (json!({"authenticated": true, "user": user}), "audience"),
            (
                json!({"authenticated": true, "user": user, "audiences": ["other"]}),
                "audience",
            ),
            (
                json!({"authenticated": true, "user": other, "audiences": [AUDIENCE]}),
                "service account",
            ),
        ] {
            let told = refused(status);
            assert!(told.contains(reason) && !told.contains("canary"), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_about_once_a_minute() {
        let server = Server::default();
        server.review(|spec| {
            assert_eq!(spec["audiences"], json!([AUDIENCE]));
            (201, found(spec))
        });
        let reviewer = Reviewer::new(server.client());
        let until = until();
        for _ in 0..3 {
            assert_eq!(reviewer.review(&"a".into(), until).await, sound(until));
        }
        assert_eq!(server.asked().len(), 1);
        tokio::time::advance(FRESH).await;
        assert_eq!(reviewer.review(&"a".into(), until).await, sound(until));
        assert_eq!(server.asked().len(), 1);
        assert!(reviewer.0.running.lock().is_empty());
    }

    #[tokio::test]
    async fn many_who_come_with_one_token_cause_one_review() {
        let server = Server::default();
        server.review(|spec| (201, found(spec)));
        let gate = server.hold();
        let reviewer = Reviewer::new(server.client());
        let until = until();
        let token = SecretString::from("a");
        let ask = async |_| reviewer.review(&token, until).await;
        let asking = futures::future::join_all((0..20).map(ask));
        // One who gives up takes nobody along.
        let given_up = reviewer.review(&token, until);
        let (outcomes, ()) = tokio::join!(asking, async {
            let limit = Duration::from_millis(1);
            let _ = tokio::time::timeout(limit, given_up).await;
            gate.add_permits(1);
        });
        assert!(outcomes.iter().all(|outcome| *outcome == sound(until)));
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_tokens_becomes_no_flood_of_calls() {
        let server = Server::default();
        server.review(|spec| (201, found(spec)));
        let _never = server.hold();
        let reviewer = Reviewer::new(server.client());
        let ask = async |number: usize| {
            let token = SecretString::from(number.to_string());
            reviewer.review(&token, until()).await
        };
        let outcomes = futures::future::join_all((0..MAX_RUNNING * 3).map(ask)).await;
        let is_unavailable = |outcome: &Outcome| matches!(outcome, Outcome::Unavailable(_));
        assert!(outcomes.iter().all(is_unavailable), "{outcomes:?}");
        assert!(reviewer.0.running.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_api_server_a_known_token_counts_and_a_new_one_does_not() {
        let server = Server::default();
        server.review(|spec| (201, found(spec)));
        let reviewer = Reviewer::new(server.client());
        let until = until();
        assert_eq!(reviewer.review(&"a".into(), until).await, sound(until));
        tokio::time::advance(2 * FRESH).await;
        for (code, reason) in [
            (503, "ServiceUnavailable"),
            (403, "Forbidden"),
            (500, "InternalError"),
        ] {
            server.review(move |_| failure(code, reason));
            assert_eq!(reviewer.review(&"a".into(), until).await, sound(until));
            let new = reviewer.review(&"b".into(), until).await;
            assert!(matches!(new, Outcome::Unavailable(_)), "{new:?}");
        }
        server.review(|_| (201, json!({"status": {"authenticated": false}})));
        let revoked = reviewer.review(&"a".into(), until).await;
        assert!(matches!(revoked, Outcome::Verdict(Verdict::Refused(_))));
        server.review(move |_| failure(503, "ServiceUnavailable"));
        tokio::time::advance(2 * FRESH).await;
        let gone = reviewer.review(&"a".into(), until).await;
        assert!(matches!(gone, Outcome::Unavailable(_)), "{gone:?}");
    }
}
