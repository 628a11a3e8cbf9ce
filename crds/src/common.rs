//! Small types that several resources share: references, durations, amounts.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One value of a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The Secret's name. In a cluster it needs the label `turnpike.dev/credential: "true"`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// One or all values of a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// The Secret's name. In a cluster it needs the label `turnpike.dev/credential: "true"`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within the Secret's data; without it, every value counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// A length of time such as `30s`, `1m30s` or `500ms`.
///
/// Source: Gateway API, GEP-2257 "Gateway API Duration Format".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

/// A count such as `60`, `"100k"` or `"50M"` (decimal multiples: k, M, G).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

/// A port of a Service: its number, or its name.
///
/// A number in quotes is the number: no port's name is made of digits alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServicePort {
    /// From 1 to 65535.
    Number(u16),
    /// As the Service names it.
    Name(String),
}

/// The schema of a moment such as `2027-01-01T00:00:00Z`, without the forms that an
/// API server takes for `date-time` and that cannot be read here.
///
/// Source: RFC 3339, section 5.6.
pub(crate) struct Moment;

/// The schema of a host name that a route may claim.
///
/// Source: RFC 1123, section 2.1; Gateway API, `Hostname`.
pub(crate) struct Hostname;

/// The schema of a base URL.
///
/// Source: RFC 3986, section 3.
pub(crate) struct BaseUrl;

/// The schema of the URL of a proxy.
///
/// Source: RFC 3986, section 3.
pub(crate) struct ProxyUrl;

/// The schema of a name that certificates are for.
///
/// Source: RFC 6066, section 3.
pub(crate) struct ServerName;

/// The schema of the path that a base URL may end with.
///
/// Source: RFC 3986, section 3.3.
pub(crate) struct BasePath;

/// The text is no duration or no count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a duration.
    #[error("{0:?} is not a duration such as 30s, 1m30s or 500ms")]
    Duration(String),
    /// Not a count.
    #[error("{0:?} is not a count such as 60, 100k or 50M")]
    Count(String),
}

const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// Up to 15 digits, multiples included: exact in every store and script.
const COUNT_PATTERN: &str =
    "^([1-9][0-9]{0,14}|[1-9][0-9]{0,11}k|[1-9][0-9]{0,8}M|[1-9][0-9]{0,5}G)$";
const MAX_COUNT: u64 = 999_999_999_999_999;
const MOMENT_PATTERN: &str = concat!(
    r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?",
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
);

const HOSTNAME_RULE: &str = r"self.matches('^([*]|([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$')";
const HOSTNAME_MESSAGE: &str = "write a host name in lower case, such as api.example.com or *.example.com, or *; \
                                no scheme, port or path";
const URL_RULE: &str = r"self.matches('^https?://[^ \\t\\r\\n/?#@]+(/[^ \\t\\r\\n?#]*)?$')";
const URL_MESSAGE: &str =
    "write it as https://HOST, with a port and a path if need be, without user, query and fragment";

/// A name within the cluster: what is behind it are pods, which only `serviceRef` follows.
const IN_CLUSTER_RULE: &str =
    r"!self.matches('(?i)^https?://[^/]*[.]svc([.]cluster[.]local)?[.]?(:[0-9]+)?(/.*)?$')";
const IN_CLUSTER_MESSAGE: &str = "this is a Service of the cluster: use serviceRef, which follows its ready pods and \
                                  balances requests over them, with an AIProvider in the Service's namespace";
const PROXY_RULE: &str = r"self.matches('^http://[^ \\t\\r\\n/?#@]+:[0-9]{1,5}/?$')";
const PROXY_MESSAGE: &str = "write it as http://HOST:PORT: a proxy that is spoken to in the clear and asked to CONNECT; its \
                             user goes into the Secret of secretRef";
const SERVER_NAME_RULE: &str =
    r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
const SERVER_NAME_MESSAGE: &str =
    "write a host name in lower case, such as api.example.com; no wildcard, scheme or port";
const PATH_PATTERN: &str = "^(/[^ \\t\\r\\n/?#]+)*/?$";
/// Source: Kubernetes, `IsValidPortName` (RFC 6335, section 5.1); or digits.
const SERVICE_PORT_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

