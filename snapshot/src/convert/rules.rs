//! Route templates to protobuf and back.

use std::time::Duration;

use super::domain::on_disconnect;
use super::provider::millis;
use super::{ConvertError, read_all};
use crate::proto;
use crate::rules::Rules;

impl From<&Rules> for proto::Rules {
    fn from(rules: &Rules) -> Self {
        Self {
            authentication: Some((&rules.authentication).into()),
            allow: rules.allow.iter().map(Into::into).collect(),
            rules: rules.rules.iter().map(Into::into).collect(),
            max_body_bytes: rules.max_body_bytes,
            head_bytes: rules.head_bytes,
            heartbeat_ms: rules.heartbeat.map(millis),
            on_disconnect: proto::OnDisconnect::from(rules.on_disconnect).into(),
        }
    }
}

impl TryFrom<proto::Rules> for Rules {
    type Error = ConvertError;

    fn try_from(rules: proto::Rules) -> Result<Self, ConvertError> {
        Ok(Self {
            authentication: rules
                .authentication
                .ok_or(ConvertError::Missing("authentication"))?
                .into(),
            allow: rules.allow.into_iter().map(Into::into).collect(),
            rules: read_all(rules.rules)?,
            max_body_bytes: rules.max_body_bytes,
            head_bytes: rules.head_bytes,
            heartbeat: rules.heartbeat_ms.map(Duration::from_millis),
            on_disconnect: on_disconnect(rules.on_disconnect)?,
        })
    }
}
