//! The command line of `turnpike-controller`, and what it means.
//!
//! Two steps: [`Flags`] as written, [`Config`] as meant. Nothing below `run`
//! sees a flag or an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use turnpike_snapshot::name::ObjectName;

use self::protection::ProtectionFlags;
pub use self::protection::{Protection, Secured};
use crate::index::hostnames::{HostnamePattern, HostnamePolicy};
use crate::source::kube::Scope;
use crate::status::public_url::PublicUrl;
use crate::trust::AUDIENCE;
pub use turnpike_crds::DEFAULT_CLASS;

mod protection;

/// Where the platform team's own resources live.
pub const PLATFORM_NAMESPACE: &str = "turnpike-system";

/// Reads resources and tells data planes what they need.
#[derive(Clone, Debug, Parser)]
#[command(name = "turnpike-controller", version)]
pub struct Flags {
    /// Which cluster; without it that of $KUBECONFIG or ~/.kube/config, or the pod's own
    #[arg(
        long,
        env = "TURNPIKE_KUBECONFIG",
        value_name = "PATH",
        conflicts_with = "files"
    )]
    pub kubeconfig: Option<PathBuf>,

    /// Read resources from the YAML files of a directory instead of a cluster
    #[arg(
        short = 'f',
        long = "files",
        env = "TURNPIKE_FILES",
        value_name = "DIR"
    )]
    pub files: Option<PathBuf>,

    /// Where data planes connect
    #[arg(
        long,
        env = "TURNPIKE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:18000"
    )]
    pub listen: SocketAddr,

    #[command(flatten)]
    pub protection: ProtectionFlags,

    /// Where other replicas of this controller reach --listen; they report to the one
    /// that writes status [default: --listen]
    #[arg(long, env = "TURNPIKE_ADVERTISE", value_name = "ADDR")]
    pub advertise: Option<String>,

    /// Where /livez, /readyz and /metrics are answered
    #[arg(
        long,
        env = "TURNPIKE_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9091"
    )]
    pub admin: SocketAddr,

    /// The namespace whose objects may select other namespaces
    #[arg(
        long,
        env = "TURNPIKE_PLATFORM_NAMESPACE",
        value_name = "NAME",
        default_value = PLATFORM_NAMESPACE
    )]
    pub platform_namespace: String,

    /// Serve the AIRoutes of this spec.className alone; all others belong to other
    /// installations and are ignored
    #[arg(
        long,
        env = "TURNPIKE_CLASS",
        value_name = "NAME",
        default_value = DEFAULT_CLASS
    )]
    pub class: String,

    /// Read these namespaces and the platform's alone, by rights in each of them; default: all
    #[arg(
        long,
        env = "TURNPIKE_NAMESPACES",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "files"
    )]
    pub namespaces: Vec<String>,

    /// Host names that namespaces may claim besides what the annotation
    /// turnpike.dev/allowed-hostnames on a Namespace allows, such as
    /// {namespace}.maas.example.com; * lets whoever is first have any name. Default: none in a
    /// cluster, * with -f
    #[arg(
        long,
        env = "TURNPIKE_HOSTNAME_POLICY",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub hostname_policy: Vec<HostnamePattern>,

    /// Secrets of type kubernetes.io/tls with the label turnpike.dev/credential, each NAME of the
    /// platform namespace or NAMESPACE/NAME: the one that names a host best is shown where its
    /// route has no certificate of its own for it
    #[arg(
        long,
        env = "TURNPIKE_FLEET_CERTIFICATES",
        value_name = "SECRET",
        value_delimiter = ','
    )]
    pub fleet_certificates: Vec<String>,

    /// How clients reach hosts, such as https://{host}: routes tell it as status.hostnames[].url,
    /// which is left out without it
    #[arg(long, env = "TURNPIKE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Let a data plane that connects lose more than half (and over 100) of what it
    /// holds at once, instead of keeping that for 10 minutes
    #[arg(long, env = "TURNPIKE_ACCEPT_MASS_DELETE")]
    pub accept_mass_delete: bool,
}

/// What a controller of its own process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where resources come from.
    pub source: Source,
    /// Where data planes connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How those who connect there are checked, and how they check this controller.
    pub protection: Protection,
    /// Where other replicas reach that; `None`: at the same address.
    pub advertise: Option<String>,
    /// Where health and metrics are answered; port 0 takes a free one.
    pub admin: SocketAddr,
    /// The namespace whose objects may select other namespaces.
    pub platform_namespace: String,
    /// Of the routes that are served.
    pub class: String,
    /// Which hosts namespaces may claim.
    pub hostname_policy: HostnamePolicy,
    /// The Secrets of the certificates for hosts without one of their own.
    pub fleet_certificates: Vec<ObjectName>,
    /// How clients reach hosts, for status.
    pub public_url: Option<PublicUrl>,
    /// Whether mass deletions go through unasked.
    pub accept_mass_delete: bool,
}

