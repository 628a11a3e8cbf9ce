//! What rules do after failures, to protobuf and back.

use std::time::Duration;

use super::ConvertError;
use super::provider::millis;
use crate::proto;
use crate::retries::{Failure, Retries};

impl From<&Retries> for proto::Retries {
    fn from(retries: &Retries) -> Self {
        let conditions = retries.conditions.iter();
        Self {
            conditions: conditions
                .map(|&failure| proto::Failure::from(failure).into())
                .collect(),
            failover: retries.is_failover,
            attempts: retries.attempts,
            backoff_ms: millis(retries.backoff),
            per_attempt_timeout_ms: millis(retries.per_attempt_timeout),
        }
    }
}

impl TryFrom<proto::Retries> for Retries {
    type Error = ConvertError;

    fn try_from(retries: proto::Retries) -> Result<Self, ConvertError> {
        let conditions = retries.conditions.iter().map(|&code| failure(code));
        Ok(Self {
            conditions: conditions.collect::<Result<_, _>>()?,
            is_failover: retries.failover,
            attempts: retries.attempts,
            backoff: Duration::from_millis(retries.backoff_ms),
            per_attempt_timeout: Duration::from_millis(retries.per_attempt_timeout_ms),
        })
    }
}

impl From<Failure> for proto::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Self::Timeout,
            Failure::Connect => Self::Connect,
            Failure::RateLimited => Self::RateLimited,
            Failure::Server => Self::Server,
            Failure::CredentialRejected => Self::CredentialRejected,
        }
    }
}

fn failure(code: i32) -> Result<Failure, ConvertError> {
    match proto::Failure::try_from(code) {
        Ok(proto::Failure::Timeout) => Ok(Failure::Timeout),
        Ok(proto::Failure::Connect) => Ok(Failure::Connect),
        Ok(proto::Failure::RateLimited) => Ok(Failure::RateLimited),
        Ok(proto::Failure::Server) => Ok(Failure::Server),
        Ok(proto::Failure::CredentialRejected) => Ok(Failure::CredentialRejected),
        Ok(proto::Failure::Unspecified) | Err(_) => Err(ConvertError::Missing("failure")),
    }
}
