//! Providers to protobuf and back.

use std::time::Duration;

use super::{ConvertError, non_empty};
use crate::proto;
use crate::proto::provider::State;
use crate::proto::upstream::Kind;
use crate::provider::{
    Halt, Halted, Model, Provider, ProviderKey, ProviderKind, Service, Timeouts, Upstream,
};

impl From<&Provider> for proto::Provider {
    fn from(provider: &Provider) -> Self {
        let state = match provider {
            Provider::Upstream(upstream) => State::Upstream(upstream.into()),
            Provider::Halted(halted) => State::Halted(halted.into()),
            Provider::Faulty { reason } => State::Fault(reason.clone()),
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<proto::Provider> for Provider {
    type Error = ConvertError;

    fn try_from(provider: proto::Provider) -> Result<Self, ConvertError> {
        Ok(
            match provider
                .state
                .ok_or(ConvertError::Missing("provider state"))?
            {
                State::Upstream(upstream) => Provider::Upstream(upstream.try_into()?),
                State::Halted(halted) => Provider::Halted(halted.into()),
                State::Fault(reason) => Provider::Faulty { reason },
            },
        )
    }
}

impl From<&Halted> for proto::Halted {
    fn from(halted: &Halted) -> Self {
        Self {
            blocked: halted.halt == Halt::Blocked,
            models: halted.models.iter().map(Into::into).collect(),
        }
    }
}

impl From<proto::Halted> for Halted {
    fn from(halted: proto::Halted) -> Self {
        Self {
            halt: match halted.blocked {
                true => Halt::Blocked,
                false => Halt::Drain,
            },
            models: halted.models.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&Model> for proto::Model {
    fn from(model: &Model) -> Self {
        Self {
            name: model.name.clone(),
            upstream_model: model.upstream_model.clone().unwrap_or_default(),
        }
    }
}

impl From<proto::Model> for Model {
    fn from(model: proto::Model) -> Self {
        Self {
            name: model.name,
            upstream_model: non_empty(model.upstream_model),
        }
    }
}

impl From<&Upstream> for proto::Upstream {
    fn from(upstream: &Upstream) -> Self {
        let kind = match &upstream.kind {
            ProviderKind::Vendor(vendor) => Kind::Vendor(vendor.clone()),
            ProviderKind::Protocol(protocol) => Kind::Protocol(protocol.clone()),
        };
        let keys = upstream.keys.iter();
        Self {
            kind: Some(kind),
            url: upstream.url.clone().unwrap_or_default(),
            keys: keys
                .map(|key| proto::ProviderKey {
                    name: key.name.clone(),
                    secret: key.secret.clone(),
                })
                .collect(),
            models: upstream.models.iter().map(Into::into).collect(),
            timeouts: Some(upstream.timeouts.into()),
            service: upstream.service.as_deref().map(|it| Box::new(it.into())),
        }
    }
}

impl TryFrom<proto::Upstream> for Upstream {
    type Error = ConvertError;

    fn try_from(upstream: proto::Upstream) -> Result<Self, ConvertError> {
        let kind = match upstream
            .kind
            .ok_or(ConvertError::Missing("what the provider speaks"))?
        {
            Kind::Vendor(vendor) => ProviderKind::Vendor(vendor),
            Kind::Protocol(protocol) => ProviderKind::Protocol(protocol),
        };
        let keys = upstream.keys.into_iter();
        Ok(Self {
            kind,
            url: non_empty(upstream.url),
            service: upstream
                .service
                .map(|service| Service::try_from(*service).map(Box::new))
                .transpose()?,
            keys: keys
                .map(|key| ProviderKey {
                    name: key.name,
                    secret: key.secret,
                })
                .collect(),
            models: upstream.models.into_iter().map(Into::into).collect(),
            timeouts: upstream
                .timeouts
                .ok_or(ConvertError::Missing("timeouts"))?
                .into(),
        })
    }
}

impl From<&Service> for proto::Service {
    fn from(service: &Service) -> Self {
        Self {
            port: service.port.to_string(),
            path: service.path.clone(),
        }
    }
}

impl TryFrom<proto::Service> for Service {
    type Error = ConvertError;

    fn try_from(service: proto::Service) -> Result<Self, ConvertError> {
        Ok(Self {
            port: service.port.parse()?,
            path: service.path,
        })
    }
}

impl From<Timeouts> for proto::Timeouts {
    fn from(timeouts: Timeouts) -> Self {
        Self {
            connect_ms: millis(timeouts.connect),
            first_token_ms: millis(timeouts.first_token),
            idle_ms: millis(timeouts.idle),
            total_ms: millis(timeouts.total),
        }
    }
}

impl From<proto::Timeouts> for Timeouts {
    fn from(timeouts: proto::Timeouts) -> Self {
        Self {
            connect: Duration::from_millis(timeouts.connect_ms),
            first_token: Duration::from_millis(timeouts.first_token_ms),
            idle: Duration::from_millis(timeouts.idle_ms),
            total: Duration::from_millis(timeouts.total_ms),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
