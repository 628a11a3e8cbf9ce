//! How a request proves who sends it where no header that is always the same does: signed (`sigv4`),
//! or with an access token that is asked for (`grant`), kept and renewed (`tokens`).
//!
//! `sigv4` and `grant` are pure; the time is theirs to be told. No value of a credential is ever shown.

mod grant;
mod sigv4;
mod tokens;

use std::sync::Arc;

use turnpike_snapshot::provider::{AwsKey, KeySecret};

use super::way::Way;
pub use grant::TokenError;
pub use sigv4::{AwsSigner, Signed, Unsignable};
pub use tokens::{Tokens, TokensTable};

/// The service that model requests are signed for.
///
/// Source: docs.aws.amazon.com, "Service Authorization Reference", Amazon Bedrock.
const BEDROCK: &str = "bedrock";

/// What a key makes of a request.
#[derive(Clone)]
pub enum Signer {
    /// A signature over all of it.
    Aws(Arc<AwsSigner>),
    /// `authorization: Bearer TOKEN`.
    Token(Arc<Tokens>),
}

/// A credential cannot be used, in words that hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A key of AWS signs for one region.
    #[error("a key of AWS needs aws.region")]
    NoRegion,
    /// Not an RSA key.
    #[error("the private key of the service account cannot be read")]
    PrivateKey,
    /// Not where tokens could be had.
    #[error("the address that tokens are asked of is none")]
    Address,
}

impl Signer {
    /// Makes the signer of a credential; `None`: its value is shown as it is.
    ///
    /// `region`: of AWS. `way`: by which tokens are asked for.
    pub(crate) fn of(
        secret: &KeySecret,
        region: Option<&str>,
        way: Option<&Arc<Way>>,
        table: &TokensTable,
    ) -> Result<Option<Self>, CredentialError> {
        Ok(match secret {
            KeySecret::Plain(_) => None,
            KeySecret::Aws(key) => Some(Self::aws(key, region)?),
            KeySecret::GoogleServiceAccount(_) | KeySecret::Entra(_) => {
                Some(Self::Token(table.find(secret, way)?))
            }
        })
    }

    fn aws(key: &AwsKey, region: Option<&str>) -> Result<Self, CredentialError> {
        let region = region.ok_or(CredentialError::NoRegion)?;
        Ok(Self::Aws(Arc::new(AwsSigner::new(key, region, BEDROCK))))
    }

    /// Whether it must know the whole body before anything is sent.
    pub fn needs_whole_body(&self) -> bool {
        matches!(self, Self::Aws(_))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Aws(_) => "Aws(..)",
            Self::Token(_) => "Token(..)",
        })
    }
}
