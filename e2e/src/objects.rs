//! Objects of one namespace, written by the hundred over one client instead of by one kubectl each.

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use turnpike_controller::connect::connect;

use crate::scene::Scene;

/// Writes that are under way at once.
const AT_ONCE: usize = 16;

/// One of our kinds.
pub trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + DeserializeOwned
    + std::fmt::Debug
{
}

impl<K> Kind for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
{
}

/// Writes to a scene's namespace.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    namespace: String,
}

impl Objects {
    pub async fn of(scene: &Scene) -> Result<Self> {
        Ok(Self {
            client: connect(Some(scene.cluster.kubeconfig())).await?,
            namespace: scene.namespace.clone(),
        })
    }

    /// Creates an object or gives it another spec, as server-side apply does.
    pub async fn put<K: Kind>(&self, name: &str, spec: Value) -> Result<()> {
        let object = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()),
            "metadata": {"name": name}, "spec": spec,
        });
        let params = PatchParams::apply("e2e").force();
        let written = self
            .api::<K>()
            .patch(name, &params, &Patch::Apply(object))
            .await;
        written.map(drop).with_context(|| format!("writing {name}"))
    }

    /// Writes many, several at once.
    pub async fn put_all<K: Kind>(
        &self,
        objects: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<()> {
        stream::iter(objects)
            .map(|(name, spec)| async move { self.put::<K>(&name, spec).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Deletes an object, if it is there.
    pub async fn delete<K: Kind>(&self, name: &str) -> Result<()> {
        match self.api::<K>().delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("deleting {name}")),
        }
    }

    pub async fn list<K: Kind>(&self) -> Result<Vec<K>> {
        let list = self.api::<K>().list(&Default::default()).await;
        Ok(list.context("listing")?.items)
    }

    fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
