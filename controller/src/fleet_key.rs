//! The keys that credentials are looked up under.
//!
//! In a cluster a Secret that the first controller creates and all others read;
//! with files, random and gone with the process.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use turnpike_snapshot::credential::FleetKey;

/// The Secret in the platform namespace. Each entry is one key, by its id; ids
/// sort by age.
pub const SECRET: &str = "turnpike-fleet-key";

/// As long as SHA-256's output: more adds nothing to an HMAC.
const KEY_BYTES: usize = 32;

/// Below, a key that somebody put there could be guessed.
const MIN_KEY_BYTES: usize = 16;

/// Makes a key of this moment.
pub fn random(now: Timestamp) -> FleetKey {
    let secret: [u8; KEY_BYTES] = rand::random();
    FleetKey::new(now.strftime("%Y%m%dT%H%M%SZ").to_string(), secret.to_vec())
}

/// Reads the keys of the cluster, newest first; where there is no Secret, creates it.
pub async fn fetch(client: Client, namespace: &str) -> anyhow::Result<Vec<FleetKey>> {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let place = format!("Secret {namespace}/{SECRET}");
    if let Some(secret) = secrets
        .get_opt(SECRET)
        .await
        .with_context(|| format!("reading {place}"))?
    {
        return parse(secret.data.unwrap_or_default()).context(place);
    }
    let created = secrets
        .create(&PostParams::default(), &secret(&random(Timestamp::now())))
        .await;
    let secret = match created {
        Ok(created) => created,
        // Another replica was faster: its key is the fleet's.
        Err(Error::Api(status)) if status.is_already_exists() => secrets
            .get(SECRET)
            .await
            .with_context(|| format!("reading {place}"))?,
        Err(Error::Api(status)) if status.is_not_found() => bail!(
            "namespace {namespace} does not exist; create it, or name another with \
             --platform-namespace"
        ),
        Err(error) => return Err(error).with_context(|| format!("creating {place}")),
    };
    parse(secret.data.unwrap_or_default()).context(place)
}

fn secret(key: &FleetKey) -> Secret {
    let label = ("app.kubernetes.io/managed-by".into(), "turnpike".into());
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.into()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        },
        type_: Some("turnpike.dev/fleet-key".into()),
        data: Some([(key.id().to_owned(), ByteString(key.secret().to_vec()))].into()),
        ..Secret::default()
    }
}

fn parse(data: BTreeMap<String, ByteString>) -> anyhow::Result<Vec<FleetKey>> {
    if data.is_empty() {
        bail!("has no key; delete it to have a new one made");
    }
    let newest_first = data.into_iter().rev();
    newest_first
        .map(|(id, secret)| {
            if secret.0.len() < MIN_KEY_BYTES {
                bail!("key {id} has fewer than {MIN_KEY_BYTES} bytes; {KEY_BYTES} random ones are right");
            }
            Ok(FleetKey::new(id, secret.0))
        })
        .collect()
}

#[cfg(test)]
mod tests;