/// Where resources come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A cluster.
    Cluster {
        /// `None`: the one that is found around this process.
        kubeconfig: Option<PathBuf>,
        /// What of it is read.
        scope: Scope,
    },
    /// A directory of YAML files.
    Files(PathBuf),
}

/// Flags that contradict each other or what is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error(
        "--listen {0} can be reached from other machines, and without a cluster the snapshot \
         port is not protected; listen on 127.0.0.1, or add --insecure-snapshots if the network is"
    )]
    Exposed(SocketAddr),
    #[error(
        "--plaintext with --listen {0}: snapshots hold provider keys, and would go over the \
         network unprotected; remove --plaintext, or listen on 127.0.0.1"
    )]
    Plaintext(SocketAddr),
    #[error(
        "--insecure-snapshots is for -f; of a cluster the snapshot port is protected: remove it"
    )]
    Insecure,
    #[error("--token-file {0} is not a file; project a token for the audience {AUDIENCE} there")]
    NoTokenFile(PathBuf),
    #[error("--advertise {0} is not HOST:PORT")]
    NoAddress(String),
    #[error("--fleet-certificates {0:?} is neither NAME nor NAMESPACE/NAME of a Secret")]
    NoSecret(String),
    #[error("--namespaces {0:?} is no name of a namespace")]
    NoNamespace(String),
    #[error(
        "--class {0:?} is no name; use lower-case letters, digits and dashes, as in spec.className"
    )]
    NoClass(String),
    #[error("-f {0} is not a directory")]
    NoDirectory(PathBuf),
    #[error("--kubeconfig {0} is not a file")]
    NoKubeconfig(PathBuf),
}

impl Flags {
    /// Says what they mean.
    pub fn into_config(self) -> Result<Config, Mistake> {
        if let Some(advertise) = self.advertise.as_ref().filter(|text| !is_address(text)) {
            return Err(Mistake::NoAddress(advertise.clone()));
        }
        if let Some(name) = self.namespaces.iter().find(|name| !is_label(name)) {
            return Err(Mistake::NoNamespace(name.clone()));
        }
        if !is_label(&self.class) {
            return Err(Mistake::NoClass(self.class));
        }
        let certificates = self.fleet_certificates.iter();
        let certificates = certificates
            .map(|text| secret_name(text, &self.platform_namespace))
            .collect::<Result<_, _>>()?;
        let scope = scope(self.namespaces, &self.platform_namespace);
        let source = match (self.files, self.kubeconfig) {
            (Some(directory), _) if !directory.is_dir() => {
                return Err(Mistake::NoDirectory(directory));
            }
            (Some(directory), _) => Source::Files(directory),
            (None, Some(file)) if !file.exists() => return Err(Mistake::NoKubeconfig(file)),
            (None, kubeconfig) => Source::Cluster { kubeconfig, scope },
        };
        let protection = match source {
            Source::Files(_) => self.protection.of_files(self.listen)?,
            Source::Cluster { .. } => self
                .protection
                .of_cluster(self.listen, &self.platform_namespace)?,
        };
        let hostname_policy = match (&source, self.hostname_policy.is_empty()) {
            (Source::Files(_), true) => HostnamePolicy::open(),
            _ => HostnamePolicy::new(self.hostname_policy),
        };
        Ok(Config {
            source,
            hostname_policy,
            fleet_certificates: certificates,
            protection,
            listen: self.listen,
            advertise: self.advertise,
            admin: self.admin,
            platform_namespace: self.platform_namespace,
            class: self.class,
            public_url: self.public_url,
            accept_mass_delete: self.accept_mass_delete,
        })
    }
}

/// What is read: the platform's own namespace always.
fn scope(namespaces: Vec<String>, platform_namespace: &str) -> Scope {
    if namespaces.is_empty() {
        return Scope::All;
    }
    let platform = platform_namespace.to_owned();
    Scope::Namespaces(namespaces.into_iter().chain([platform]).collect())
}

fn secret_name(text: &str, platform_namespace: &str) -> Result<ObjectName, Mistake> {
    let (namespace, name) = text.split_once('/').unwrap_or((platform_namespace, text));
    let is_name = !name.is_empty() && !name.contains('/') && is_label(namespace);
    is_name
        .then(|| ObjectName::new(namespace, name))
        .ok_or_else(|| Mistake::NoSecret(text.to_owned()))
}

