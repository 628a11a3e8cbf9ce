//! Flags of the snapshot port's protection, and what they mean: TLS and tokens in a
//! cluster, nothing with files.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::Mistake;
use crate::trust::token::Account;

/// As written.
#[derive(Clone, Debug, Args)]
pub struct ProtectionFlags {
    /// Serve snapshots without TLS and to whoever connects; only where --listen cannot be
    /// reached from other machines
    #[arg(long, env = "TURNPIKE_PLAINTEXT")]
    pub plaintext: bool,

    /// With -f: let --listen be reachable from other machines, although snapshots hold
    /// provider keys and the port has neither encryption nor authentication
    #[arg(long, env = "TURNPIKE_INSECURE_SNAPSHOTS")]
    pub insecure_snapshots: bool,

    /// The Secret in the platform namespace that keeps the CA of the snapshot port, and the
    /// ConfigMap that data planes trust by; both are made if they are not there
    #[arg(
        long,
        env = "TURNPIKE_TLS_SECRET",
        value_name = "NAME",
        default_value = "turnpike-snapshot-ca",
        conflicts_with = "files"
    )]
    pub tls_secret: String,

    /// The Service that data planes reach this controller by, in the platform namespace
    #[arg(
        long,
        env = "TURNPIKE_SERVICE_NAME",
        value_name = "NAME",
        default_value = "turnpike-controller",
        conflicts_with = "files"
    )]
    pub service_name: String,

    /// A token of this controller's own account for the audience turnpike-controller, shown to
    /// the replica that writes status; read at each connection
    #[arg(
        long,
        env = "TURNPIKE_TOKEN_FILE",
        value_name = "PATH",
        conflicts_with = "files"
    )]
    pub token_file: Option<PathBuf>,

    /// Service accounts whose tokens get snapshots [default: turnpike-dataplane in the platform
    /// namespace]
    #[arg(
        long,
        env = "TURNPIKE_DATAPLANE_ACCOUNT",
        value_name = "NAMESPACE/NAME",
        value_delimiter = ',',
        conflicts_with = "files"
    )]
    pub dataplane_account: Vec<Account>,

    /// Service accounts of this controller's replicas [default: turnpike-controller in the
    /// platform namespace]
    #[arg(
        long,
        env = "TURNPIKE_CONTROLLER_ACCOUNT",
        value_name = "NAMESPACE/NAME",
        value_delimiter = ',',
        conflicts_with = "files"
    )]
    pub controller_account: Vec<Account>,
}

/// As meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// None: whoever connects is served.
    Plaintext,
    /// TLS, and tokens that the API server has reviewed.
    Secured(Secured),
}

/// Who is let in, and by which names this controller is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// Of the Secret and the ConfigMap of the CA.
    pub tls_secret: String,
    /// Of the Service.
    pub service_name: String,
    /// With this controller's own token; `None`: other replicas will refuse it.
    pub token_file: Option<PathBuf>,
    /// Who gets snapshots.
    pub data_planes: Vec<Account>,
    /// Who may report to the leader.
    pub controllers: Vec<Account>,
}

impl ProtectionFlags {
    pub(super) fn of_files(&self, listen: SocketAddr) -> Result<Protection, Mistake> {
        match listen.ip().is_loopback() || self.insecure_snapshots {
            true => Ok(Protection::Plaintext),
            false => Err(Mistake::Exposed(listen)),
        }
    }

    pub(super) fn of_cluster(
        self,
        listen: SocketAddr,
        platform_namespace: &str,
    ) -> Result<Protection, Mistake> {
        if self.insecure_snapshots {
            return Err(Mistake::Insecure);
        }
        match (self.plaintext, listen.ip().is_loopback()) {
            (true, true) => return Ok(Protection::Plaintext),
            (true, false) => return Err(Mistake::Plaintext(listen)),
            (false, _) => {}
        }
        if let Some(file) = self.token_file.as_ref().filter(|file| !file.is_file()) {
            return Err(Mistake::NoTokenFile(file.clone()));
        }
        let or_default = |accounts: Vec<Account>, name: &str| match accounts.is_empty() {
            true => vec![Account {
                namespace: platform_namespace.to_owned(),
                name: name.to_owned(),
            }],
            false => accounts,
        };
        Ok(Protection::Secured(Secured {
            tls_secret: self.tls_secret,
            service_name: self.service_name,
            token_file: self.token_file,
            data_planes: or_default(self.dataplane_account, "turnpike-dataplane"),
            controllers: or_default(self.controller_account, "turnpike-controller"),
        }))
    }
}

