//! The controller as a data plane sees it: from files to gRPC.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod serve_files;
