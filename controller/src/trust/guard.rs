//! All that protects a snapshot port, built in one place.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use kube::Client;
use rustls::ServerConfig;

use crate::config::Secured;
use crate::metrics::Refusals;
use crate::trust::complaints::Complaints;
use crate::trust::dial::Dial;
use crate::trust::gate::Gate;
use crate::trust::identity::Identity;
use crate::trust::keeper::Keeper;
use crate::trust::reviewer::Reviewer;
use crate::trust::token::Account;

/// The parts of one port.
pub struct Guard {
    /// Keeps the CAs; to be run.
    pub keeper: Keeper,
    /// For the listener.
    pub config: Arc<ServerConfig>,
    /// Who gets snapshots.
    pub data_planes: Gate,
    /// Who reports to the leader.
    pub controllers: Gate,
    /// Told at the listener, too.
    pub complaints: Complaints,
    token_file: Option<PathBuf>,
}

impl Guard {
    /// Reads the CAs of a platform namespace or makes them; `advertised` is where other
    /// replicas reach this one, `HOST:PORT`.
    pub async fn open(
        client: &Client,
        namespace: &str,
        secured: &Secured,
        advertised: &str,
        refusals: Refusals,
    ) -> anyhow::Result<Self> {
        let names = secured.names(namespace, advertised);
        let keeper = Keeper::open(client.clone(), namespace, &secured.tls_secret, names)
            .await
            .context("getting the CA of the snapshot port")?;
        let config = keeper.identity().server_config();
        let reviewer = Reviewer::new(client.clone());
        let complaints = Complaints::new(refusals);
        let gate = |accounts: &[Account], flag| {
            Gate::new(
                reviewer.clone(),
                accounts.to_vec(),
                flag,
                complaints.clone(),
            )
        };
        Ok(Self {
            keeper,
            config: Arc::new(config.context("setting TLS up")?),
            data_planes: gate(&secured.data_planes, "--dataplane-account"),
            controllers: gate(&secured.controllers, "--controller-account"),
            complaints,
            token_file: secured.token_file.clone(),
        })
    }

    /// What the port shows.
    pub fn identity(&self) -> Identity {
        self.keeper.identity()
    }

    /// How other replicas, protected like this one, are reached.
    pub fn dial(&self) -> Dial {
        Dial::Secured {
            identity: self.identity(),
            token_file: self.token_file.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
