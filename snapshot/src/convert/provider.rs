//! Providers to protobuf and back.

use std::time::Duration;

use super::{ConvertError, non_empty};
use crate::proto;
use crate::proto::provider::State;
use crate::proto::provider_key::Made;
use crate::proto::upstream::{Cloud as ProtoCloud, Kind};
use crate::provider::{
    AwsKey, Cloud, EgressProxy, EntraKey, GoogleServiceAccount, Halt, Halted, Identity, KeyHeader,
    KeySecret, Manner, Model, Provider, ProviderKey, ProviderKind, ProxyUser, Quirks, Service,
    Timeouts, Upstream, UpstreamTls,
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

impl From<&Manner> for proto::Manner {
    fn from(manner: &Manner) -> Self {
        let header = manner.key_header.clone();
        let (key_header, scheme) = header.map_or((String::new(), None), |it| (it.name, it.scheme));
        let paths = manner
            .paths
            .iter()
            .map(|(endpoint, path)| proto::EndpointPath {
                endpoint: endpoint.clone(),
                path: path.clone(),
            });
        Self {
            drops_unsupported: manner.drops_unsupported,
            key_header,
            key_scheme: scheme.unwrap_or_default(),
            paths: paths.collect(),
            quirks: (manner.quirks != Quirks::default()).then(|| (&manner.quirks).into()),
            azure_api_version: manner.azure_api_version.clone().unwrap_or_default(),
        }
    }
}

impl From<proto::Manner> for Manner {
    fn from(manner: proto::Manner) -> Self {
        let scheme = non_empty(manner.key_scheme);
        let name = non_empty(manner.key_header);
        let paths = manner
            .paths
            .into_iter()
            .map(|path| (path.endpoint, path.path));
        Self {
            drops_unsupported: manner.drops_unsupported,
            key_header: name.map(|name| KeyHeader { name, scheme }),
            paths: paths.collect(),
            quirks: manner.quirks.map(Into::into).unwrap_or_default(),
            azure_api_version: non_empty(manner.azure_api_version),
        }
    }
}

impl From<&Quirks> for proto::Quirks {
    fn from(quirks: &Quirks) -> Self {
        Self {
            developer_role: quirks.developer_role,
            stream_options: quirks.stream_options,
            json_schema: quirks.json_schema,
            parallel_tool_calls: quirks.parallel_tool_calls,
            max_completion_tokens: quirks.max_completion_tokens,
            reasoning: quirks.reasoning.clone(),
        }
    }
}

impl From<proto::Quirks> for Quirks {
    fn from(quirks: proto::Quirks) -> Self {
        Self {
            developer_role: quirks.developer_role,
            stream_options: quirks.stream_options,
            json_schema: quirks.json_schema,
            parallel_tool_calls: quirks.parallel_tool_calls,
            max_completion_tokens: quirks.max_completion_tokens,
            reasoning: quirks.reasoning,
        }
    }
}

impl From<&Upstream> for proto::Upstream {
    fn from(upstream: &Upstream) -> Self {
        let kind = match &upstream.kind {
            ProviderKind::Vendor(vendor) => Kind::Vendor(vendor.clone()),
            ProviderKind::Protocol(protocol) => Kind::Protocol(protocol.clone()),
        };
        Self {
            kind: Some(kind),
            url: upstream.url.clone().unwrap_or_default(),
            keys: upstream.keys.iter().map(Into::into).collect(),
            models: upstream.models.iter().map(Into::into).collect(),
            timeouts: Some(upstream.timeouts.into()),
            service: upstream.service.as_deref().map(|it| Box::new(it.into())),
            tls: upstream.tls.as_deref().map(|it| Box::new(it.into())),
            egress_proxy: upstream
                .egress_proxy
                .as_deref()
                .map(|it| Box::new(it.into())),
            manner: upstream.manner.as_deref().map(|it| Box::new(it.into())),
            cloud: upstream.cloud.as_deref().map(Into::into),
        }
    }
}

impl From<&Cloud> for ProtoCloud {
    fn from(cloud: &Cloud) -> Self {
        match cloud {
            Cloud::Aws { region } => ProtoCloud::Aws(proto::Aws {
                region: region.clone(),
            }),
            Cloud::Gcp { project, location } => ProtoCloud::Gcp(proto::Gcp {
                project: project.clone().unwrap_or_default(),
                location: location.clone(),
            }),
        }
    }
}

impl From<ProtoCloud> for Cloud {
    fn from(cloud: ProtoCloud) -> Self {
        match cloud {
            ProtoCloud::Aws(aws) => Cloud::Aws { region: aws.region },
            ProtoCloud::Gcp(gcp) => Cloud::Gcp {
                project: non_empty(gcp.project),
                location: gcp.location,
            },
        }
    }
}

impl From<&ProviderKey> for proto::ProviderKey {
    fn from(key: &ProviderKey) -> Self {
        let (secret, made) = match &key.secret {
            KeySecret::Plain(secret) => (secret.clone(), None),
            KeySecret::Aws(key) => (String::new(), Some(Made::Aws(key.into()))),
            KeySecret::GoogleServiceAccount(account) => {
                (String::new(), Some(Made::Google(account.into())))
            }
            KeySecret::Entra(key) => (String::new(), Some(Made::Entra(key.into()))),
        };
        Self {
            name: key.name.clone(),
            secret,
            made,
        }
    }
}

impl From<proto::ProviderKey> for ProviderKey {
    fn from(key: proto::ProviderKey) -> Self {
        Self {
            name: key.name,
            secret: match key.made {
                None => KeySecret::Plain(key.secret),
                Some(Made::Aws(key)) => KeySecret::Aws(key.into()),
                Some(Made::Google(account)) => KeySecret::GoogleServiceAccount(account.into()),
                Some(Made::Entra(key)) => KeySecret::Entra(key.into()),
            },
        }
    }
}

impl From<&AwsKey> for proto::AwsKey {
    fn from(key: &AwsKey) -> Self {
        Self {
            access_key: key.access_key.clone(),
            secret_key: key.secret_key.clone(),
            session_token: key.session_token.clone().unwrap_or_default(),
        }
    }
}

impl From<proto::AwsKey> for AwsKey {
    fn from(key: proto::AwsKey) -> Self {
        Self {
            access_key: key.access_key,
            secret_key: key.secret_key,
            session_token: non_empty(key.session_token),
        }
    }
}

impl From<&GoogleServiceAccount> for proto::GoogleServiceAccount {
    fn from(account: &GoogleServiceAccount) -> Self {
        Self {
            email: account.email.clone(),
            key_id: account.key_id.clone().unwrap_or_default(),
            private_key: account.private_key.clone(),
            token_uri: account.token_uri.clone().unwrap_or_default(),
        }
    }
}

impl From<proto::GoogleServiceAccount> for GoogleServiceAccount {
    fn from(account: proto::GoogleServiceAccount) -> Self {
        Self {
            email: account.email,
            key_id: non_empty(account.key_id),
            private_key: account.private_key,
            token_uri: non_empty(account.token_uri),
        }
    }
}

impl From<&EntraKey> for proto::EntraKey {
    fn from(key: &EntraKey) -> Self {
        Self {
            tenant_id: key.tenant_id.clone(),
            client_id: key.client_id.clone(),
            client_secret: key.client_secret.clone(),
            authority: key.authority.clone().unwrap_or_default(),
        }
    }
}

impl From<proto::EntraKey> for EntraKey {
    fn from(key: proto::EntraKey) -> Self {
        Self {
            tenant_id: key.tenant_id,
            client_id: key.client_id,
            client_secret: key.client_secret,
            authority: non_empty(key.authority),
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
        Ok(Self {
            kind,
            url: non_empty(upstream.url),
            service: upstream
                .service
                .map(|service| Service::try_from(*service).map(Box::new))
                .transpose()?,
            tls: upstream.tls.map(|tls| Box::new((*tls).into())),
            egress_proxy: upstream.egress_proxy.map(|proxy| Box::new((*proxy).into())),
            manner: upstream.manner.map(|manner| Box::new((*manner).into())),
            cloud: upstream.cloud.map(|cloud| Box::new(cloud.into())),
            keys: upstream.keys.into_iter().map(Into::into).collect(),
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
