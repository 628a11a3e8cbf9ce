//! The command line of `turnpike-dataplane`, and what it means.
//!
//! Two steps: [`Flags`] as written, [`Config`] as meant. Nothing below `run`
//! sees a flag or an environment variable.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use http::Uri;

/// Carries requests to AI providers, by what a controller tells.
#[derive(Clone, Debug, Parser)]
#[command(name = "turnpike-dataplane", version)]
pub struct Flags {
    /// Where snapshots come from, such as http://127.0.0.1:18000; several are tried in turn
    #[arg(long, env = "TURNPIKE_CONTROLLER", value_name = "URL", required = true, value_delimiter = ',', value_parser = controller_url)]
    pub controller: Vec<Uri>,

    /// Where callers connect; HTTP/1.1 and cleartext HTTP/2
    #[arg(
        long,
        env = "TURNPIKE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are answered
    #[arg(
        long,
        env = "TURNPIKE_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090"
    )]
    pub admin: SocketAddr,

    /// The Redis that all data planes count in; without one, each counts for itself
    #[arg(long, env = "TURNPIKE_REDIS", value_name = "URL")]
    pub redis: Option<String>,

    /// How long a request waits for a domain or key that is not loaded yet
    #[arg(long, env = "TURNPIKE_LOAD_TIMEOUT", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub load_timeout: Duration,

    /// How long open requests may take to finish after SIGTERM
    #[arg(long, env = "TURNPIKE_DRAIN", value_name = "DURATION", default_value = "600s", value_parser = duration)]
    pub drain: Duration,
}

/// What a data plane does, but for where its snapshots come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where callers connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where health and metrics are answered; port 0 takes a free one.
    pub admin: SocketAddr,
    /// The shared counters; `None`: in memory.
    pub redis: Option<String>,
    /// How long a request waits for what is not loaded yet.
    pub load_timeout: Duration,
    /// How long open requests may take to finish once told to stop.
    pub drain: Duration,
    /// Names this data plane to people, in the controller's logs and status.
    pub name: String,
}

impl Flags {
    /// Says what they mean, for a data plane of this name.
    pub fn into_config(self, name: String) -> Config {
        let flags = self;
        Config {
            name,
            listen: flags.listen,
            admin: flags.admin,
            redis: flags.redis,
            load_timeout: flags.load_timeout,
            drain: flags.drain,
        }
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
        Some("http") if uri.host().is_some() => Ok(uri),
        Some("https") => Err("the snapshot channel has no TLS yet; use http".into()),
        _ => Err("give it as http://HOST:PORT".into()),
    }
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
            &["--controller", "https://a:1"][..],
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
    fn durations_have_units() {
        let flags = flags(&["--controller", "a:1", "--drain", "10m"]).unwrap();
        assert_eq!(flags.drain, Duration::from_secs(600));
    }
}
