//! Providers to protobuf and back.

use std::time::Duration;

use super::{ConvertError, non_empty};
use crate::proto;
use crate::proto::provider::State;
use crate::proto::upstream::Kind;
use crate::provider::{
    EgressProxy, Halt, Halted, Identity, Model, Provider, ProviderKey, ProviderKind, ProxyUser,
    Service, Timeouts, Upstream, UpstreamTls,
};

impl From<&Provider> for proto::Provider {
    fn from(provider: &Provider) -> Self {
        let state = match provider {
            Provider::Upstream(upstream) => State::Upstream(upstream.into()),
            Provider::Halted(halted) => State::Halted(halted.into()),
            Provider::Faulty { reason, .. } => State::Fault(reason.clone()),
        };
        let keeps_previous = match provider {
            Provider::Faulty { keeps_previous, .. } => *keeps_previous,
            _ => false,
        };
        Self {
            state: Some(state),
            keeps_previous,
        }
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
                State::Fault(reason) => Provider::Faulty {
                    reason,
                    keeps_previous: provider.keeps_previous,
                },
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
            tls: upstream.tls.as_deref().map(|it| Box::new(it.into())),
            egress_proxy: upstream
                .egress_proxy
                .as_deref()
                .map(|it| Box::new(it.into())),
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
            tls: upstream.tls.map(|tls| Box::new((*tls).into())),
            egress_proxy: upstream.egress_proxy.map(|proxy| Box::new((*proxy).into())),
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

impl From<&UpstreamTls> for proto::UpstreamTls {
    fn from(tls: &UpstreamTls) -> Self {
        let identity = tls.identity.as_ref().map(|identity| proto::Identity {
            chain: identity.chain.clone(),
            key: identity.key.clone(),
        });
        Self {
            authorities: tls.authorities.clone(),
            identity,
            server_name: tls.server_name.clone().unwrap_or_default(),
        }
    }
}

impl From<proto::UpstreamTls> for UpstreamTls {
    fn from(tls: proto::UpstreamTls) -> Self {
        let identity = tls.identity.map(|identity| Identity {
            chain: identity.chain,
            key: identity.key,
        });
        Self {
            authorities: tls.authorities,
            identity,
            server_name: non_empty(tls.server_name),
        }
    }
}

impl From<&EgressProxy> for proto::EgressProxy {
    fn from(proxy: &EgressProxy) -> Self {
        let user = proxy.user.as_ref().map(|user| proto::ProxyUser {
            name: user.name.clone(),
            password: user.password.clone(),
        });
        Self {
            address: proxy.address.clone(),
            user,
        }
    }
}

impl From<proto::EgressProxy> for EgressProxy {
    fn from(proxy: proto::EgressProxy) -> Self {
        let user = proxy.user.map(|user| ProxyUser {
            name: user.name,
            password: user.password,
        });
        Self {
            address: proxy.address,
            user,
        }
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
