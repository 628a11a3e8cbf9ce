//! `cargo xtask NAME`: every chore of the project. Without a name it lists them.
//!
//! The programs of the workspace are built with one feature set (`--workspace --all-targets`)
//! and run from the target folder, so that no chore builds a crate a second time.

mod chores;
mod command;
mod steps;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of Turnpike")]
struct Args {
    #[command(subcommand)]
    chore: Option<Chore>,
}

#[derive(Subcommand)]
enum Chore {
    /// Checks all: format, lints, generated files, unit, integration and end-to-end tests
    Test {
        /// Runs kill tests, properties and mutations many times as often: minutes instead of seconds
        #[arg(long)]
        long: bool,
    },
    /// Runs the end-to-end tests (a real etcd, kube-apiserver, redis-server and OpenAI SDK; as root
    /// also a whole cluster with pods)
    E2e {
        /// Part of the names of the tests to run, such as `quota_`
        filter: Option<String>,
        /// Runs kill tests, properties and mutations many times as often: minutes instead of seconds
        #[arg(long)]
        long: bool,
    },
    /// Writes the custom resource definitions to crds/manifests and into the chart
    Crds {
        /// Writes nothing; fails if a file differs from the types in crds/src
        #[arg(long)]
        check: bool,
    },
    /// Writes the image of the programs as an archive for `docker load` or `ctr images import`
    Image(chores::image::Arguments),
    /// Measures, release build: `proxy` (cost of a request), `create-to-served` (new routes),
    /// `tenancy` (what is taken away), `floods` (frames over HTTP/2), `handshakes` (many certificates),
    /// `streams` (open while everything changes), `soak` (hours of traffic), `uploads` (large bodies),
    /// `domains` (many tenants, on API servers of its own), `fleet` (a million, simulated) or `protocol`
    /// (reading and translating, function by function)
    Bench {
        #[arg(value_parser = ["proxy", "create-to-served", "domains", "tenancy", "floods", "handshakes", "streams", "soak", "uploads", "fleet", "protocol"])]
        name: String,
        /// Goes to the benchmark as it is; see `cargo xtask bench NAME -- --help`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Throws damaged bytes at every decoder, with another seed each time, for as long as is said
    Fuzz {
        /// For how long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Starts or stops an API server to develop against, with the resources defined
    Cluster {
        #[command(subcommand)]
        action: chores::cluster::Action,
    },
    /// Installs what the tests need: redis-server, curl, h2load, Chromium, containerd, the OpenAI SDK, the cluster's programs
    Setup,
}

fn main() -> ExitCode {
    match run(Args::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Option<Chore>) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let done = |()| ExitCode::SUCCESS;
    match chore {
        None => {
            Args::command().print_help()?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Chore::Test { long }) => chores::test::all(&workspace, long),
        Some(Chore::E2e { filter, long }) => {
            chores::test::end_to_end(&workspace, filter.as_deref(), long)
        }
        Some(Chore::Crds { check }) => chores::crds::run(&workspace, check).map(done),
        Some(Chore::Image(arguments)) => chores::image::run(&workspace, &arguments).map(done),
        Some(Chore::Bench { name, arguments }) => {
            chores::bench::run(&workspace, &name, &arguments).map(done)
        }
        Some(Chore::Fuzz { seconds }) => chores::fuzz::run(&workspace, seconds).map(done),
        Some(Chore::Cluster { action }) => chores::cluster::run(&workspace, action).map(done),
        Some(Chore::Setup) => tools::Tools::install(&workspace).map(|_| ExitCode::SUCCESS),
    }
}
