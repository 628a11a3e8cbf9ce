//! The command line of `turnpike-dataplane`, and what it means.
//!
//! Two steps: [`Flags`] as written, [`Config`] as meant. Nothing below `run`
//! sees a flag or an environment variable.

mod callers;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use http::Uri;
use ipnet::IpNet;

use crate::listen::{Drain, Terms};
use crate::store::Limits;
use crate::store::demand::{Controllers, Trust, TrustError};
use crate::upstream::Addresses;

pub use callers::CallerFlags;

/// Carries requests to AI providers, by what a controller tells.
#[derive(Clone, Debug, Parser)]
#[command(name = "turnpike-dataplane", version)]
pub struct Flags {
    /// Where snapshots come from, such as https://turnpike-controller.turnpike-system.svc:18000;
    /// several are tried in turn
    #[arg(long, env = "TURNPIKE_CONTROLLER", value_name = "URL", required = true, value_delimiter = ',', value_parser = controller_url)]
    pub controller: Vec<Uri>,

    /// The CAs that controllers are trusted by, in PEM: the ConfigMap turnpike-snapshot-ca of the
    /// platform namespace, mounted; read again at each connection
    #[arg(long, env = "TURNPIKE_CONTROLLER_CA", value_name = "FILE")]
    pub controller_ca: Option<PathBuf>,

    /// The service-account token that is shown to controllers, projected for the audience
    /// turnpike-controller; read again at each connection, and only ever sent over TLS
    #[arg(long, env = "TURNPIKE_CONTROLLER_TOKEN_FILE", value_name = "FILE")]
    pub controller_token_file: Option<PathBuf>,

    /// Where callers connect; HTTP/1.1 and cleartext HTTP/2
    #[arg(
        long,
        env = "TURNPIKE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// Where callers connect over TLS, with the certificates that routes and the controller's
    /// --fleet-certificates name; HTTP/1.1 and HTTP/2. Default: nowhere
    #[arg(long, env = "TURNPIKE_LISTEN_TLS", value_name = "ADDR")]
    pub listen_tls: Option<SocketAddr>,

    /// On what terms callers are served
    #[command(flatten)]
    pub callers: CallerFlags,

    /// Where /livez, /readyz and /metrics are answered
    #[arg(
        long,
        env = "TURNPIKE_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090"
    )]
    pub admin: SocketAddr,

    /// The Redis that all data planes count in: redis://HOST, or redis+sentinel://HOST,HOST/PRIMARY
    /// (rediss… for TLS); without one, each counts for itself
    #[arg(long, env = "TURNPIKE_REDIS", value_name = "URL")]
    pub redis: Option<String>,

    /// How long a request waits for a domain or key that is not loaded yet
    #[arg(long, env = "TURNPIKE_LOAD_TIMEOUT", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub load_timeout: Duration,

    /// Domains and keys unused for so long are forgotten, and loaded again when asked for; 0s: never
    #[arg(long, env = "TURNPIKE_IDLE_DOMAIN", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub idle_domain: Duration,

    /// The least recently used domains and keys are forgotten above this, such as 256MiB; 0: no bound
    #[arg(
        long,
        env = "TURNPIKE_STORE_BYTES",
        value_name = "BYTES",
        default_value = "256MiB"
    )]
    pub store_bytes: ByteSize,

    /// Bytes of request bodies and answers that may be held in memory, such as 512MiB; beyond it
    /// requests are refused with 503. Default: 70 % of the container's memory limit, if it has one
    #[arg(long, env = "TURNPIKE_MEMORY_BUDGET", value_name = "BYTES")]
    pub memory_budget: Option<ByteSize>,

    /// Keeps what was loaded on disk, for a restart without a controller; holds secrets, so only the
    /// owner may enter it; made if it is not there
    #[arg(long, env = "TURNPIKE_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Private addresses that providers may have, such as 10.1.0.0/16; public ones need no
    /// leave, those of cloud metadata and of the machine's own link get none
    #[arg(
        long,
        env = "TURNPIKE_ALLOW_PROVIDER_CIDR",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub allow_provider_cidr: Vec<IpNet>,

    /// How long new connections are still taken after SIGTERM, while load balancers learn of the end
    #[arg(long, env = "TURNPIKE_DRAIN_DELAY", value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub drain_delay: Duration,

    /// How long open requests may take to finish after SIGTERM and --drain-delay
    #[arg(long, env = "TURNPIKE_DRAIN", value_name = "DURATION", default_value = "600s", value_parser = duration)]
    pub drain: Duration,
}

