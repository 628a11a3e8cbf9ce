//! The addresses of host names, kept for as long as DNS says, and for longer while it is silent.
//!
//! Names are looked up as this machine does: `/etc/hosts`, then the servers, search domains and
//! `ndots` of `/etc/resolv.conf`, both read at the start. One look-up a name is under way at a time,
//! whoever asks; it goes on when nobody waits for it any more.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// DNS's own times are held between these: one of 0 would mean a look-up for each connection, and
/// after a day nobody remembers why the old address is still asked.
const TTL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60 * 60));
/// How long a name that does not exist is not asked for again, at most: it may just be on its way.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// How long an answer serves after its time while there is no newer one.
const STALE: Duration = Duration::from_secs(60 * 60);
/// How long those who could do with an old answer wait for a new one.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two tries to renew an old answer.
const PAUSE: Duration = Duration::from_secs(5);
/// Names kept: more than providers have, far less than memory has.
const MAX_NAMES: usize = 4096;
/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 32;

/// Names and their addresses. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Names(Arc<Inner>);

struct Inner {
    source: Box<dyn Source>,
    known: Mutex<HashMap<Box<str>, Known>>,
}

/// Somebody who knows the addresses of names.
pub(super) trait Source: Send + Sync {
    fn ask(&self, host: &str) -> BoxFuture<'static, Result<Answer, NameError>>;
}

/// What is said of a name.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) valid_for: Duration,
}

/// A name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub(super) enum NameError {
    NoSuchName,
    Silence,
}

impl NameError {
    pub(super) fn words(self) -> &'static str {
        match self {
            NameError::NoSuchName => "its host name does not resolve",
            NameError::Silence => "DNS gives no answer for its host name",
        }
    }
}

type Addresses = Arc<[IpAddr]>;
type LookUp = Shared<BoxFuture<'static, Result<Addresses, NameError>>>;

#[derive(Default)]
struct Known {
    addresses: Option<Addresses>,
    /// Until then nobody asks anew.
    fresh_until: Option<Instant>,
    /// Until then the addresses serve if nothing newer is to be had.
    stale_until: Option<Instant>,
    under_way: Option<LookUp>,
    /// Where the next connection begins.
    turn: usize,
}

impl Names {
    /// Asks as this machine does.
    pub fn of_machine() -> Self {
        Self::of(Dns::of_machine())
    }

    /// Asks one server alone, and no file; for tests.
    pub fn of_server(ip: IpAddr, port: u16) -> Self {
        Self::of(Dns::of_server(ip, port))
    }

    pub(super) fn of(source: impl Source + 'static) -> Self {
        let known = Mutex::default();
        let source = Box::new(source);
        Self(Arc::new(Inner { source, known }))
    }

    /// Finds the addresses of a name, the one whose turn it is first.
    pub(super) async fn find(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        let (old, look_up) = match self.look(host) {
            Found::Fresh(addresses) => return Ok(addresses),
            Found::Old(addresses, look_up) => (Some(addresses), look_up),
            Found::Nothing(look_up) => (None, look_up),
        };
        let found = match old {
            None => look_up.await,
            Some(old) => match timeout(PATIENCE, look_up).await {
                // What is gone is gone, whatever was known of it.
                Ok(Err(NameError::NoSuchName)) => Err(NameError::NoSuchName),
                Ok(Ok(found)) => Ok(found),
                Ok(Err(NameError::Silence)) | Err(_) => return Ok(old),
            },
        };
        found.map(|addresses| self.in_turn(host, &addresses))
    }

    fn look(&self, host: &str) -> Found {
        let now = Instant::now();
        let mut known = self.0.known.lock();
        let Some(entry) = known.get_mut(host) else {
            make_room(&mut known, now);
            let entry = known.entry(host.into()).or_default();
            return Found::Nothing(self.look_up(host, entry));
        };
        let old = entry
            .addresses
            .clone()
            .filter(|_| entry.stale_until.is_some_and(|until| now < until))
            .map(|addresses| entry.in_turn(&addresses));
        match old {
            Some(old) if entry.fresh_until.is_some_and(|until| now < until) => Found::Fresh(old),
            Some(old) => Found::Old(old, self.look_up(host, entry)),
            None => Found::Nothing(self.look_up(host, entry)),
        }
    }

    fn in_turn(&self, host: &str, addresses: &Addresses) -> Vec<IpAddr> {
        match self.0.known.lock().get_mut(host) {
            Some(entry) => entry.in_turn(addresses),
            None => addresses.to_vec(),
        }
    }

    /// Joins the look-up that is under way, or begins one.
    fn look_up(&self, host: &str, entry: &mut Known) -> LookUp {
        if let Some(under_way) = &entry.under_way {
            return under_way.clone();
        }
        let answer = self.0.source.ask(host);
        let (names, host) = (self.clone(), Box::<str>::from(host));
        let look_up = async move { names.note(&host, answer.await) }
            .boxed()
            .shared();
        // It ends by itself: whoever is asked gives up in time.
        tokio::spawn(look_up.clone());
        entry.under_way = Some(look_up.clone());
        look_up
    }

