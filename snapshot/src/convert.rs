//! Plain data to protobuf and back. Into protobuf always succeeds; back, every
//! missing or foreign part is an error that names it, never a guess.

mod certificate;
mod consumer;
mod credential;
mod domain;
mod endpoints;
mod provider;
mod quota;
mod retries;
mod rules;
mod tenant;

use crate::proto::{Content, content::Content as Kind};
use crate::{Name, Snapshot};

/// A message that this build cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A part that must be there is not, or is of a kind unknown here.
    #[error("{0} is missing or of a kind that this data plane does not know")]
    Missing(&'static str),
    /// A name within does not parse.
    #[error(transparent)]
    Name(#[from] crate::name::NameError),
    /// A snapshot of one kind came under the name of another.
    #[error("a snapshot of another kind than its name {0} says")]
    WrongKind(String),
}

impl From<&Snapshot> for Content {
    fn from(snapshot: &Snapshot) -> Self {
        let kind = match snapshot {
            Snapshot::Domain(domain) => Kind::Domain(domain.into()),
            Snapshot::Alias(domain) => Kind::Alias(crate::proto::Alias {
                domain: domain.clone(),
            }),
            Snapshot::Provider(provider) => Kind::Provider(provider.into()),
            Snapshot::Endpoints(endpoints) => Kind::Endpoints(endpoints.into()),
            Snapshot::Rules(rules) => Kind::Rules(rules.into()),
            Snapshot::Credential(credential) => Kind::Credential(credential.into()),
            Snapshot::Consumer(consumer) => Kind::Consumer(consumer.into()),
            Snapshot::Quota(quota) => Kind::Quota(quota.into()),
            Snapshot::Tenant(tenant) => Kind::Tenant(tenant.into()),
            Snapshot::Fleet(fleet) => Kind::Fleet(fleet.into()),
            Snapshot::Certificate(certificate) => Kind::Certificate(certificate.into()),
            Snapshot::Authority(authority) => Kind::Authority(authority.into()),
            Snapshot::FleetCertificates(fleet) => Kind::FleetCertificates(fleet.into()),
        };
        Content {
            content: Some(kind),
        }
    }
}

impl TryFrom<Content> for Snapshot {
    type Error = ConvertError;

    fn try_from(content: Content) -> Result<Self, ConvertError> {
        Ok(
            match content.content.ok_or(ConvertError::Missing("content"))? {
                Kind::Domain(domain) => Snapshot::Domain(domain.try_into()?),
                Kind::Alias(alias) => Snapshot::Alias(alias.domain),
                Kind::Provider(provider) => Snapshot::Provider(provider.try_into()?),
                Kind::Endpoints(endpoints) => Snapshot::Endpoints(endpoints.try_into()?),
                Kind::Rules(rules) => Snapshot::Rules(rules.try_into()?),
                Kind::Credential(credential) => Snapshot::Credential(credential.try_into()?),
                Kind::Consumer(consumer) => Snapshot::Consumer(consumer.into()),
                Kind::Quota(quota) => Snapshot::Quota(quota.try_into()?),
                Kind::Tenant(tenant) => Snapshot::Tenant(tenant.try_into()?),
                Kind::Fleet(fleet) => Snapshot::Fleet(fleet.try_into()?),
                Kind::Certificate(certificate) => Snapshot::Certificate(certificate.try_into()?),
                Kind::Authority(authority) => Snapshot::Authority(authority.try_into()?),
                Kind::FleetCertificates(fleet) => Snapshot::FleetCertificates(fleet.try_into()?),
            },
        )
    }
}

/// Reads a snapshot and checks that it is of the kind that its name says.
pub fn read(name: &Name, content: Content) -> Result<Snapshot, ConvertError> {
    let snapshot = Snapshot::try_from(content)?;
    let fits = matches!(
        (name, &snapshot),
        (Name::Domain(_), Snapshot::Domain(_) | Snapshot::Alias(_))
            | (Name::Provider(_), Snapshot::Provider(_))
            | (Name::Endpoints(_), Snapshot::Endpoints(_))
            | (Name::Rules(_), Snapshot::Rules(_))
            | (Name::Credential { .. }, Snapshot::Credential(_))
            | (Name::Consumer(_), Snapshot::Consumer(_))
            | (Name::Quota(_), Snapshot::Quota(_))
            | (Name::Tenant(_), Snapshot::Tenant(_))
            | (Name::Fleet, Snapshot::Fleet(_))
            | (Name::Certificate(_), Snapshot::Certificate(_))
            | (Name::Authority(_), Snapshot::Authority(_))
            | (Name::FleetCertificates, Snapshot::FleetCertificates(_))
    );
    if fits {
        Ok(snapshot)
    } else {
        Err(ConvertError::WrongKind(name.to_string()))
    }
}

/// An empty string stands for none.
fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn read_all<P, T: TryFrom<P, Error = ConvertError>>(
    messages: Vec<P>,
) -> Result<Vec<T>, ConvertError> {
    messages.into_iter().map(T::try_from).collect()
}

#[cfg(test)]
mod tests;