impl Secured {
    /// The host names and addresses that this controller is reached by; `advertised` is
    /// `HOST:PORT`.
    pub fn names(&self, namespace: &str, advertised: &str) -> Vec<String> {
        let service = &self.service_name;
        let mut names = vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
        ];
        let host = advertised
            .rsplit_once(':')
            .map_or(advertised, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if !names.iter().any(|name| name == host) {
            names.push(host.to_owned());
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Config, Flags};

    const EXPOSED: &str = "0.0.0.0:18000";

    fn protection(arguments: &[&str]) -> Result<Protection, Mistake> {
        let flags = [&["turnpike-controller"], arguments].concat();
        let config = Flags::try_parse_from(flags).unwrap().into_config();
        config.map(|config: Config| config.protection)
    }

    fn exposed() -> SocketAddr {
        EXPOSED.parse().unwrap()
    }

    #[test]
    fn a_cluster_is_protected_unless_told_otherwise_on_loopback() {
        let secured = |secured: Protection| matches!(secured, Protection::Secured(_));
        assert!(secured(protection(&["--listen", EXPOSED]).unwrap()));
        assert_eq!(protection(&["--plaintext"]), Ok(Protection::Plaintext));
        assert_eq!(
            protection(&["--plaintext", "--listen", EXPOSED]),
            Err(Mistake::Plaintext(exposed()))
        );
        assert_eq!(
            protection(&["--insecure-snapshots", "--listen", EXPOSED]),
            Err(Mistake::Insecure)
        );
    }

    #[test]
    fn files_are_served_in_the_clear_and_exposed_only_if_allowed() {
        assert_eq!(protection(&["-f", "."]), Ok(Protection::Plaintext));
        assert_eq!(
            protection(&["-f", ".", "--plaintext", "--listen", EXPOSED]),
            Err(Mistake::Exposed(exposed()))
        );
        let allowed = ["-f", ".", "--insecure-snapshots", "--listen", EXPOSED];
        assert_eq!(protection(&allowed), Ok(Protection::Plaintext));
        let flags = ["turnpike-controller", "-f", ".", "--tls-secret", "x"];
        assert_eq!(Flags::try_parse_from(flags).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn accounts_are_those_of_the_platform_namespace_or_those_named() {
        let Protection::Secured(secured) = protection(&["--platform-namespace", "ai"]).unwrap()
        else {
            panic!("not secured");
        };
        assert_eq!(
            secured.data_planes,
            ["ai/turnpike-dataplane".parse().unwrap()]
        );
        assert_eq!(
            secured.controllers,
            ["ai/turnpike-controller".parse().unwrap()]
        );
        let Protection::Secured(secured) = protection(&["--dataplane-account", "a/x,b/y"]).unwrap()
        else {
            panic!("not secured");
        };
        assert_eq!(secured.data_planes.len(), 2);
        let flags = ["turnpike-controller", "--dataplane-account", "x"];
        assert_eq!(Flags::try_parse_from(flags).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_token_file_must_be_there() {
        let nowhere = PathBuf::from("/nowhere/at/all");
        assert_eq!(
            protection(&["--token-file", "/nowhere/at/all"]),
            Err(Mistake::NoTokenFile(nowhere))
        );
    }

    #[test]
    fn a_controller_has_the_names_of_its_service_and_its_own() {
        let Protection::Secured(secured) = protection(&[]).unwrap() else {
            panic!("not secured");
        };
        assert_eq!(
            secured.names("ns", "10.0.0.7:18000"),
            [
                "turnpike-controller",
                "turnpike-controller.ns",
                "turnpike-controller.ns.svc",
                "10.0.0.7"
            ]
        );
        assert_eq!(secured.names("ns", "[::1]:1").last().unwrap(), "::1");
        let own = secured.names("ns", "turnpike-controller.ns.svc:18000");
        assert_eq!(own.len(), 3);
    }
}
