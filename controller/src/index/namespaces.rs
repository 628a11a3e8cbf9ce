//! What a change of a Namespace touches: the tenant of its name.

use turnpike_snapshot::Name;

use crate::index::{Index, Touched};
use crate::source::NamespaceData;

impl Index {
    pub(super) fn put_namespace(&mut self, namespace: NamespaceData) -> Touched {
        if self.namespaces.get(&namespace.name) == Some(&namespace) {
            return Touched::default();
        }
        let touched = tenant(&namespace.name);
        self.namespaces.insert(namespace.name.clone(), namespace);
        touched
    }

    pub(super) fn delete_namespace(&mut self, name: &str) -> Touched {
        match self.namespaces.remove(name) {
            Some(_) => tenant(name),
            None => Touched::default(),
        }
    }
}

fn tenant(namespace: &str) -> Touched {
    Touched {
        names: [Name::Tenant(namespace.to_owned())].into(),
        ..Touched::default()
    }
}
