//! Connections that are used one after the other.
