//! Reads the resources once, through the same doors as the controller, into its own index.

use std::path::PathBuf;

use anyhow::Context;
use jiff::Timestamp;
use turnpike_controller::connect::connect;
use turnpike_controller::fleet_key;
use turnpike_controller::index::Index;
use turnpike_controller::index::hostnames::{HostnamePattern, HostnamePolicy};
use turnpike_controller::source::directory::Directory;
use turnpike_controller::source::{Event, Kind, kube};

use super::{Flags, Mistake};

/// Where resources come from.
pub(super) struct Choice {
    place: Place,
    platform_namespace: String,
    class: String,
    hostname_policy: Vec<HostnamePattern>,
}

enum Place {
    Files(PathBuf),
    /// `None`: the cluster that is found around this process.
    Cluster(Option<PathBuf>),
}

/// The resources as they are at one moment.
pub(super) struct World {
    pub(super) index: Index,
    /// What of the resources could not be read.
    pub(super) notes: Vec<String>,
}

impl Choice {
    pub(super) fn new(flags: &Flags) -> Result<Self, Mistake> {
        let place = match (&flags.files, &flags.kubeconfig) {
            (Some(path), _) if !path.is_dir() => return Err(Mistake::NoDirectory(path.clone())),
            (Some(path), _) => Place::Files(path.clone()),
            (None, Some(path)) if !path.exists() => {
                return Err(Mistake::NoKubeconfig(path.clone()));
            }
            (None, path) => Place::Cluster(path.clone()),
        };
        Ok(Self {
            place,
            platform_namespace: flags.platform_namespace.clone(),
            class: flags.class.clone(),
            hostname_policy: flags.hostname_policy.clone(),
        })
    }

    /// A directory, under the defaults.
    #[cfg(test)]
    pub(super) fn of_files(path: &std::path::Path) -> Self {
        Self {
            place: Place::Files(path.to_owned()),
            platform_namespace: turnpike_controller::config::PLATFORM_NAMESPACE.to_owned(),
            class: turnpike_controller::config::DEFAULT_CLASS.to_owned(),
            hostname_policy: Vec::new(),
        }
    }
}

impl World {
    /// Reads everything once.
    pub(super) async fn read(choice: &Choice) -> anyhow::Result<Self> {
        let index = |policy| {
            let policy = match choice.hostname_policy.as_slice() {
                [] => policy,
                patterns => HostnamePolicy::new(patterns.iter().cloned()),
            };
            let index = self::index(&choice.platform_namespace).with_class(&choice.class);
            (index, policy)
        };
        match &choice.place {
            Place::Files(path) => {
                let mut directory =
                    Directory::new(path).context("reading the resources' own schemas")?;
                let load = directory.load();
                let (index, policy) = index(HostnamePolicy::open());
                let notes = load.faults.iter().map(|fault| format!("{fault}"));
                let notes = notes.collect();
                let index = index.of_files().with_hostname_policy(policy);
                Ok(Self::of(index, load.events, notes))
            }
            Place::Cluster(kubeconfig) => {
                let client = connect(kubeconfig.as_deref()).await?;
                let listed = kube::list_once(&client).await.with_context(|| {
                    let named = kubeconfig.as_ref().map(|file| file.display().to_string());
                    let named = named.as_deref().unwrap_or("the current context");
                    format!("the cluster of {named} does not answer as it should")
                })?;
                let (index, policy) = index(HostnamePolicy::default());
                let notes = listed.lacking.into_iter().map(|kind| {
                    let missing = match kind {
                        Kind::Secret => "keys and credentials in Secrets count as missing",
                        Kind::ConfigMap => "CAs in ConfigMaps count as missing",
                        _ => "what serviceRef names counts as missing or not ready",
                    };
                    format!("{kind} objects may not be listed by this account: {missing} here")
                });
                let notes = notes.collect();
                let index = index.with_hostname_policy(policy);
                Ok(Self::of(index, listed.events, notes))
            }
        }
    }

    /// What an index makes of these events.
    pub(super) fn of(
        mut index: Index,
        events: impl IntoIterator<Item = Event>,
        notes: Vec<String>,
    ) -> Self {
        for event in events {
            index.apply(event);
        }
        Self { index, notes }
    }
}

/// An empty index. Digests under a key of this moment never leave the process.
fn index(platform_namespace: &str) -> Index {
    Index::new(
        vec![fleet_key::random(Timestamp::now())],
        platform_namespace,
    )
}
