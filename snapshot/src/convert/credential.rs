//! Credentials to protobuf and back.

use super::ConvertError;
use crate::credential::Credential;
use crate::proto;

impl From<&Credential> for proto::Credential {
    fn from(credential: &Credential) -> Self {
        Self {
            consumer: credential.consumer.to_string(),
            not_after: credential.not_after,
        }
    }
}

impl TryFrom<proto::Credential> for Credential {
    type Error = ConvertError;

    fn try_from(credential: proto::Credential) -> Result<Self, ConvertError> {
        Ok(Self {
            consumer: credential.consumer.parse()?,
            not_after: credential.not_after,
        })
    }
}
