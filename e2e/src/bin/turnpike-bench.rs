//! Runs the benchmarks; `cargo xtask bench NAME` builds it and all that it measures.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use turnpike_e2e::bench::{
    baseline, create_to_served, domains, fleet, floods, handshakes, model, proxy, soak, streams,
    tenancy, uploads,
};

/// As the programs that are measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Measures Turnpike")]
enum Args {
    /// What a request costs, beside a bare reverse proxy
    Proxy(proxy::Options),
    /// How long a new route takes until it is served
    CreateToServed(create_to_served::Options),
    /// What tens of thousands of tenants cost, and what each notices of the others
    Domains(domains::Options),
    /// What a million domains and a thousand data planes would cost a controller: a simulation
    Fleet(fleet::Options),
    /// What a data plane and its other callers notice of floods of frames over HTTP/2
    Floods(floods::Options),
    /// How soon a rotated key, a withdrawn grant or a suspended consumer is in force, and a bad apply told
    Tenancy(tenancy::Options),
    /// What ten thousand open streams notice of ten thousand changes
    Streams(streams::Options),
    /// What TLS handshakes cost with many certificates, beside a plain rustls server
    Handshakes(handshakes::Options),
    /// What a long mixed load under changes leaves behind: memory, reservations, lines of the log
    Soak(soak::Options),
    /// What large request bodies make a data plane hold, beside other proxies
    Uploads(uploads::Options),
    /// The model server that the benchmarks use
    #[command(hide = true)]
    ServeModel {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// The bare reverse proxy
    #[command(hide = true)]
    ServeProxy {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// The plain rustls server
    #[command(hide = true)]
    ServeTls {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        chain: PathBuf,
        #[arg(long)]
        key: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Args::parse() {
        Args::Proxy(options) => proxy::run(options).await,
        Args::CreateToServed(options) => create_to_served::run(options).await,
        Args::Domains(options) => domains::run(options).await,
        Args::Fleet(options) => fleet::run(options).await,
        Args::Floods(options) => floods::run(options).await,
        Args::Tenancy(options) => tenancy::run(options).await,
        Args::Streams(options) => streams::run(options).await,
        Args::Handshakes(options) => handshakes::run(options).await,
        Args::Soak(options) => soak::run(options).await,
        Args::Uploads(options) => uploads::run(options).await,
        Args::ServeModel { listen } => model::serve(listen).await,
        Args::ServeProxy { listen, upstream } => baseline::serve(listen, upstream).await,
        Args::ServeTls { listen, chain, key } => handshakes::serve(listen, &chain, &key).await,
    }
}