/// What a data plane does, but for where its snapshots come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where callers connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where they connect over TLS; `None`: nowhere.
    pub listen_tls: Option<SocketAddr>,
    /// On what terms callers are served.
    pub terms: Terms,
    /// Where health and metrics are answered; port 0 takes a free one.
    pub admin: SocketAddr,
    /// The shared counters; `None`: in memory.
    pub redis: Option<String>,
    /// How long a request waits for what is not loaded yet.
    pub load_timeout: Duration,
    /// How much is kept of what was loaded, and for how long.
    pub limits: Limits,
    /// Bytes of bodies and answers that may be held; `None`: a share of the container's memory.
    pub memory_budget: Option<u64>,
    /// Where what was loaded outlives the process; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// The addresses that providers may have.
    pub provider_addresses: Addresses,
    /// How it ends once told to stop.
    pub drain: Drain,
    /// Names this data plane to people, in the controller's logs and status.
    pub name: String,
}

/// Flags about controllers that contradict each other or what is there.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// TLS without anybody to trust.
    #[error(
        "--controller {0}: name the CAs that it is trusted by with --controller-ca; they are in \
         the ConfigMap turnpike-snapshot-ca of its namespace"
    )]
    NoCa(Uri),
    /// A secret for everybody to read.
    #[error(
        "--controller {0}: a token is never sent without TLS; give https://, or leave \
         --controller-token-file out"
    )]
    TokenInClear(Uri),
    /// A protection that would not be there.
    #[error("--controller {0}: --controller-ca is of no use without TLS; give https://")]
    CaInClear(Uri),
    /// A file that is not fit for use.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Flags {
    /// Says where snapshots come from, after a first look at the files of TLS.
    pub fn controllers(&self) -> Result<Controllers, Mistake> {
        for url in &self.controller {
            let is_https = url.scheme_str() == Some("https");
            if is_https && self.controller_ca.is_none() {
                return Err(Mistake::NoCa(url.clone()));
            }
            if is_https || is_loopback(url) {
                continue;
            }
            if self.controller_token_file.is_some() {
                return Err(Mistake::TokenInClear(url.clone()));
            }
            if self.controller_ca.is_some() {
                return Err(Mistake::CaInClear(url.clone()));
            }
        }
        let (ca, token) = (&self.controller_ca, &self.controller_token_file);
        let trust = Trust::open(ca.clone(), token.clone())?;
        Ok(Controllers::Urls(self.controller.clone(), trust))
    }

    /// Says what they mean, for a data plane of this name.
    pub fn into_config(self, name: String) -> Config {
        let flags = self;
        Config {
            name,
            listen: flags.listen,
            listen_tls: flags.listen_tls,
            terms: flags.callers.into_terms(),
            admin: flags.admin,
            redis: flags.redis,
            load_timeout: flags.load_timeout,
            memory_budget: flags.memory_budget.map(|size| size.0),
            state_dir: flags.state_dir,
            limits: Limits {
                idle: Some(flags.idle_domain).filter(|idle| !idle.is_zero()),
                bytes: Some(flags.store_bytes.0).filter(|bytes| *bytes > 0),
            },
            provider_addresses: Addresses::PublicAnd(flags.allow_provider_cidr.into()),
            drain: Drain {
                delay: flags.drain_delay,
                limit: flags.drain,
            },
        }
    }
}

