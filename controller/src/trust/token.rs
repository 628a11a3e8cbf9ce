//! What a service-account token says of itself; pure. Nothing of it is believed before
//! the API server has reviewed it: it tells early what cannot work, and when it ends.
//!
//! Source: RFC 7519; the subject as Kubernetes writes it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::trust::moment::Moment;

/// Longer ones are none: those of Kubernetes have about 1 KiB.
const MAX_BYTES: usize = 16 * 1024;
/// A namespace has at most 63 characters, a service account 253.
const MAX_NAME: usize = 253;
const SUBJECT: &str = "system:serviceaccount:";

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Where it is.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
}

/// What is read of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub account: Account,
    /// Whom it is meant for.
    pub audiences: Vec<String>,
    /// When it ends.
    pub expires: Moment,
}

/// A text that is no token of a service account; never shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is not a service-account token")]
    NotToken,
    #[error("it has no expiry; use a projected token")]
    NoExpiry,
}

/// An account that is not written as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME")]
pub struct NotAccount(String);

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audiences,
    exp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Reads what a token says; its signature is not looked at.
pub fn read(token: &str) -> Result<Claims, Fault> {
    if token.len() > MAX_BYTES {
        return Err(Fault::NotToken);
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::NotToken);
    };
    let payload = URL_SAFE_NO_PAD
        .decode(payload)
        .map_err(|_| Fault::NotToken)?;
    let payload: Payload = serde_json::from_slice(&payload).map_err(|_| Fault::NotToken)?;
    let account = Account::of_subject(&payload.sub).ok_or(Fault::NotToken)?;
    Ok(Claims {
        account,
        audiences: match payload.aud {
            Audiences::One(audience) => vec![audience],
            Audiences::Many(audiences) => audiences,
        },
        // Beyond what a moment can tell it stays at the bound.
        expires: Moment(payload.exp.ok_or(Fault::NoExpiry)? as i64),
    })
}

impl Account {
    /// Reads the user name of a service account.
    pub fn of_subject(subject: &str) -> Option<Self> {
        let (namespace, name) = subject.strip_prefix(SUBJECT)?.split_once(':')?;
        Self::new(namespace, name)
    }

    fn new(namespace: &str, name: &str) -> Option<Self> {
        (is_name(namespace) && is_name(name)).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// As Kubernetes allows names; what is shown to people holds nothing else.
fn is_name(text: &str) -> bool {
    let is_fit = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c);
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(is_fit)
}

impl FromStr for Account {
    type Err = NotAccount;

    fn from_str(text: &str) -> Result<Self, NotAccount> {
        let parts = text.split_once('/');
        let account = parts.and_then(|(namespace, name)| Self::new(namespace, name));
        account.ok_or_else(|| NotAccount(text.to_owned()))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A token that says this, signed by nobody.
    pub(in crate::trust) fn token(payload: &Value) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let head = encode(r#"{"alg":"RS256"}"#);
        format!(
            "{head}.{}.{}",
            encode(&payload.to_string()),
            encode("signature")
        )
    }

    #[test]
    fn a_projected_token_is_read() {
        let payload = json!({
            "sub": "system:serviceaccount:turnpike-system:turnpike-dataplane",
            "aud": ["turnpike-controller"], "exp": 1_800_000_000, "iss": "x"
        });
        let claims = Claims {
            account: "turnpike-system/turnpike-dataplane".parse().unwrap(),
            audiences: vec!["turnpike-controller".into()],
            expires: Moment(1_800_000_000),
        };
        assert_eq!(read(&token(&payload)), Ok(claims.clone()));
        let mut single = payload;
        single["aud"] = "turnpike-controller".into();
        assert_eq!(read(&token(&single)), Ok(claims));
    }

    #[test]
    fn what_is_no_service_account_token_is_refused() {
        let of = |subject: &str| token(&json!({"sub": subject, "exp": 1}));
        for text in [
            "",
            "canary",
            "a.b.c",
            "a.b",
            &token(&json!([])),
            &of("alice"),
            &of("system:serviceaccount:ns"),
            &of("system:serviceaccount:ns:a b"),
            &of("system:serviceaccount:ns:\u{1b}[31m"),
            &"x".repeat(MAX_BYTES + 1),
        ] {
            assert_eq!(read(text), Err(Fault::NotToken), "{text}");
        }
        let endless = token(&json!({"sub": "system:serviceaccount:ns:a"}));
        assert_eq!(read(&endless), Err(Fault::NoExpiry));
    }

    #[test]
    fn accounts_are_written_with_their_namespace() {
        let account: Account = "ns/name".parse().unwrap();
        assert_eq!(account.to_string(), "ns/name");
        for text in ["", "name", "/name", "ns/", "ns/a/b", "NS/a"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,64}", payload in ".{0,64}") {
            let _ = read(&text);
            let _ = read(&format!("a.{}.c", URL_SAFE_NO_PAD.encode(payload)));
        }
    }
}