    fn note(&self, host: &str, answer: Result<Answer, NameError>) -> Result<Addresses, NameError> {
        let now = Instant::now();
        let mut known = self.0.known.lock();
        let entry = known.entry(host.into()).or_default();
        entry.under_way = None;
        match answer {
            Ok(Answer {
                mut addresses,
                valid_for,
            }) => {
                addresses.truncate(MAX_ADDRESSES);
                let addresses: Addresses = addresses.into();
                let until = now + valid_for.clamp(TTL.0, TTL.1);
                entry.addresses = Some(addresses.clone());
                entry.fresh_until = Some(until);
                entry.stale_until = Some(until + STALE);
                Ok(addresses)
            }
            Err(NameError::NoSuchName) => {
                known.remove(host);
                Err(NameError::NoSuchName)
            }
            Err(NameError::Silence) => {
                // Whoever has an old answer takes that for a while without asking.
                entry.fresh_until = Some(now + PAUSE);
                Err(NameError::Silence)
            }
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

enum Found {
    Fresh(Vec<IpAddr>),
    Old(Vec<IpAddr>, LookUp),
    Nothing(LookUp),
}

impl Known {
    fn in_turn(&mut self, addresses: &Addresses) -> Vec<IpAddr> {
        let mut turned = addresses.to_vec();
        if !turned.is_empty() {
            turned.rotate_left(self.turn % addresses.len());
        }
        self.turn = self.turn.wrapping_add(1);
        turned
    }
}

/// Forgets what is of no use any more, or else what will be so first.
fn make_room(known: &mut HashMap<Box<str>, Known>, now: Instant) {
    if known.len() < MAX_NAMES {
        return;
    }
    let is_used = |it: &Known| it.under_way.is_some() || it.stale_until.is_some_and(|at| now < at);
    known.retain(|_, it| is_used(it));
    if known.len() < MAX_NAMES {
        return;
    }
    let oldest = known.iter().min_by_key(|(_, it)| it.stale_until);
    if let Some(host) = oldest.map(|(host, _)| host.clone()) {
        known.remove(&host);
    }
}

/// DNS, and the file of hosts.
struct Dns(TokioResolver);

impl Dns {
    fn of_machine() -> Self {
        match TokioResolver::builder_tokio() {
            Ok(mut builder) => {
                set_up(builder.options_mut());
                match builder.build() {
                    Ok(resolver) => return Self(resolver),
                    Err(fault) => warn!(%fault, "DNS cannot be set up as /etc/resolv.conf says"),
                }
            }
            Err(fault) => {
                warn!(%fault, "/etc/resolv.conf cannot be used; names are asked of 127.0.0.1")
            }
        }
        // As the C library does.
        Self::of_server([127, 0, 0, 1].into(), 53)
    }

    fn of_server(ip: IpAddr, port: u16) -> Self {
        let mut server = NameServerConfig::udp_and_tcp(ip);
        for connection in &mut server.connections {
            connection.port = port;
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let runtime = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, runtime);
        set_up(builder.options_mut());
        // It is near: who has not answered by then is not there.
        builder.options_mut().timeout = Duration::from_secs(1);
        let resolver = builder.build();
        Self(resolver.expect("one server without TLS is all that there is to set up"))
    }
}

fn set_up(options: &mut ResolverOpts) {
    options.negative_max_ttl = Some(NEGATIVE_TTL);
    options.positive_max_ttl = Some(TTL.1);
}

impl Source for Dns {
    fn ask(&self, host: &str) -> BoxFuture<'static, Result<Answer, NameError>> {
        let (resolver, host) = (self.0.clone(), host.to_owned());
        async move {
            let found = resolver.lookup_ip(host.as_str()).await;
            let mut found = found.map_err(|fault| NameError::from(&fault));
            // What was said last may be of the name within a search domain. Whether the name itself
            // is gone, or nobody knows, is another question.
            if matches!(found, Err(NameError::NoSuchName)) && host.contains('.') {
                let whole = resolver.lookup_ip(format!("{host}.")).await;
                found = whole.map_err(|fault| NameError::from(&fault));
            }
            let found = found?;
            let addresses: Vec<_> = found.iter().collect();
            match addresses.is_empty() {
                true => Err(NameError::NoSuchName),
                false => Ok(Answer {
                    addresses,
                    valid_for: found
                        .valid_until()
                        .saturating_duration_since(std::time::Instant::now()),
                }),
            }
        }
        .boxed()
    }
}

impl From<&NetError> for NameError {
    fn from(fault: &NetError) -> Self {
        match fault {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain | ResponseCode::NoError => NameError::NoSuchName,
                _ => NameError::Silence,
            },
            _ => NameError::Silence,
        }
    }
}

#[cfg(test)]
mod tests;
