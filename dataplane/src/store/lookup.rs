//! Look up; on a miss ask and wait; look up again.
//!
//! All requests for one name share one question. The question belongs to the
//! book, not to a request: who gives up waiting cancels nothing for the others.

use std::sync::Arc;

use tokio::time::{Duration, Instant, timeout_at};
use turnpike_snapshot::Name;
use turnpike_snapshot::credential::sha256;

use super::Store;
use super::asker::Asker;
use super::book::Waiter;
use super::link::Link;
use super::tables::{CredentialKey, DomainSlot, Known};
use super::view::{CredentialView, DomainView};

/// Why something could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// There is no such thing; this may be remembered for a while, a creation ends it at once.
    #[error("it does not exist")]
    Unknown,
    /// The asker has looked up too much that does not exist; it may again after this time.
    #[error("too many look-ups of what does not exist")]
    TooManyLookups(Duration),
    /// Nobody could say in time; never remembered.
    #[error("no controller could be asked, or none answered in time")]
    Unavailable,
}

/// A question that others' floods push out of the book is asked again, but not for ever.
const ASKED_AGAIN: usize = 3;

type Answer<T> = Result<Arc<T>, FetchError>;

impl Store {
    /// Gives a domain that is loaded; `None`: it is not, or does not exist.
    pub fn get_domain(&self, host: &str) -> Option<Arc<DomainView>> {
        self.known_domain(host)?.ok()
    }

    /// Gives a domain, loading it on the asker's account if need be.
    pub async fn fetch_domain(&self, host: &str, asker: Asker) -> Answer<DomainView> {
        if let Some(answer) = self.known_domain(host) {
            return answer;
        }
        self.load_domain(host, asker).await
    }

    /// Says whose API key it is, loading that on the asker's account if need be.
    ///
    /// The realm is the namespace whose consumers count.
    pub async fn fetch_credential(
        &self,
        realm: &str,
        api_key: &[u8],
        asker: Asker,
    ) -> Answer<CredentialView> {
        let digest = sha256(api_key);
        match self.known_credential(&self.candidates(realm, &digest)) {
            Some(answer) => answer,
            None => self.load_credential(realm, &digest, asker).await,
        }
    }

    async fn load_domain(&self, host: &str, asker: Asker) -> Answer<DomainView> {
        let name = Name::Domain(host.to_owned());
        let deadline = Instant::now() + self.0.load_timeout;
        for _ in 0..ASKED_AGAIN {
            if let Some(waiter) = self.ask(&name, None, asker)? {
                wait(waiter, deadline).await?;
            }
            if let Some(answer) = self.known_domain(host) {
                return answer;
            }
        }
        Err(FetchError::Unavailable)
    }

    /// Asks under every fleet key; begins anew when the keys change meanwhile.
    async fn load_credential(
        &self,
        realm: &str,
        digest: &[u8; 32],
        asker: Asker,
    ) -> Answer<CredentialView> {
        let deadline = Instant::now() + self.0.load_timeout;
        loop {
            let keys = self.0.fleet_keys.load_full();
            let answer = self.ask_credential(realm, digest, asker, deadline).await?;
            let is_same = Arc::ptr_eq(&keys, &self.0.fleet_keys.load());
            match answer {
                Some(Ok(credential)) => return Ok(credential),
                answer if is_same => return answer.unwrap_or(Err(FetchError::Unavailable)),
                _ => {}
            }
        }
    }

    /// Waits until one of the candidates is somebody's or none is.
    async fn ask_credential(
        &self,
        realm: &str,
        digest: &[u8; 32],
        asker: Asker,
        deadline: Instant,
    ) -> Result<Option<Answer<CredentialView>>, FetchError> {
        let candidates = self.candidates(realm, digest);
        let mut waiters = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            waiters.extend(self.ask(&candidate.key.name(), Some(&candidate.fleet_key), asker)?);
        }
        for waiter in waiters {
            wait(waiter, deadline).await?;
            if let Some(answer) = self.known_credential(&candidates) {
                return Ok(Some(answer));
            }
        }
        Ok(self.known_credential(&candidates))
    }

    fn known_domain(&self, host: &str) -> Option<Answer<DomainView>> {
        let current = |slot: Arc<DomainSlot>| slot.load().ok_or(FetchError::Unavailable);
        self.0
            .tables
            .domain(host)
            .map(|known| known.answer().and_then(current))
    }

    /// `None` as long as it is open whose key it is.
    fn known_credential(&self, candidates: &[Candidate]) -> Option<Answer<CredentialView>> {
        let mut answer = Err(FetchError::Unavailable);
        let mut is_open = false;
        for candidate in candidates {
            match self.0.tables.credential(&candidate.key).map(Known::answer) {
                Some(Ok(credential)) => return Some(Ok(credential)),
                Some(Err(error)) => answer = Err(error),
                None => is_open = true,
            }
        }
        (!is_open).then_some(answer)
    }

    fn candidates(&self, realm: &str, digest: &[u8; 32]) -> Vec<Candidate> {
        let keys = self.0.fleet_keys.load();
        let candidate = |(id, key): &(Arc<str>, _)| Candidate::new(realm, id, key, digest);
        keys.iter().map(candidate).collect()
    }

    /// Notes the question; `None`: it has been answered.
    fn ask(
        &self,
        name: &Name,
        fleet_key: Option<&Arc<str>>,
        asker: Asker,
    ) -> Result<Option<Waiter>, FetchError> {
        let inner = &self.0;
        if inner.link.get() == Link::Closed {
            return Err(FetchError::Unknown);
        }
        if inner.link.is_down_for(inner.load_timeout, Instant::now()) {
            return Err(FetchError::Unavailable);
        }
        let mut book = self.book();
        if let Some(after) = book.refusal(name, asker) {
            inner.counts.refuse_lookup(name);
            return Err(FetchError::TooManyLookups(after));
        }
        let (waiter, evicted) = book.ask(name, fleet_key, asker);
        if let Some(evicted) = evicted {
            inner.tables.forget(&evicted);
        }
        drop(book);
        inner.outgoing.notify_one();
        Ok(waiter)
    }
}

/// A key's credential under one fleet key.
struct Candidate {
    key: CredentialKey,
    fleet_key: Arc<str>,
}

impl Candidate {
    fn new(
        realm: &str,
        fleet_key: &Arc<str>,
        key: &turnpike_snapshot::credential::FleetKey,
        digest: &[u8; 32],
    ) -> Self {
        Self {
            key: CredentialKey {
                realm: realm.to_owned(),
                id: key.credential_id(digest),
            },
            fleet_key: fleet_key.clone(),
        }
    }
}

impl<T> Known<T> {
    fn answer(self) -> Result<T, FetchError> {
        match self {
            Known::Held(held) => Ok(held),
            Known::Absent => Err(FetchError::Unknown),
            Known::Refused => Err(FetchError::Unavailable),
        }
    }
}

async fn wait(mut waiter: Waiter, deadline: Instant) -> Result<(), FetchError> {
    match timeout_at(deadline, waiter.changed()).await {
        // The sender is never used, only dropped: an error is the answer.
        Ok(_) => Ok(()),
        Err(_) => Err(FetchError::Unavailable),
    }
}