/// Source: RFC 1123, labels, as Kubernetes names namespaces and `className` asks for.
fn is_label(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= 63
        && bytes.first().is_some_and(|byte| is_inner(*byte))
        && bytes.last().is_some_and(|byte| is_inner(*byte))
        && bytes.iter().all(|byte| is_inner(*byte) || *byte == b'-')
}

/// Whether others could dial it: a host, which may be a name, and a port.
fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| {
        let is_host = !host.is_empty() && !host.contains(['@', '/', ' ']);
        is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, Mistake> {
        let flags = [&["turnpike-controller"], arguments].concat();
        Flags::try_parse_from(flags).unwrap().into_config()
    }

    #[test]
    fn without_flags_the_surrounding_cluster_is_served_on_loopback() {
        let config = config(&[]).unwrap();
        let expected = Source::Cluster {
            kubeconfig: None,
            scope: Scope::All,
        };
        assert_eq!(config.source, expected);
        assert!(config.listen.ip().is_loopback() && config.admin.ip().is_loopback());
        assert!(matches!(config.protection, Protection::Secured(_)));
    }

    #[test]
    fn replicas_are_told_an_address_that_can_be_dialled() {
        for address in [
            "10.0.0.7:18000",
            "controller-0.turnpike.svc:18000",
            "[::1]:1",
        ] {
            let config = config(&["--advertise", address]).unwrap();
            assert_eq!(config.advertise.as_deref(), Some(address));
        }
        for address in ["10.0.0.7", ":18000", "a@b:1", "http://a:1/", "a:0"] {
            let mistake = config(&["--advertise", address]).unwrap_err();
            assert_eq!(mistake, Mistake::NoAddress(address.into()));
        }
    }

    #[test]
    fn what_a_flag_names_must_be_there() {
        let nowhere = PathBuf::from("/nowhere/at/all");
        let mistake = config(&["-f", "/nowhere/at/all"]).unwrap_err();
        assert_eq!(mistake, Mistake::NoDirectory(nowhere.clone()));
        let mistake = config(&["--kubeconfig", "/nowhere/at/all"]).unwrap_err();
        assert_eq!(mistake, Mistake::NoKubeconfig(nowhere));
    }

    #[test]
    fn how_clients_reach_hosts_is_an_address_with_a_place_for_the_host() {
        let url = config(&["--public-url", "https://{host}"])
            .unwrap()
            .public_url;
        assert!(url.is_some() && config(&[]).unwrap().public_url.is_none());
        let flags = ["turnpike-controller", "--public-url", "https://a.test"];
        assert_eq!(Flags::try_parse_from(flags).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn certificates_of_the_fleet_are_the_platforms_unless_they_say_whose() {
        let arguments = [
            "--fleet-certificates",
            "maas,certs/wild",
            "--platform-namespace",
            "p",
        ];
        let expected = [
            ObjectName::new("p", "maas"),
            ObjectName::new("certs", "wild"),
        ];
        assert_eq!(config(&arguments).unwrap().fleet_certificates, expected);
        for text in ["a/b/c", "/b", "a/", "A/b"] {
            let mistake = config(&["--fleet-certificates", text]).unwrap_err();
            assert_eq!(mistake, Mistake::NoSecret(text.into()));
        }
    }

    #[test]
    fn a_cluster_and_files_exclude_each_other() {
        for of_a_cluster in ["--kubeconfig", "--namespaces"] {
            let flags = ["turnpike-controller", "-f", ".", of_a_cluster, "x"];
            assert_eq!(Flags::try_parse_from(flags).unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn a_class_is_a_name() {
        assert_eq!(config(&[]).unwrap().class, "turnpike");
        assert_eq!(config(&["--class", "blue"]).unwrap().class, "blue");
        let mistake = config(&["--class", "Blue"]).unwrap_err();
        assert_eq!(mistake, Mistake::NoClass("Blue".into()));
    }

    #[test]
    fn the_platforms_namespace_is_always_read() {
        let arguments = ["--namespaces", "b,a", "--platform-namespace", "p"];
        let names = ["a", "b", "p"].map(str::to_owned);
        let expected = Source::Cluster {
            kubeconfig: None,
            scope: Scope::Namespaces(names.into()),
        };
        assert_eq!(config(&arguments).unwrap().source, expected);
        let mistake = config(&["--namespaces", "a,B"]).unwrap_err();
        assert_eq!(mistake, Mistake::NoNamespace("B".into()));
    }
}