impl FromStr for Duration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = || ParseError::Duration(text.to_owned());
        let mut rest = text;
        let mut total = time::Duration::ZERO;
        if rest.is_empty() {
            return Err(fault());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
            let number: u64 = rest[..digits].parse().map_err(|_| fault())?;
            let unit_end = rest[digits..]
                .find(|c: char| c.is_ascii_digit())
                .map_or(rest.len(), |at| digits + at);
            let millis = match &rest[digits..unit_end] {
                "h" => 3_600_000,
                "m" => 60_000,
                "s" => 1000,
                "ms" => 1,
                _ => return Err(fault()),
            };
            let part = number.checked_mul(millis).ok_or_else(fault)?;
            total = total
                .checked_add(time::Duration::from_millis(part))
                .ok_or_else(fault)?;
            rest = &rest[unit_end..];
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
        if millis == 0 {
            return f.write_str("0s");
        }
        let mut rest = millis;
        for (unit, size) in units {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Count {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = || ParseError::Count(text.to_owned());
        let (digits, factor) = match text.as_bytes().last() {
            Some(b'k') => (&text[..text.len() - 1], 1000),
            Some(b'M') => (&text[..text.len() - 1], 1_000_000),
            Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
            _ => (text, 1),
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(fault());
        }
        let number: u64 = digits.parse().map_err(|_| fault())?;
        number.checked_mul(factor).map(Self).ok_or_else(fault)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 32, "pattern": DURATION_PATTERN})
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 35, "pattern": MOMENT_PATTERN})
    }
}

impl JsonSchema for Hostname {
    fn schema_name() -> Cow<'static, str> {
        "Hostname".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 253,
            "x-kubernetes-validations": [{"rule": HOSTNAME_RULE, "message": HOSTNAME_MESSAGE}],
        })
    }
}

impl JsonSchema for BaseUrl {
    fn schema_name() -> Cow<'static, str> {
        "BaseUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 2048,
            "x-kubernetes-validations": [
                {"rule": URL_RULE, "message": URL_MESSAGE},
                {"rule": IN_CLUSTER_RULE, "message": IN_CLUSTER_MESSAGE},
            ],
        })
    }
}

impl JsonSchema for ProxyUrl {
    fn schema_name() -> Cow<'static, str> {
        "ProxyUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 1024,
            "x-kubernetes-validations": [{"rule": PROXY_RULE, "message": PROXY_MESSAGE}],
        })
    }
}

impl JsonSchema for ServerName {
    fn schema_name() -> Cow<'static, str> {
        "ServerName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 253,
            "x-kubernetes-validations": [
                {"rule": SERVER_NAME_RULE, "message": SERVER_NAME_MESSAGE},
            ],
        })
    }
}

impl JsonSchema for BasePath {
    fn schema_name() -> Cow<'static, str> {
        "BasePath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 1024, "pattern": PATH_PATTERN})
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServicePort::Number(number) => write!(f, "{number}"),
            ServicePort::Name(name) => f.write_str(name),
        }
    }
}

impl Serialize for ServicePort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ServicePort::Number(number) => serializer.serialize_u16(*number),
            ServicePort::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for ServicePort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ServicePort;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the number or the name of a Service's port")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ServicePort, E> {
                u16::try_from(number)
                    .map(ServicePort::Number)
                    .map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ServicePort, E> {
                u16::try_from(number)
                    .map(ServicePort::Number)
                    .map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ServicePort, E> {
                Ok(match text.parse() {
                    Ok(number) => ServicePort::Number(number),
                    Err(_) => ServicePort::Name(text.to_owned()),
                })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ServicePort {
    fn schema_name() -> Cow<'static, str> {
        "ServicePort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": 65535,
            "maxLength": 15,
            "pattern": SERVICE_PORT_PATTERN,
        })
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a count such as 60, 100k or 50M")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                u64::try_from(number).map(Count).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Count, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": MAX_COUNT,
            "maxLength": 16,
            "pattern": COUNT_PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(text: &str) -> Option<u128> {
        text.parse::<Duration>()
            .ok()
            .map(|duration| duration.0.as_millis())
    }

    #[test]
    fn durations_are_read_as_gateway_api_writes_them() {
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("0s"), Some(0));
        for text in [
            "",
            "30",
            "s",
            "1d",
            "-1s",
            "1.5s",
            "1s ",
            "99999999999999999999h",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn counts_are_read_with_and_without_a_multiple() {
        assert_eq!("60".parse(), Ok(Count(60)));
        assert_eq!("100k".parse(), Ok(Count(100_000)));
        assert_eq!("50M".parse(), Ok(Count(50_000_000)));
        for text in ["", "k", "-1", "1.5k", "1K", "99999999999999999999"] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_is_a_number_or_a_name() {
        let port = |json: &str| serde_json::from_str::<ServicePort>(json).ok();
        assert_eq!(port("8000"), Some(ServicePort::Number(8000)));
        assert_eq!(port("\"8000\""), Some(ServicePort::Number(8000)));
        assert_eq!(port("\"http\""), Some(ServicePort::Name("http".into())));
        assert_eq!(port("65536"), None);
        for text in ["8000", "\"http\""] {
            let written = serde_json::to_string(&port(text).unwrap()).unwrap();
            assert_eq!(written, text);
        }
    }

    proptest! {
        #[test]
        fn written_durations_are_read_back(millis in 0..10_000_000_000_u64) {
            let duration = Duration(time::Duration::from_millis(millis));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
