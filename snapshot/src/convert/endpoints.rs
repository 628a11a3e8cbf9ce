//! Endpoints to protobuf and back.

use std::net::{IpAddr, SocketAddr};

use super::ConvertError;
use crate::endpoints::Endpoints;
use crate::proto;

const ADDRESS: ConvertError = ConvertError::Missing("the address of an endpoint");

impl From<&Endpoints> for proto::Endpoints {
    fn from(endpoints: &Endpoints) -> Self {
        let addresses = endpoints.addresses.iter();
        Self {
            endpoints: addresses
                .map(|address| proto::Endpoint {
                    ip: match address.ip() {
                        IpAddr::V4(ip) => ip.octets().to_vec(),
                        IpAddr::V6(ip) => ip.octets().to_vec(),
                    },
                    port: address.port().into(),
                })
                .collect(),
            http2: endpoints.is_http2,
        }
    }
}

impl TryFrom<proto::Endpoints> for Endpoints {
    type Error = ConvertError;

    fn try_from(endpoints: proto::Endpoints) -> Result<Self, ConvertError> {
        let is_http2 = endpoints.http2;
        let endpoints = endpoints.endpoints.into_iter();
        Ok(Self {
            addresses: endpoints.map(address).collect::<Result<_, _>>()?,
            is_http2,
        })
    }
}

/// An IPv4 address has 4 bytes, an IPv6 address 16.
fn address(endpoint: proto::Endpoint) -> Result<SocketAddr, ConvertError> {
    let four = <[u8; 4]>::try_from(endpoint.ip.as_slice()).map(IpAddr::from);
    let ip = four.or_else(|_| <[u8; 16]>::try_from(endpoint.ip.as_slice()).map(IpAddr::from));
    let port = u16::try_from(endpoint.port).map_err(|_| ADDRESS)?;
    Ok(SocketAddr::new(ip.map_err(|_| ADDRESS)?, port))
}
