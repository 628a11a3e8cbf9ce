//! Step 2: who calls.
//!
//! Identity is a value from here on; nobody reads it from a header again. The
//! body is not touched yet, so a wrong key never uploads anything.

use std::sync::Arc;

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use smallvec::SmallVec;

use super::error::{RequestError, Result};
use super::routes::{Route, Routes};
use crate::store::view::{AuthenticationView, Consumer, CredentialView};
use crate::store::{Asker, FetchError, Store};

/// Where keys come beside `Authorization: Bearer`. Source: the SDKs of Anthropic, Azure and Google.
static KEY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];
/// Where a browser's WebSocket, which can send no header of its own choice, puts a key among the
/// protocols that it offers. Source: platform.openai.com, "Realtime API with WebSocket".
pub const KEY_PROTOCOL: &str = "openai-insecure-api-key.";
/// Different keys tried for one request: one for each place a key may come in.
const MAX_KEYS: usize = 5;

/// Who calls.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A consumer, by a key that verified.
    Known(Arc<Consumer>),
    /// Nobody said; what that means is up to the route.
    Keyless,
}

impl Caller {
    /// Who the caller is on this route; `Err`: the route needs a key.
    pub fn on(&self, route: Route<'_>) -> Result<Option<Arc<Consumer>>> {
        match (self, route.authentication()) {
            (Caller::Known(consumer), _) => Ok(Some(consumer.clone())),
            (Caller::Keyless, AuthenticationView::Required) => Err(missing_key()),
            (Caller::Keyless, AuthenticationView::Optional { anonymous: None }) => Ok(None),
            (
                Caller::Keyless,
                AuthenticationView::Optional {
                    anonymous: Some(slot),
                },
            ) => {
                let consumer = slot.load().filter(|consumer| !consumer.is_suspended);
                consumer.map(Some).ok_or_else(missing_key)
            }
        }
    }
}

/// Finds out who calls; waits where a key is seen for the first time.
///
/// `now` is in seconds since 1970; keys not seen before are looked up on `asker`'s account. Errors: a key that is nobody's, two different ones that are both
/// somebody's, none where every route needs one.
pub async fn authenticate(
    store: &Store,
    routes: &Routes,
    headers: &HeaderMap,
    asker: Asker,
    now: i64,
) -> Result<Caller> {
    let realm = &routes.domain().namespace;
    let keys = keys(headers);
    match keys.as_slice() {
        [] => keyless(routes),
        [key] => verify(store, realm, key, asker, now)
            .await
            .map(Caller::Known),
        several if several.len() > MAX_KEYS => Err(multiple_keys()),
        several => verify_one_of(store, realm, several, asker, now)
            .await
            .map(Caller::Known),
    }
}

fn keyless(routes: &Routes) -> Result<Caller> {
    let needs_key =
        |route: Route<'_>| matches!(route.authentication(), AuthenticationView::Required);
    let mut all = routes.iter().peekable();
    if all.peek().is_some() && all.all(needs_key) {
        return Err(missing_key());
    }
    Ok(Caller::Keyless)
}

/// Gives the different keys that came, as bytes.
fn keys(headers: &HeaderMap) -> SmallVec<[&[u8]; 2]> {
    let bearer = headers
        .get_all(AUTHORIZATION)
        .iter()
        .filter_map(|value| bearer(value.as_bytes()));
    let others = KEY_HEADERS
        .iter()
        .flat_map(|name| headers.get_all(name))
        .map(|value| value.as_bytes().trim_ascii());
    let offered = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| name.trim_ascii().strip_prefix(KEY_PROTOCOL.as_bytes()));
    let mut keys = SmallVec::<[&[u8]; 2]>::new();
    for key in bearer.chain(others).chain(offered) {
        if !key.is_empty() && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Source: RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| key.trim_ascii())
}

async fn verify_one_of(
    store: &Store,
    realm: &str,
    keys: &[&[u8]],
    asker: Asker,
    now: i64,
) -> Result<Arc<Consumer>> {
    let mut verified = None;
    let mut refused = None;
    for key in keys {
        match verify(store, realm, key, asker, now).await {
            Ok(_) if verified.is_some() => return Err(multiple_keys()),
            Ok(consumer) => verified = Some(consumer),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    verified.ok_or_else(|| refused.unwrap_or_else(missing_key))
}

async fn verify(
    store: &Store,
    realm: &str,
    key: &[u8],
    asker: Asker,
    now: i64,
) -> Result<Arc<Consumer>> {
    match store.fetch_credential(realm, key, asker).await {
        Ok(credential) => judge(&credential, now),
        Err(FetchError::Unknown) => Err(invalid_key("this API key is not known here")),
        Err(FetchError::TooManyLookups(after)) => Err(super::error::too_many_lookups(after)),
        Err(FetchError::Unavailable) => Err(super::error::unavailable()),
    }
}

fn judge(credential: &CredentialView, now: i64) -> Result<Arc<Consumer>> {
    if credential.not_after.is_some_and(|end| end <= now) {
        return Err(invalid_key("this API key has expired"));
    }
    let Some(consumer) = credential.consumer.load() else {
        return Err(invalid_key("this API key is not known here"));
    };
    refuse_suspended(&consumer)?;
    Ok(consumer)
}

/// Refuses a consumer whose keys are out of force.
pub fn refuse_suspended(consumer: &Consumer) -> Result<()> {
    if !consumer.is_suspended {
        return Ok(());
    }
    Err(RequestError::new(
        StatusCode::FORBIDDEN,
        "consumer_suspended",
        "the consumer that this API key belongs to is suspended",
    ))
}

fn missing_key() -> RequestError {
    RequestError::unauthenticated(
        "missing_api_key",
        "no API key was given; send it as `Authorization: Bearer KEY` or `x-api-key: KEY`",
    )
}

fn invalid_key(message: &'static str) -> RequestError {
    RequestError::unauthenticated("invalid_api_key", message)
}

fn multiple_keys() -> RequestError {
    RequestError::unauthenticated(
        "multiple_keys",
        "several different API keys were given; send one",
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn keys_of(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let text = |key: &&[u8]| String::from_utf8_lossy(key).into_owned();
        keys(&headers).iter().map(text).collect()
    }

    #[test]
    fn keys_come_in_five_headers_and_equal_ones_count_once() {
        for (pairs, expected) in [
            (&[("authorization", "Bearer a")][..], &["a"][..]),
            (&[("authorization", "bearer  a ")], &["a"]),
            (&[("x-api-key", "a"), ("authorization", "Bearer a")], &["a"]),
            (&[("api-key", "a"), ("x-goog-api-key", "b")], &["a", "b"]),
            (&[("x-api-key", "a"), ("x-api-key", "b")], &["a", "b"]),
            (
                &[(
                    "sec-websocket-protocol",
                    "realtime, openai-insecure-api-key.a,openai-beta.realtime-v1",
                )],
                &["a"],
            ),
            (
                &[("sec-websocket-protocol", "openai-insecure-api-key.")],
                &[],
            ),
            (&[("authorization", "Basic a")], &[]),
            (&[("authorization", "Bearer")], &[]),
            (&[("authorization", "Bearer "), ("x-api-key", " ")], &[]),
        ] {
            assert_eq!(keys_of(pairs), expected, "{pairs:?}");
        }
    }
}
