//! Health and metrics, on a port of their own.
