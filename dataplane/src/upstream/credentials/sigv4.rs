//! Requests signed as AWS wants it (Signature Version 4). Pure: the time is an argument.
//!
//! Of the headers only those are signed that reach AWS as they are: `host`, `content-type` and what the
//! signature itself adds. The path is encoded once more for the signature, as all services but S3 do.
//! Source: docs.aws.amazon.com, "Create a signed AWS API request".

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use turnpike_snapshot::provider::AwsKey;

/// Signs with one key, for one service of one region.
pub struct AwsSigner {
    identity: Identity,
    region: String,
    service: &'static str,
}

/// The request is not one that can be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be signed")]
pub struct Unsignable;

/// Headers to be added.
pub type Signed = Vec<(HeaderName, HeaderValue)>;

impl AwsSigner {
    pub(super) fn new(key: &AwsKey, region: &str, service: &'static str) -> Self {
        let mut credentials = Credentials::builder()
            .access_key_id(&*key.access_key)
            .secret_access_key(&*key.secret_key)
            .provider_name("turnpike");
        credentials.set_session_token(key.session_token.clone());
        Self {
            identity: credentials.build().into(),
            region: region.to_owned(),
            service,
        }
    }

    /// Signs a request whose head is final, but for what this gives, and whose body is in pieces.
    ///
    /// `host`: the header as it will be sent.
    pub fn sign<'a>(
        &self,
        head: &Parts,
        host: &str,
        body: impl IntoIterator<Item = &'a Bytes>,
        now: SystemTime,
    ) -> Result<Signed, Unsignable> {
        let params = SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(self.service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| Unsignable)?
            .into();
        let content_type = head.headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let headers = content_type.map(|value| (CONTENT_TYPE.as_str(), value));
        let headers = headers.into_iter().chain([(HOST.as_str(), host)]);
        let method = head.method.as_str();
        let hash = SignableBody::Precomputed(hash(body));
        let request = SignableRequest::new(method, head.uri.to_string(), headers, hash);
        let signed = sign(request.map_err(|_| Unsignable)?, &params);
        let (instructions, _) = signed.map_err(|_| Unsignable)?.into_parts();
        let (headers, _) = instructions.into_parts();
        let headers = headers.into_iter().map(|header| {
            let mut value = HeaderValue::from_str(header.value()).map_err(|_| Unsignable)?;
            value.set_sensitive(true);
            Ok((HeaderName::from_static(header.name()), value))
        });
        headers.collect()
    }
}

impl fmt::Debug for AwsSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSigner").finish_non_exhaustive()
    }
}

/// SHA-256 in hex.
fn hash<'a>(body: impl IntoIterator<Item = &'a Bytes>) -> String {
    use fmt::Write;
    let mut hasher = Sha256::new();
    for piece in body {
        hasher.update(piece);
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;

    /// Of AWS's published test suite: 2015-08-30T12:36:00Z.
    const NOW: Duration = Duration::from_secs(1_440_938_160);
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn signer(session_token: Option<&str>) -> AwsSigner {
        let key = AwsKey {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(str::to_owned),
        };
        AwsSigner::new(&key, "us-east-1", "service")
    }

    fn signed(
        signer: &AwsSigner,
        request: http::request::Builder,
        body: &[&'static str],
    ) -> Signed {
        let head = request.body(()).unwrap().into_parts().0;
        let body: Vec<Bytes> = body
            .iter()
            .map(|piece| Bytes::from_static(piece.as_bytes()))
            .collect();
        let now = SystemTime::UNIX_EPOCH + NOW;
        signer
            .sign(&head, "example.amazonaws.com", &body, now)
            .unwrap()
    }

    fn value(signed: &Signed, name: &str) -> String {
        let mut headers = signed.iter();
        let header = headers.find(|(held, _)| held == name);
        header.map_or_else(String::new, |(_, value)| value.to_str().unwrap().to_owned())
    }

    fn request(method: &str, path: &str) -> http::request::Builder {
        let uri = format!("https://example.amazonaws.com{path}");
        Request::builder().method(method).uri(uri)
    }

    /// Source: AWS's "Signature Version 4 test suite", `get-vanilla`, `get-unreserved`,
    /// `get-vanilla-query`, `post-x-www-form-urlencoded` and `post-sts-header-before`, as it was published in 2015.
    #[test]
    fn the_published_vectors_are_met() {
        let form = request("POST", "/").header("content-type", "application/x-www-form-urlencoded");
        let unreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for (request, body, token, headers, signature) in [
            (
                request("GET", "/"),
                &[][..],
                None,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                request("GET", unreserved),
                &[],
                None,
                "host;x-amz-date",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                form,
                &["Param1=", "value1"],
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                request("POST", "/"),
                &[],
                Some(TOKEN),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let signed = signed(&signer(token), request, body);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={headers}, Signature={signature}"
            );
            assert_eq!(value(&signed, "authorization"), expected);
            assert_eq!(value(&signed, "x-amz-date"), "20150830T123600Z");
            assert_eq!(
                value(&signed, "x-amz-security-token"),
                token.unwrap_or_default()
            );
        }
    }

    #[test]
    fn what_was_signed_otherwise_has_another_signature() {
        let signature = |path: &str, body: &'static str| {
            let signed = signed(&signer(None), request("POST", path), &[body]);
            value(&signed, "authorization")
        };
        let one = signature("/model/a%3A0/converse", "x");
        assert_eq!(one, signature("/model/a%3A0/converse", "x"));
        assert_ne!(one, signature("/model/a%3A0/converse", "y"));
        assert_ne!(one, signature("/model/a:0/converse", "x"));
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let signer = signer(Some("canary"));
        let shown = format!("{signer:?}");
        assert!(
            !shown.contains("canary") && !shown.contains("EXAMPLE"),
            "{shown}"
        );
        let signed = signed(&signer, request("GET", "/"), &[]);
        assert!(!format!("{signed:?}").contains("canary"));
    }
}
