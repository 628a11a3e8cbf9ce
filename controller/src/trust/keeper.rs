//! Keeps the CAs: reads and writes the Secret that holds them and the ConfigMap that data
//! planes trust by, as [`rotation`] says, and gives the [`Identity`] that follows.
//!
//! What was read once goes on without the API server: the keys are in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::trust::certificate::Ca;
use crate::trust::identity::Identity;
use crate::trust::moment::Moment;
use crate::trust::rotation::{self, Act, Held, Step};
use crate::trust::secret::{self, CERTIFICATE};

/// Two reads of small objects; what another replica changed is in force here after it.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A look takes a few calls of some milliseconds each.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Writes and lost races of one look; a rotation has four steps.
const MAX_ROUNDS: usize = 10;

/// Where the CAs are.
#[derive(Clone)]
struct Place {
    secrets: Api<Secret>,
    bundles: Api<ConfigMap>,
    namespace: String,
    /// Of both objects.
    name: String,
}

/// The task that keeps the CAs.
pub struct Keeper {
    place: Place,
    held: Held<Ca>,
    identity: Identity,
}

impl Keeper {
    /// Reads the CAs, or makes the first; `names` are those that this replica is reached by.
    /// Both objects are called `name`.
    pub async fn open(
        client: Client,
        namespace: &str,
        name: &str,
        names: Vec<String>,
    ) -> anyhow::Result<Self> {
        let place = Place {
            secrets: Api::namespaced(client.clone(), namespace),
            bundles: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let looking = timeout(LOOK_TIMEOUT, place.look());
        let held = looking
            .await
            .context("the API server did not answer in time")??;
        let identity = Identity::new(names, &held, Moment::now())
            .with_context(|| format!("making a certificate from Secret {namespace}/{name}"))?;
        Ok(Self {
            place,
            held,
            identity,
        })
    }

    /// What this replica shows, from now on and after each change.
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Looks again and again until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY.mul_f64(rand::random_range(0.9..1.1))).await;
                self.renew().await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn renew(&mut self) {
        match timeout(LOOK_TIMEOUT, self.place.look()).await {
            Ok(Ok(held)) => self.held = held,
            Ok(Err(error)) => {
                let error = format!("{error:#}");
                warn!(
                    error,
                    "CA not read or written; the one known here stays in use"
                );
            }
            Err(_) => warn!("the API server did not answer for the CA in time"),
        }
        match self.identity.adopt(&self.held, Moment::now()) {
            Ok(true) => info!("new certificate for the snapshot port"),
            Ok(false) => {}
            Err(error) => error!(%error, "no new certificate for the snapshot port"),
        }
    }
}

impl Place {
    /// Does all there is to do, and gives what is in force then.
    async fn look(&self) -> anyhow::Result<Held<Ca>> {
        let (place, name) = (&self.namespace, &self.name);
        for _ in 0..MAX_ROUNDS {
            // In this order: a bundle must not be written that is older than the Secret.
            let bundle = self.bundles.get_opt(name).await;
            let bundle = bundle.with_context(|| format!("reading ConfigMap {place}/{name}"))?;
            let secret = self.secrets.get_opt(name).await;
            let secret = secret.with_context(|| format!("reading Secret {place}/{name}"))?;
            let data = secret.as_ref().and_then(|secret| secret.data.as_ref());
            let held = secret::read(data.unwrap_or(&BTreeMap::new())).with_context(|| {
                format!("Secret {place}/{name}; delete it to have a new CA made")
            })?;

            let now = Moment::now();
            let published = bundle.as_ref().and_then(text);
            match rotation::act(held.as_ref(), published, now, || Ca::make(now))? {
                Act::Write(changed) => {
                    let step = rotation::plan(held.as_ref(), published, now);
                    let written = self.write(secret, &changed).await;
                    if written.with_context(|| format!("writing Secret {place}/{name}"))? {
                        tell(step);
                    }
                }
                Act::Publish(bundle_text) => {
                    let written = self.publish(bundle, bundle_text).await;
                    written.with_context(|| format!("writing ConfigMap {place}/{name}"))?;
                }
                Act::Adopt => return held.context("the CA's Secret is gone"),
            }
        }
        bail!("other replicas change Secret {place}/{name} all the time")
    }

    /// Tells whether this came before any other write.
    async fn write(&self, read: Option<Secret>, held: &Held<Ca>) -> Result<bool, Error> {
        let is_new = read.is_none();
        let mut secret = read.unwrap_or_else(|| Secret {
            metadata: self.metadata(),
            type_: Some("turnpike.dev/snapshot-ca".into()),
            ..Secret::default()
        });
        secret::write(held, secret.data.get_or_insert_default());
        let parameters = PostParams::default();
        let written = match is_new {
            true => self.secrets.create(&parameters, &secret).await,
            false => self.secrets.replace(&self.name, &parameters, &secret).await,
        };
        won(written.map(drop), is_new)
    }

    /// Tells whether this came before any other write.
    async fn publish(&self, read: Option<ConfigMap>, bundle: String) -> Result<bool, Error> {
        let is_new = read.is_none();
        let mut map = read.unwrap_or_else(|| ConfigMap {
            metadata: self.metadata(),
            ..ConfigMap::default()
        });
        let data = map.data.get_or_insert_default();
        data.insert(CERTIFICATE.to_owned(), bundle);
        let parameters = PostParams::default();
        let written = match is_new {
            true => self.bundles.create(&parameters, &map).await,
            false => self.bundles.replace(&self.name, &parameters, &map).await,
        };
        won(written.map(drop), is_new)
    }

    fn metadata(&self) -> ObjectMeta {
        let label = ("app.kubernetes.io/managed-by".into(), "turnpike".into());
        ObjectMeta {
            name: Some(self.name.clone()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        }
    }
}

fn text(bundle: &ConfigMap) -> Option<&str> {
    let text = bundle.data.as_ref()?.get(CERTIFICATE)?;
    Some(text)
}

/// A lost race is no failure: whoever lost looks again.
fn won(written: Result<(), Error>, is_new: bool) -> Result<bool, Error> {
    match written {
        Ok(()) => Ok(true),
        // Made, written or deleted by another meanwhile; a new object finds no namespace.
        Err(Error::Api(status)) if status.code == 409 || (status.code == 404 && !is_new) => {
            debug!("another replica wrote first");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn tell(step: Step) {
    match step {
        Step::Keep | Step::NotePublication => {}
        Step::Begin => info!("made a CA for the snapshot port"),
        Step::Announce => info!("the snapshot port's CA gets a successor"),
        Step::Promote => info!("the snapshot port's next CA signs from now on"),
        Step::Forget => info!("the snapshot port's previous CA is not trusted any more"),
    }
}

#[cfg(test)]
mod tests;
