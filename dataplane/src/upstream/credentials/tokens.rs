//! Access tokens, kept while they are good: asked for once however many wait, and renewed before they end.
//!
//! ```text
//! given ───────────────── renewed from here, behind the requests ── not used any more ── ended
//!        the old one is used                                     │
//!                                                                └ whoever comes now waits
//! ```
//! Providers with the same credential by the same way share its tokens; a change of anything else leaves
//! them. A failure is kept for a moment, so that a dead endpoint is not hammered.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::poll_fn;
use http::{HeaderValue, Request};
use parking_lot::Mutex;
use smallvec::smallvec;
use tokio::time::Instant;
use tracing::warn;
use turnpike_snapshot::provider::KeySecret;

use super::CredentialError;
use super::grant::{Given, Grant, TokenError, read};
use crate::upstream::body::{AnswerBody, Arrived, PiecesBody};
use crate::upstream::pool::Pool;
use crate::upstream::way::Way;

/// How long before its end a token is renewed.
const AHEAD: Duration = Duration::from_secs(60);
/// How long before its end a token is not used any more: it has a way to go, and clocks differ.
const LEEWAY: Duration = Duration::from_secs(5);
/// How long a failure answers for those that come after.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// How long is waited for a token where connecting may take for ever.
const LONGEST: Duration = Duration::from_secs(30);
/// A longer answer holds no token.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The tokens of one credential: one at a time.
pub struct Tokens {
    secret: KeySecret,
    way: Option<Arc<Way>>,
    grant: Grant,
    held: Mutex<Held>,
    /// Locked by who asks for a token.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    failed: Option<(Instant, TokenError)>,
}

struct Token {
    header: HeaderValue,
    renewed_from: Instant,
    used_until: Instant,
}

/// What is there at once.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Good(HeaderValue),
    /// Good, and to be renewed.
    Ageing(HeaderValue),
    Failed(TokenError),
    Nothing,
}

impl Held {
    fn find(&self, now: Instant) -> Found {
        let failed = self.failed.as_ref();
        let failed = failed.filter(|(at, _)| now.saturating_duration_since(*at) < FAILED_FOR);
        let token = self.token.as_ref().filter(|token| now < token.used_until);
        match (token, failed) {
            (Some(token), Some(_)) => Found::Good(token.header.clone()),
            (Some(token), None) if now < token.renewed_from => Found::Good(token.header.clone()),
            (Some(token), None) => Found::Ageing(token.header.clone()),
            (None, Some((_, error))) => Found::Failed(error.clone()),
            (None, None) => Found::Nothing,
        }
    }

    /// `asked`: when; its life began no earlier.
    fn keep(&mut self, given: Given, asked: Instant) -> HeaderValue {
        let lifetime = given.lifetime;
        let ahead = AHEAD.min(lifetime / 2);
        let leeway = LEEWAY.min(lifetime / 10);
        self.failed = None;
        self.token = Some(Token {
            header: given.header.clone(),
            renewed_from: after(asked, lifetime - ahead),
            used_until: after(asked, lifetime - leeway),
        });
        given.header
    }
}

/// Some say that a token lasts for ages.
fn after(asked: Instant, duration: Duration) -> Instant {
    const AGES: Duration = Duration::from_secs(24 * 3600);
    asked + duration.min(AGES)
}

impl Tokens {
    fn new(secret: KeySecret, way: Option<Arc<Way>>) -> Result<Self, CredentialError> {
        Ok(Self {
            grant: Grant::new(&secret)?,
            secret,
            way,
            held: Mutex::default(),
            asking: Arc::default(),
        })
    }

    /// Gives the `authorization` header, at once or as soon as there is a token; `bound` of `None`: as for
    /// connections without a bound, for half a minute. Cancel-safe: others that wait ask themselves.
    pub async fn get(
        self: &Arc<Self>,
        pool: &Pool,
        bound: Option<Duration>,
    ) -> Result<HeaderValue, TokenError> {
        if let Some(found) = self.find(pool, bound) {
            return found;
        }
        let _asking = self.asking.lock().await;
        // Whoever asked before has left its answer.
        match self.find(pool, bound) {
            Some(found) => found,
            None => self.ask(pool, bound).await,
        }
    }

