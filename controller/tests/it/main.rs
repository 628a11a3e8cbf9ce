//! The controller as a data plane sees it: from files to gRPC.

mod client;
mod serve_files;
