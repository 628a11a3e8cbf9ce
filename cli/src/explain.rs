//! `turnpike explain`: what would become of a request, and why, from files or from a cluster.
//!
//! The controller's own index and compile say what a data plane would hold; the data plane's own
//! steps say what it would answer. Nothing is sent, and no counter is read.

mod report;
mod source;
mod text;
mod trial;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use jiff::Timestamp;
use turnpike_controller::config::{DEFAULT_CLASS, PLATFORM_NAMESPACE};
use turnpike_controller::index::hostnames::HostnamePattern;

use self::source::World;
use self::trial::{Identity, Question};

/// The flags of `turnpike explain`.
#[derive(Args)]
pub(crate) struct Flags {
    /// The directory of YAML files
    #[arg(
        short = 'f',
        long = "files",
        env = "TURNPIKE_FILES",
        value_name = "DIR",
        conflicts_with = "kubeconfig"
    )]
    files: Option<PathBuf>,

    /// Which cluster; without it and -f that of $KUBECONFIG or ~/.kube/config, or the pod's own
    #[arg(long, env = "TURNPIKE_KUBECONFIG", value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// The namespace whose objects may select other namespaces
    #[arg(
        long,
        env = "TURNPIKE_PLATFORM_NAMESPACE",
        value_name = "NAME",
        default_value = PLATFORM_NAMESPACE
    )]
    platform_namespace: String,

    /// As given to the controller: AIRoutes of another spec.className are ignored
    #[arg(
        long,
        env = "TURNPIKE_CLASS",
        value_name = "NAME",
        default_value = DEFAULT_CLASS
    )]
    class: String,

    /// Host names that namespaces may claim, as the controller is told. Default: none in a
    /// cluster, * with -f
    #[arg(
        long,
        env = "TURNPIKE_HOSTNAME_POLICY",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    hostname_policy: Vec<HostnamePattern>,

    /// The host that the request is for
    #[arg(long, value_name = "HOST")]
    host: String,

    /// The path of the request
    #[arg(long, value_name = "PATH", default_value = "/v1/chat/completions")]
    path: String,

    /// The model that the request names
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// A header of the request; may be repeated. Its value is never shown
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,

    /// A file with the caller's API key, which is never shown
    #[arg(long, value_name = "FILE", conflicts_with = "consumer")]
    key_file: Option<PathBuf>,

    /// The Consumer that calls, of the namespace that has the host
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,

    /// For people, or for programs
    #[arg(long, value_name = "FORM", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Flags that cannot be meant so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("-f {}: no such directory; name one that holds YAML files", .0.display())]
    NoDirectory(PathBuf),
    #[error("--kubeconfig {} is not a file", .0.display())]
    NoKubeconfig(PathBuf),
    #[error("--path must begin with / and be a path as URLs have it")]
    Path,
    #[error("--header takes NAME=VALUE, with a name and a value that HTTP allows")]
    Header,
    #[error("--key-file {}: {fault}", path.display())]
    KeyFile { path: PathBuf, fault: String },
    #[error("--consumer {0}: there is no such Consumer in the host's namespace")]
    NoConsumer(String),
}

/// Prints the explanation. Exits with 0 if the request would be carried, with 1 if refused.
pub(crate) fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let question = question(&flags)?;
    let source = source::Choice::new(&flags)?;
    let output = flags.output;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let explanation = runtime.block_on(async {
        let world = World::read(&source).await?;
        trial::explain(&world, &question, Timestamp::now().as_second()).await
    })?;
    match output {
        Output::Text => print!("{}", text::of(&explanation)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&explanation)?),
    }
    Ok(match explanation.verdict.is_carried {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Says what the flags mean.
fn question(flags: &Flags) -> Result<Question, Mistake> {
    let mut headers = HeaderMap::new();
    for header in &flags.headers {
        let (name, value) = header.split_once('=').ok_or(Mistake::Header)?;
        let name: HeaderName = name.parse().map_err(|_| Mistake::Header)?;
        let value = HeaderValue::from_str(value).map_err(|_| Mistake::Header)?;
        headers.append(name, value);
    }
    let uri: Uri = flags.path.parse().map_err(|_| Mistake::Path)?;
    if !flags.path.starts_with('/') || uri.authority().is_some() {
        return Err(Mistake::Path);
    }
    let identity = match (&flags.key_file, &flags.consumer) {
        (Some(path), _) => Identity::Key(read_key(path)?),
        (None, Some(name)) => Identity::Consumer(name.clone()),
        (None, None) => Identity::Nobody,
    };
    Ok(Question {
        host: flags.host.clone(),
        path: uri.path().to_owned(),
        model: flags.model.as_deref().unwrap_or_default().into(),
        headers,
        identity,
    })
}

/// Reads a key as a caller would send it; no fault shows any of it.
fn read_key(path: &PathBuf) -> Result<HeaderValue, Mistake> {
    let wrong = |fault: String| Mistake::KeyFile {
        path: path.clone(),
        fault,
    };
    let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let key = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let key = key.strip_suffix(b"\r").unwrap_or(key);
    if key.is_empty() {
        return Err(wrong("there is no key in it".into()));
    }
    let header = [b"Bearer ", key].concat();
    let mut header = HeaderValue::from_bytes(&header)
        .map_err(|_| wrong("what is in it cannot be sent as a header".into()))?;
    header.set_sensitive(true);
    Ok(header)
}
