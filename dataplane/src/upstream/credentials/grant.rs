//! What is asked for an access token, and what is read from the answer. Pure: the time is an argument.
//!
//! Google: a service account asks by an assertion that it signs (RFC 7523). Entra: an application asks by
//! its secret (RFC 6749, section 4.4).

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::{Deserialize, Serialize};
use turnpike_snapshot::provider::{EntraKey, GoogleServiceAccount, KeySecret};

use super::CredentialError;

/// Who gives tokens for Google's service accounts.
///
/// Source: developers.google.com, "Using OAuth 2.0 for Server to Server Applications".
const GOOGLE: &str = "https://oauth2.googleapis.com/token";
/// What Vertex AI asks for. Source: cloud.google.com, "Authenticate to Vertex AI".
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// For how long an assertion may be used; Google takes an hour at most.
const ASSERTION_SECONDS: u64 = 3600;
/// Source: learn.microsoft.com, "Microsoft identity platform and the OAuth 2.0 client credentials flow".
const ENTRA: &str = "https://login.microsoftonline.com";
/// What a token is good for when its giver does not say: RFC 6749 leaves that open, so not for long.
const UNTOLD_LIFETIME: Duration = Duration::from_secs(300);
/// A longer token is none.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Unreserved characters stand for themselves.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How tokens are asked for with one credential.
pub(super) struct Grant {
    endpoint: Uri,
    by: By,
}

enum By {
    Assertion(Box<Assertion>),
    /// The whole form; always the same.
    Secret(Bytes),
}

struct Assertion {
    email: String,
    key_id: Option<String>,
    audience: String,
    key: RsaKeyPair,
}

/// A token as it was given.
#[derive(Debug)]
pub(super) struct Given {
    /// `Bearer TOKEN`, marked sensitive.
    pub(super) header: HeaderValue,
    pub(super) lifetime: Duration,
}

/// There is no token to be had, in words for callers and logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nobody answered.
    #[error("no answer of the token endpoint within {0:?}")]
    Timeout(Duration),
    /// The way there.
    #[error("the token endpoint cannot be reached: {0}")]
    Unreachable(String),
    /// It said no, for this reason (RFC 6749, section 5.2).
    #[error("the token endpoint refused the credential: {status} {reason}")]
    Refused {
        /// HTTP's.
        status: u16,
        /// A word such as `invalid_grant`; `unknown` where it said none.
        reason: String,
    },
    /// An answer that holds none.
    #[error("the token endpoint answered without a token")]
    Garbage,
    /// The key signs nothing.
    #[error("the key of the service account does not sign")]
    Unsigned,
}

#[derive(Serialize)]
struct JwtHeader<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    expires_in: Option<ExpiresIn>,
    error: Option<String>,
}

/// Some say it as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum ExpiresIn {
    Number(u64),
    Text(String),
}

impl Grant {
    pub(super) fn new(secret: &KeySecret) -> Result<Self, CredentialError> {
        match secret {
            KeySecret::GoogleServiceAccount(account) => Self::google(account),
            KeySecret::Entra(key) => Self::entra(key),
            KeySecret::Plain(_) | KeySecret::Aws(_) => Err(CredentialError::Address),
        }
    }

    fn google(account: &GoogleServiceAccount) -> Result<Self, CredentialError> {
        let audience = account.token_uri.as_deref().unwrap_or(GOOGLE);
        let key = RsaKeyPair::from_pkcs8(&account.private_key);
        let assertion = Assertion {
            email: account.email.clone(),
            key_id: account.key_id.clone(),
            audience: audience.to_owned(),
            key: key.map_err(|_| CredentialError::PrivateKey)?,
        };
        Ok(Self {
            endpoint: endpoint(audience)?,
            by: By::Assertion(Box::new(assertion)),
        })
    }

