//! The flags about callers, which every command with a data plane in it has.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::duration;
use crate::arrival::Forwarders;
use crate::listen::Terms;

/// On what terms callers are served, as written.
#[derive(Args, Clone, Debug)]
pub struct CallerFlags {
    /// Proxies in front that are believed when they say whom they were asked by, in X-Forwarded-For or
    /// Forwarded: how many there are, such as 1, or their addresses, such as 10.0.0.0/8,fd00::/8.
    /// Default: none, and the headers are not read
    #[arg(long, env = "TURNPIKE_TRUSTED_FORWARDERS", value_name = "COUNT|CIDR,…")]
    pub trusted_forwarders: Option<Forwarders>,

    /// Load balancers whose connections begin with a header of the PROXY protocol (1 or 2), such as
    /// 10.0.0.0/8; without one, their connections are closed. Nobody else's header is read
    #[arg(
        long,
        env = "TURNPIKE_PROXY_PROTOCOL",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub proxy_protocol: Vec<IpNet>,

    /// Open connections of one address (IPv6: its /64), but for trusted forwarders; more are closed.
    /// Many callers may share one behind a NAT or a load balancer; 0: no bound
    #[arg(
        long,
        env = "TURNPIKE_CONNECTIONS_PER_ADDRESS",
        value_name = "COUNT",
        default_value_t = 20_000
    )]
    pub connections_per_address: usize,

    /// Requests at a time on one connection over HTTP/2; more wait at the caller
    #[arg(long, env = "TURNPIKE_STREAMS_PER_CONNECTION", value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub streams_per_connection: u32,

    /// How long a caller may take nothing of an answer before its stream is cut; 0s: as long as it likes
    #[arg(long, env = "TURNPIKE_CLIENT_WRITE_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub client_write_timeout: Duration,
}

impl CallerFlags {
    /// Says what they mean.
    pub fn into_terms(self) -> Terms {
        Terms {
            forwarders: self.trusted_forwarders.unwrap_or_default(),
            proxied: self.proxy_protocol.into(),
            connections_per_address: Some(self.connections_per_address).filter(|count| *count > 0),
            streams_per_connection: self.streams_per_connection,
            client_write: Some(self.client_write_timeout).filter(|limit| !limit.is_zero()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        callers: CallerFlags,
    }

    fn terms(arguments: &[&str]) -> Result<Terms, clap::Error> {
        let command = Command::try_parse_from([&["test"], arguments].concat())?;
        Ok(command.callers.into_terms())
    }

    #[test]
    fn without_flags_the_terms_are_the_default_ones() {
        assert_eq!(terms(&[]).unwrap(), Terms::default());
    }

    #[test]
    fn flags_become_terms() {
        let flags = [
            "--trusted-forwarders=10.0.0.0/8,::1",
            "--proxy-protocol=10.0.0.0/8,10.9.0.0/16",
            "--connections-per-address=0",
            "--streams-per-connection=7",
            "--client-write-timeout=0s",
        ];
        let networks = |list: &[&str]| list.iter().map(|one| one.parse().unwrap()).collect();
        let expected = Terms {
            forwarders: Forwarders::Networks(networks(&["10.0.0.0/8", "::1/128"])),
            proxied: networks(&["10.0.0.0/8", "10.9.0.0/16"]),
            connections_per_address: None,
            streams_per_connection: 7,
            client_write: None,
        };
        assert_eq!(terms(&flags).unwrap(), expected);
        let count = terms(&["--trusted-forwarders=2"]).unwrap();
        assert_eq!(count.forwarders, Forwarders::Count(2));
    }

    #[test]
    fn flags_that_say_nothing_are_refused() {
        for flag in [
            "--trusted-forwarders=0",
            "--trusted-forwarders=proxy",
            "--proxy-protocol=10.0.0.1",
            "--proxy-protocol=yes",
            "--streams-per-connection=0",
            "--client-write-timeout=60",
            "--connections-per-address=-1",
        ] {
            assert!(terms(&[flag]).is_err(), "{flag}");
        }
    }
}