/// A number of bytes, written `1048576`, `1024KiB`, `1MiB` or, as in Kubernetes, `1Mi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give a whole number of bytes, such as 268435456 or 256MiB".to_owned();
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
        let factor = match unit.trim_start() {
            "" | "B" => 1,
            "KiB" | "Ki" => 1 << 10,
            "MiB" | "Mi" => 1 << 20,
            "GiB" | "Gi" => 1 << 30,
            "kB" | "KB" | "k" => 1_000,
            "MB" | "M" => 1_000_000,
            "GB" | "G" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

/// Reads a controller's address; `host:port` alone means http.
fn controller_url(text: &str) -> Result<Uri, String> {
    let written = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: Uri = written.parse().map_err(|error| format!("{error}"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() => Ok(uri),
        _ => Err("give it as https://HOST:PORT".into()),
    }
}

/// Whether it is surely this machine.
fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Reads `5s`, `10m`, `1h 30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "give it with a unit, such as 5s, 10m or 1h".to_owned())?;
    Duration::try_from(signed).map_err(|_| "it must not be negative".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from([&["turnpike-dataplane"], arguments].concat())
    }

    #[test]
    fn controllers_are_repeated_or_split_by_commas() {
        let flags = flags(&["--controller", "http://a:1,b:2", "--controller", "c:3"]).unwrap();
        let hosts: Vec<_> = flags.controller.iter().filter_map(Uri::host).collect();
        assert_eq!(hosts, ["a", "b", "c"]);
    }

    #[test]
    fn a_mistake_in_flags_exits_with_2() {
        for arguments in [
            &["--controller", "ftp://a:1"][..],
            &[],
            &["--controller", "a:1", "--drain", "10"],
            &["--controller", "a:1", "--listen", "nowhere"],
        ] {
            assert_eq!(
                flags(arguments).unwrap_err().exit_code(),
                2,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn a_token_and_a_ca_are_for_tls_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let (ca, token) = (file("ca", &made.cert.pem()), file("token", "canary"));
        let (ca, token) = (
            ["--controller-ca", ca.as_str()],
            ["--controller-token-file", token.as_str()],
        );
        let mistake = |url: &str, more: &[&str]| {
            let flags = flags(&[&["--controller", url], more].concat()).unwrap();
            flags.controllers().err().map(|mistake| mistake.to_string())
        };
        let told = |mistake: Option<String>, words: &str| {
            let mistake = mistake.expect("a mistake");
            assert!(
                mistake.contains(words) && !mistake.contains("canary"),
                "{mistake}"
            );
        };
        let both = [ca, token].concat();
        assert_eq!(mistake("https://a:1", &both), None);
        told(mistake("https://a:1", &token), "with --controller-ca");
        told(mistake("http://a:1", &token), "never sent without TLS");
        told(mistake("https://b:1,a:1", &both), "never sent without TLS");
        told(mistake("http://a:1", &ca), "of no use without TLS");
        assert_eq!(mistake("a:1", &[]), None);
        for loopback in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert_eq!(mistake(loopback, &both), None, "{loopback}");
        }
        let missing = ["--controller-ca", "/nowhere/at/all"];
        told(mistake("https://a:1", &missing), "turnpike-snapshot-ca");
    }

    #[test]
    fn sizes_have_units_or_are_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("256MiB", 256 << 20),
            ("2Gi", 2 << 30),
            ("10 MB", 10_000_000),
            ("3KiB", 3072),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "1TB!", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_have_defaults_and_zero_means_none() {
        let limits = |arguments: &[&str]| {
            let flags = flags(&[&["--controller", "a:1"], arguments].concat());
            flags.unwrap().into_config("test".into()).limits
        };
        assert_eq!(limits(&[]), Limits::default());
        let none = Limits {
            idle: None,
            bytes: None,
        };
        let zeros = ["--idle-domain", "0s", "--store-bytes", "0"];
        assert_eq!(limits(&zeros), none);
    }

    #[test]
    fn durations_have_units() {
        let arguments = [
            "--controller",
            "a:1",
            "--drain",
            "10m",
            "--drain-delay",
            "5s",
        ];
        let config = flags(&arguments).unwrap().into_config("test".into());
        let expected = Drain {
            delay: Duration::from_secs(5),
            limit: Duration::from_secs(600),
        };
        assert_eq!(config.drain, expected);
    }
}
