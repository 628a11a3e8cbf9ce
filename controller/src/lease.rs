//! Which replica writes status: the holder of a Lease in the platform namespace.
//!
//! The decisions are [`election`]'s, which is pure; this file reads, writes and
//! waits. Everybody else only looks at the [`Leadership`] that comes out.

pub mod election;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::election::{Election, Record, Step};

/// Of the Lease, in the platform namespace.
pub const NAME: &str = "turnpike-controller";

/// Others take over when nothing was renewed for so long. A killed leader has a
/// successor within this, one pause and one call.
const DURATION: Duration = Duration::from_secs(10);
/// Before others may take over, with room for a pause of the process.
const RENEW_DEADLINE: Duration = Duration::from_secs(8);
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Cheap: one read of one small object.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A read or a write that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Who leads, as far as this replica knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Who holds the Lease, as `NAME@ADDRESS`.
    pub holder: Option<String>,
    /// Until when this replica may act as the leader; `None`: it may not.
    pub until: Option<Instant>,
    /// Another replica led before; the rest may not have found this one yet.
    pub is_succession: bool,
}

impl Leadership {
    /// Of a controller without replicas.
    pub fn alone() -> Self {
        Self {
            holder: None,
            until: Some(Instant::now() + Duration::from_secs(u32::MAX.into())),
            is_succession: false,
        }
    }

    /// Whether this replica may act as the leader at this moment.
    pub fn is_leader(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Where the leader takes other replicas' reports; `None`: nowhere known.
    pub fn address(&self) -> Option<&str> {
        let (_, address) = self.holder.as_deref()?.rsplit_once('@')?;
        Some(address)
    }
}

/// Makes the name of this process: two of one machine, or one before and after a
/// restart, are different holders.
pub fn identity(advertised: &str) -> String {
    let name = std::env::var("HOSTNAME").ok();
    let name = name.filter(|name| !name.is_empty() && !name.contains('@'));
    let suffix: u32 = rand::random();
    format!(
        "{}-{suffix:08x}@{advertised}",
        name.as_deref().unwrap_or("controller")
    )
}

/// Competes for the Lease until `stop`, then gives it back.
pub async fn run(
    client: Client,
    namespace: String,
    identity: String,
    told: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    let mut candidate = Candidate {
        api: Api::namespaced(client, &namespace),
        election: Election::new(identity, DURATION, RENEW_DEADLINE),
        told,
    };
    stop.run_until_cancelled(candidate.compete()).await;
    candidate.tell(None);
    candidate.release().await;
}

struct Candidate {
    api: Api<Lease>,
    election: Election,
    told: watch::Sender<Leadership>,
}

impl Candidate {
    async fn compete(&mut self) {
        loop {
            let until = self.election.leads_until();
            // Who cannot renew in time must stop in time, whatever a call waits for.
            let limit = Instant::now() + CALL_TIMEOUT;
            let limit = until.map_or(limit, |until| until.min(limit));
            match tokio::time::timeout_at(limit, self.attempt()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "Lease not read or written; will be tried again"),
                Err(_) => warn!("the API server did not answer for the Lease in time"),
            }
            let now = Instant::now();
            self.election.tick(now);
            self.tell(self.election.leads_until());
            let pause = match self.election.is_leader(now) {
                true => RENEW_EVERY,
                false => LOOK_EVERY,
            };
            let next = now + pause.mul_f64(rand::random_range(0.9..1.1));
            let until = self.election.leads_until();
            tokio::time::sleep_until(until.map_or(next, |until| until.min(next))).await;
        }
    }

    /// Looks, and does what there is to do. Cut off between the two, nothing is believed.
    async fn attempt(&mut self) -> Result<(), Error> {
        let lease = self.api.get_opt(NAME).await?;
        let seen = lease.as_ref().map(read);
        let asked = Instant::now();
        let step = self.election.look(seen, asked);
        let written = match step {
            Step::Wait => return Ok(()),
            Step::Create => {
                let spec = self.spec(0, None);
                let lease = to_lease(spec, None);
                self.api.create(&PostParams::default(), &lease).await
            }
            Step::Take { version, term } => {
                info!(term, "taking over the Lease");
                self.replace(self.spec(term, None), version).await
            }
            Step::Renew { version, term } => {
                let acquired = lease
                    .and_then(|lease| lease.spec)
                    .and_then(|spec| spec.acquire_time);
                self.replace(self.spec(term, acquired), version).await
            }
        };
        match written {
            Ok(lease) => {
                self.election.wrote(read(&lease), asked, Instant::now());
                Ok(())
            }
            Err(Error::Api(status)) if matches!(status.code, 404 | 409) => {
                debug!("another replica wrote the Lease first");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn replace(&self, spec: LeaseSpec, version: String) -> Result<Lease, Error> {
        let lease = to_lease(spec, Some(version));
        self.api.replace(NAME, &PostParams::default(), &lease).await
    }

    fn spec(&self, term: i32, acquired: Option<MicroTime>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.election.identity().to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(term),
            ..LeaseSpec::default()
        }
    }

    /// Lets the next one in at once.
    async fn release(&mut self) {
        let Some((version, term)) = self.election.release() else {
            return;
        };
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            ..self.spec(term, None)
        };
        let releasing = self.replace(spec, version);
        match tokio::time::timeout(CALL_TIMEOUT, releasing).await {
            Ok(Ok(_)) => info!("Lease released"),
            Ok(Err(error)) => debug!(%error, "Lease not released; it expires by itself"),
            Err(_) => debug!("Lease not released in time; it expires by itself"),
        }
    }

    fn tell(&self, until: Option<Instant>) {
        let leadership = Leadership {
            holder: self.election.holder().map(str::to_owned),
            until,
            is_succession: self.election.is_succession(),
        };
        self.told.send_if_modified(|told| {
            match (told.until.is_some(), until.is_some()) {
                (false, true) => info!("this controller writes status now"),
                (true, false) => info!("this controller writes no status any more"),
                _ => {}
            }
            std::mem::replace(told, leadership.clone()) != leadership
        });
    }
}

fn read(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        renewed: spec.renew_time.map(|time| time.0.to_string()),
        term: spec.lease_transitions.unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn to_lease(spec: LeaseSpec, version: Option<String>) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        spec: Some(spec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_tells_where_it_is_reached() {
        let mut leadership = Leadership::default();
        assert_eq!(leadership.address(), None);
        leadership.holder = Some(identity("10.0.0.7:18000"));
        assert_eq!(leadership.address(), Some("10.0.0.7:18000"));
        assert_ne!(identity("a:1"), identity("a:1"));
    }
}
