//! A request that proves who sends it: signed when its head and body are final, or given an access token
//! that may have to be asked for first.

use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::uri::{Scheme, Uri};
use turnpike_protocol::{ErrorKind, FaultClass, ProviderError};

use super::send::Letter;
use crate::request::error::{RequestError, Result};
use crate::request::relay::Clocks;
use crate::store::view::UpstreamView;
use crate::upstream::Pool;
use crate::upstream::credentials::{AwsSigner, Signer};

/// Adds what the letter's signer makes.
///
/// What it makes holds for every endpoint of a Service: `host` is the Service's.
/// Errors: 502 where no token is to be had.
pub(super) async fn sign(
    pool: &Pool,
    letter: &mut Letter<'_>,
    upstream: &UpstreamView,
    clocks: &mut Clocks,
) -> Result<()> {
    match letter.signer {
        None => Ok(()),
        Some(Signer::Token(tokens)) => {
            let asked = tokens.get(pool, upstream.timeouts.connect);
            let token = clocks.within(asked).await?;
            let token = token.map_err(|error| refused(&error.to_string()))?;
            letter.head.headers.insert(AUTHORIZATION, token);
            Ok(())
        }
        Some(Signer::Aws(signer)) => sign_for_aws(signer, letter, upstream, SystemTime::now()),
    }
}

fn sign_for_aws(
    signer: &AwsSigner,
    letter: &mut Letter<'_>,
    upstream: &UpstreamView,
    now: SystemTime,
) -> Result<()> {
    let Some(pieces) = letter.content.pieces() else {
        let reason = "it has just been changed; try again";
        return Err(RequestError::provider_unavailable(reason));
    };
    let host = match &upstream.service {
        Some(service) => service.host.to_str().ok(),
        None => host(&letter.head.uri),
    };
    let signed = signer.sign(&letter.head, host.unwrap_or_default(), pieces, now);
    let signed = signed.map_err(|error| refused(&error.to_string()))?;
    letter.head.headers.extend(signed);
    Ok(())
}

/// The `host` that goes with a URI (RFC 9110, section 7.2): the port where it is not the scheme's.
fn host(uri: &Uri) -> Option<&str> {
    let authority = uri.authority()?;
    let usual = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => 80,
    };
    Some(match authority.port_u16() {
        Some(port) if port != usual => authority.as_str(),
        _ => authority.host(),
    })
}

fn refused(why: &str) -> RequestError {
    RequestError::from(ProviderError {
        class: FaultClass::Credential,
        client_status: 502,
        kind: ErrorKind::of_status(502),
        code: "provider_credential".into(),
        message: format!("the gateway has no valid credential for the provider: {why}"),
        param: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_part_of_the_host_where_it_is_not_the_usual_one() {
        for (uri, expected) in [
            ("https://a.test/x", "a.test"),
            ("https://a.test:443/x", "a.test"),
            ("https://a.test:8443/x", "a.test:8443"),
            ("http://127.0.0.1:80/", "127.0.0.1"),
            ("http://127.0.0.1:443/", "127.0.0.1:443"),
        ] {
            assert_eq!(host(&Uri::from_static(uri)), Some(expected));
        }
    }
}
