//! A consumer: who calls, and what it belongs to.

use crate::name::ObjectName;

/// A Consumer as a data plane needs it; its credentials refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its namespace and name.
    pub name: ObjectName,
    /// Sorted, without doubles.
    pub groups: Vec<String>,
    /// Its keys are refused.
    pub is_suspended: bool,
}
