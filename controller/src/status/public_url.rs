//! How clients reach a host, as whoever runs the installation says it: a controller
//! sees neither the load balancer nor its certificates.

use std::str::FromStr;

use hyper::Uri;

/// Stands for the hostname.
const HOST: &str = "{host}";

/// An address with a place for the hostname: `https://{host}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    before: String,
    after: String,
}

/// The text is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address with a place for the host; write https://{{host}} or http://{{host}}:8080"
)]
pub struct PublicUrlError(String);

impl PublicUrl {
    /// Gives the address of a hostname; `None`: a wildcard has none.
    pub fn of(&self, hostname: &str) -> Option<String> {
        let is_exact = !hostname.starts_with('*');
        is_exact.then(|| format!("{}{hostname}{}", self.before, self.after))
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let fault = || PublicUrlError(text.to_owned());
        let (before, after) = text.split_once(HOST).ok_or_else(fault)?;
        let sample: Uri = format!("{before}a.test{after}")
            .parse()
            .map_err(|_| fault())?;
        let is_web = matches!(sample.scheme_str(), Some("http" | "https"));
        let is_host = sample.host() == Some("a.test") && before.ends_with("://");
        let port = after.split('/').next().unwrap_or_default();
        let has_port = port.is_empty() || sample.port_u16().is_some();
        if !(is_web && is_host && has_port) || text.len() > 1024 {
            return Err(fault());
        }
        Ok(Self {
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_takes_its_place_and_a_wildcard_none() {
        let plain: PublicUrl = "https://{host}".parse().unwrap();
        assert_eq!(plain.of("a.test").as_deref(), Some("https://a.test"));
        assert_eq!((plain.of("*.a.test"), plain.of("*")), (None, None));
        let port: PublicUrl = "http://{host}:8080/".parse().unwrap();
        assert_eq!(port.of("a.test").as_deref(), Some("http://a.test:8080/"));
    }

    #[test]
    fn what_is_no_address_of_a_host_is_refused_with_an_example() {
        for text in [
            "",
            "https://a.test",
            "{host}",
            "ftp://{host}",
            "https://{host}:99999",
            "https://{host}.a.test",
            "https://a.test/{host}",
            "https://{host}{host}",
        ] {
            let error = text.parse::<PublicUrl>().unwrap_err();
            assert!(error.to_string().contains("https://{host}"), "{error}");
        }
    }
}
