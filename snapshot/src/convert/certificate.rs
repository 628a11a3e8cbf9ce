//! Certificates to protobuf and back.

use super::ConvertError;
use crate::certificate::{Authority, Certificate, FleetCertificates, KeyedCertificate};
use crate::proto;
use crate::proto::authority::State as AuthorityState;
use crate::proto::certificate::State;

impl From<&Certificate> for proto::Certificate {
    fn from(certificate: &Certificate) -> Self {
        let state = match certificate {
            Certificate::Usable(usable) => State::Usable(proto::KeyedCertificate {
                names: usable.names.clone(),
                chain: usable.chain.clone(),
                key: usable.key.clone(),
                not_after: usable.not_after,
            }),
            Certificate::Faulty { reason } => State::Fault(reason.clone()),
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<proto::Certificate> for Certificate {
    type Error = ConvertError;

    fn try_from(certificate: proto::Certificate) -> Result<Self, ConvertError> {
        let state = certificate.state;
        Ok(match state.ok_or(ConvertError::Missing("certificate"))? {
            State::Usable(usable) => Certificate::Usable(KeyedCertificate {
                names: usable.names,
                chain: usable.chain,
                key: usable.key,
                not_after: usable.not_after,
            }),
            State::Fault(reason) => Certificate::Faulty { reason },
        })
    }
}

impl From<&Authority> for proto::Authority {
    fn from(authority: &Authority) -> Self {
        let state = match authority {
            Authority::Usable(certificates) => AuthorityState::Usable(proto::Certificates {
                certificates: certificates.clone(),
            }),
            Authority::Faulty { reason } => AuthorityState::Fault(reason.clone()),
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<proto::Authority> for Authority {
    type Error = ConvertError;

    fn try_from(authority: proto::Authority) -> Result<Self, ConvertError> {
        let state = authority.state;
        Ok(
            match state.ok_or(ConvertError::Missing("certificates of CAs"))? {
                AuthorityState::Usable(usable) => Authority::Usable(usable.certificates),
                AuthorityState::Fault(reason) => Authority::Faulty { reason },
            },
        )
    }
}

impl From<&FleetCertificates> for proto::FleetCertificates {
    fn from(fleet: &FleetCertificates) -> Self {
        let certificates = fleet.certificates.iter();
        Self {
            certificates: certificates.map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<proto::FleetCertificates> for FleetCertificates {
    type Error = ConvertError;

    fn try_from(fleet: proto::FleetCertificates) -> Result<Self, ConvertError> {
        let certificates = fleet.certificates.iter().map(|name| name.parse());
        Ok(Self {
            certificates: certificates.collect::<Result<_, _>>()?,
        })
    }
}
