//! What ConfigMaps say of CAs, and why one that is asked for says nothing.

use std::collections::HashMap;

use turnpike_snapshot::name::ObjectName;

use crate::source::ConfigMapData;

/// Why a ConfigMap says nothing of CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigMapFault {
    /// It is not there, or not labelled.
    Missing,
    /// It has nothing under the key.
    MissingKey,
}

/// The ConfigMaps of every namespace.
#[derive(Default)]
pub struct ConfigMaps(HashMap<ObjectName, Option<Box<[u8]>>>);

impl ConfigMaps {
    /// Puts a ConfigMap in; `false`: nothing changed.
    pub fn put(&mut self, config_map: ConfigMapData) -> bool {
        if self.0.get(&config_map.name) == Some(&config_map.authorities) {
            return false;
        }
        self.0.insert(config_map.name, config_map.authorities);
        true
    }

    /// Takes a ConfigMap out; `false`: it wasn't there.
    pub fn take(&mut self, name: &ObjectName) -> bool {
        self.0.remove(name).is_some()
    }

    /// Finds certificates of CAs, in PEM if all is well.
    pub fn find_authorities(&self, name: &ObjectName) -> Result<&[u8], ConfigMapFault> {
        let authorities = self.0.get(name).ok_or(ConfigMapFault::Missing)?;
        authorities.as_deref().ok_or(ConfigMapFault::MissingKey)
    }

    /// The number of ConfigMaps held.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
