//! The values of Secrets, and why one that is asked for cannot be had.

use std::collections::{BTreeMap, HashMap};

use turnpike_snapshot::name::ObjectName;

use crate::source::SecretBytes;

/// Why a value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// The Secret is not there, or not labelled.
    Missing(ObjectName),
    /// It has no such key.
    MissingKey(ObjectName, String),
    /// The value under this key is empty.
    Empty(ObjectName, String),
    /// It has no key at all.
    NoKeys(ObjectName),
}

/// One value, trimmed.
pub type Value<'a> = Result<&'a [u8], SecretFault>;

/// The Secrets of every namespace.
#[derive(Default)]
pub struct Secrets {
    secrets: HashMap<ObjectName, BTreeMap<String, SecretBytes>>,
}

impl Secrets {
    /// Puts a Secret in; `false`: nothing changed.
    pub fn put(&mut self, name: ObjectName, data: BTreeMap<String, SecretBytes>) -> bool {
        if self.secrets.get(&name) == Some(&data) {
            return false;
        }
        self.secrets.insert(name, data);
        true
    }

    /// Takes a Secret out; `false`: it wasn't there.
    pub fn take(&mut self, name: &ObjectName) -> bool {
        self.secrets.remove(name).is_some()
    }

    /// Finds one value, trimmed; never an empty one.
    pub fn find_value(&self, name: &ObjectName, key: &str) -> Result<&[u8], SecretFault> {
        let values = self.find(name)?;
        let value = values
            .get(key)
            .ok_or_else(|| SecretFault::MissingKey(name.clone(), key.to_owned()))?;
        non_empty(name, key, value)
    }

    /// Finds every value by its key, trimmed; an empty one is a fault of its own.
    pub fn find_values(&self, name: &ObjectName) -> Result<Vec<(&str, Value<'_>)>, SecretFault> {
        let values = self.find(name)?;
        if values.is_empty() {
            return Err(SecretFault::NoKeys(name.clone()));
        }
        let values = values.iter();
        Ok(values
            .map(|(key, value)| (key.as_str(), non_empty(name, key, value)))
            .collect())
    }

    /// The number of Secrets held.
    pub fn count(&self) -> usize {
        self.secrets.len()
    }

    fn find(&self, name: &ObjectName) -> Result<&BTreeMap<String, SecretBytes>, SecretFault> {
        self.secrets
            .get(name)
            .ok_or_else(|| SecretFault::Missing(name.clone()))
    }
}

fn non_empty<'a>(
    name: &ObjectName,
    key: &str,
    value: &'a SecretBytes,
) -> Result<&'a [u8], SecretFault> {
    match value.trimmed() {
        [] => Err(SecretFault::Empty(name.clone(), key.to_owned())),
        value => Ok(value),
    }
}