    fn find(
        self: &Arc<Self>,
        pool: &Pool,
        bound: Option<Duration>,
    ) -> Option<Result<HeaderValue, TokenError>> {
        let found = self.held.lock().find(Instant::now());
        match found {
            Found::Good(header) => Some(Ok(header)),
            Found::Ageing(header) => {
                self.renew(pool, bound);
                Some(Ok(header))
            }
            Found::Failed(error) => Some(Err(error)),
            Found::Nothing => None,
        }
    }

    /// Asks for another token while the old one is used, unless somebody does. The task ends by itself,
    /// within its bound.
    fn renew(self: &Arc<Self>, pool: &Pool, bound: Option<Duration>) {
        let Ok(asking) = self.asking.clone().try_lock_owned() else {
            return;
        };
        let (tokens, pool) = (self.clone(), pool.clone());
        tokio::spawn(async move {
            let _asking = asking;
            // What came of it is held.
            let _ = tokens.ask(&pool, bound).await;
        });
    }

    async fn ask(&self, pool: &Pool, bound: Option<Duration>) -> Result<HeaderValue, TokenError> {
        let bound = bound.map_or(LONGEST, |bound| bound.min(LONGEST));
        let asked = Instant::now();
        let given = tokio::time::timeout(bound, self.exchange(pool)).await;
        match given.unwrap_or(Err(TokenError::Timeout(bound))) {
            Ok(given) => Ok(self.held.lock().keep(given, asked)),
            Err(error) => {
                warn!(%error, "no access token for a provider");
                self.held.lock().failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn exchange(&self, pool: &Pool) -> Result<Given, TokenError> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let request = self
            .grant
            .request(since_1970.map_or(0, |since| since.as_secs()))?;
        let mut sending = pool.start(self.way.as_deref(), in_pieces(request));
        let unreachable = |error: crate::upstream::SendError| {
            TokenError::Unreachable(error.to_string().replace("provider", "token endpoint"))
        };
        sending.connected(None).await.map_err(unreachable)?;
        let (head, arrived) = sending.answer().await.map_err(unreachable)?.into_parts();
        read(head.status, &whole(arrived).await?)
    }
}

fn in_pieces(request: Request<Bytes>) -> Request<PiecesBody> {
    request.map(|body| PiecesBody::new(smallvec![body]))
}

/// Reads all of an answer, within its bound.
async fn whole(arrived: Arrived) -> Result<Vec<u8>, TokenError> {
    let mut body = AnswerBody::Http(arrived);
    let mut whole = Vec::new();
    while let Some(chunk) = poll_fn(|cx| body.poll_chunk(cx)).await {
        let chunk = chunk.map_err(|_| TokenError::Garbage)?;
        if whole.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(TokenError::Garbage);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The tokens of the credentials that providers have now.
#[derive(Default)]
pub struct TokensTable {
    known: Mutex<Known>,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    /// By the hash of their credential.
    tokens: HashMap<u64, Vec<Weak<Tokens>>>,
    /// How many may be known before those that are gone are looked for.
    bound: usize,
}

/// Fewer are not worth looking through.
const FEW: usize = 64;

impl TokensTable {
    /// Gives the tokens of a credential, asked for by a way.
    pub(super) fn find(
        &self,
        secret: &KeySecret,
        way: Option<&Arc<Way>>,
    ) -> Result<Arc<Tokens>, CredentialError> {
        let hash = self.hasher.hash_one(secret);
        let mut known = self.known.lock();
        let same_way = |held: Option<&Arc<Way>>| match (held, way) {
            (Some(held), Some(way)) => Arc::ptr_eq(held, way),
            (held, way) => held.is_none() && way.is_none(),
        };
        let held = known.tokens.get(&hash).into_iter().flatten();
        let mut held = held.filter_map(Weak::upgrade);
        if let Some(tokens) = held.find(|it| it.secret == *secret && same_way(it.way.as_ref())) {
            return Ok(tokens);
        }
        let tokens = Arc::new(Tokens::new(secret.clone(), way.cloned())?);
        known.insert(hash, &tokens);
        Ok(tokens)
    }
}

impl Known {
    fn insert(&mut self, hash: u64, tokens: &Arc<Tokens>) {
        if self.tokens.len() >= self.bound.max(FEW) {
            self.tokens.retain(|_, held| {
                held.retain(|tokens| tokens.strong_count() > 0);
                !held.is_empty()
            });
            self.bound = 2 * self.tokens.len();
        }
        let held = self.tokens.entry(hash).or_default();
        held.retain(|tokens| tokens.strong_count() > 0);
        held.push(Arc::downgrade(tokens));
    }
}

#[cfg(test)]
mod tests;