    fn entra(key: &EntraKey) -> Result<Self, CredentialError> {
        let authority = key.authority.as_deref().unwrap_or(ENTRA);
        let authority = authority.trim_end_matches('/');
        let tenant = utf8_percent_encode(&key.tenant_id, FORM);
        let url = endpoint(&format!("{authority}/{tenant}/oauth2/v2.0/token"))?;
        let scope = entra_scope(url.host().unwrap_or_default());
        let form = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &key.client_id),
            ("client_secret", &key.client_secret),
            ("scope", scope),
        ]);
        Ok(Self {
            endpoint: url,
            by: By::Secret(form.into()),
        })
    }

    /// What is sent. `now`: seconds since 1970.
    pub(super) fn request(&self, now: u64) -> Result<Request<Bytes>, TokenError> {
        let body = match &self.by {
            By::Secret(form) => form.clone(),
            By::Assertion(assertion) => form(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", &assertion.sign(now)?),
            ])
            .into(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, form);
        request.headers_mut().insert(ACCEPT, json);
        Ok(request)
    }
}

impl Assertion {
    /// Source: RFC 7515, section 3.1; RFC 7523, section 3.
    fn sign(&self, now: u64) -> Result<String, TokenError> {
        let header = JwtHeader {
            alg: "RS256",
            typ: "JWT",
            kid: self.key_id.as_deref(),
        };
        let claims = Claims {
            iss: &self.email,
            scope: GOOGLE_SCOPE,
            aud: &self.audience,
            iat: now,
            exp: now + ASSERTION_SECONDS,
        };
        let unsigned = format!("{}.{}", part(&header)?, part(&claims)?);
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        let signed = self.key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            unsigned.as_bytes(),
            &mut signature,
        );
        signed.map_err(|_| TokenError::Unsigned)?;
        Ok(format!(
            "{unsigned}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        ))
    }
}

fn part(value: &impl Serialize) -> Result<String, TokenError> {
    let json = serde_json::to_vec(value).map_err(|_| TokenError::Unsigned)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
}

/// Reads an answer.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<Given, TokenError> {
    let answer: Option<TokenAnswer> = serde_json::from_slice(body).ok();
    if !status.is_success() {
        return Err(TokenError::Refused {
            status: status.as_u16(),
            reason: reason(answer.and_then(|answer| answer.error)),
        });
    }
    let answer = answer.ok_or(TokenError::Garbage)?;
    let token = answer.access_token.ok_or(TokenError::Garbage)?;
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Garbage);
    }
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut header = header.map_err(|_| TokenError::Garbage)?;
    header.set_sensitive(true);
    let seconds = match answer.expires_in {
        Some(ExpiresIn::Number(seconds)) => Some(seconds),
        Some(ExpiresIn::Text(text)) => text.parse().ok(),
        None => None,
    };
    Ok(Given {
        header,
        lifetime: seconds.map_or(UNTOLD_LIFETIME, Duration::from_secs),
    })
}

/// A word of the protocol's and nothing else: descriptions may hold names and keys.
fn reason(error: Option<String>) -> String {
    let is_word = |word: &String| {
        (1..=64).contains(&word.len())
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    error
        .filter(is_word)
        .unwrap_or_else(|| "unknown".to_owned())
}

fn endpoint(url: &str) -> Result<Uri, CredentialError> {
    let uri: Uri = url.parse().map_err(|_| CredentialError::Address)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'));
    match is_http && authority.is_some() {
        true => Ok(uri),
        false => Err(CredentialError::Address),
    }
}

/// The models of each of Microsoft's clouds.
///
/// Source: learn.microsoft.com, "How to configure Azure OpenAI with Microsoft Entra ID"; "Azure
/// Government and 21Vianet endpoints".
fn entra_scope(authority: &str) -> &'static str {
    match authority.rsplit('.').next() {
        Some("cn") => "https://cognitiveservices.azure.cn/.default",
        Some("us") => "https://cognitiveservices.azure.us/.default",
        _ => "https://cognitiveservices.azure.com/.default",
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        let separator = if form.is_empty() { "" } else { "&" };
        // Writing into a String cannot fail.
        let _ = write!(
            form,
            "{separator}{name}={}",
            utf8_percent_encode(value, FORM)
        );
    }
    form
}

#[cfg(test)]
mod tests;
