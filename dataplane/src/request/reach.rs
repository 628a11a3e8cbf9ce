//! Whether a request may come to its domain by its connection. Routing is by the host asked for
//! on each request, never by the name in the handshake; the certificate that the caller was shown must
//! be for that host, and what was asked of the caller must be what the host asks.

use http::StatusCode;
use rustls::pki_types::UnixTime;

use super::error::{RequestError, Result};
use crate::arrival::Tls;
use crate::store::view::{ClientRule, DomainView};

/// Checks a request that came by this connection; `None`: in the clear.
///
/// Errors: 421, which tells clients to come again by a connection of their own (RFC 9110 §15.5.20).
pub(super) fn check(domain: &DomainView, host: &str, tls: Option<&Tls>) -> Result<()> {
    let Some(tls) = tls else {
        return match domain.client_rule.is_open() {
            true => Ok(()),
            false => Err(misdirected(
                "this host asks callers for a certificate; use https://, and show one",
            )),
        };
    };
    let names = tls.names.iter().map(|name| &**name);
    if turnpike_snapshot::certificate::fit(names, host).is_none() {
        return Err(misdirected(
            "this connection's certificate is not for the host asked for; open one for this host",
        ));
    }
    if !has_shown(tls, &domain.client_rule) {
        return Err(misdirected(
            "this host asks callers for another certificate than this connection did; open one \
             for this host",
        ));
    }
    Ok(())
}

/// Whether the caller has shown in the handshake what this host asks for.
fn has_shown(tls: &Tls, rule: &ClientRule) -> bool {
    if rule.is_open() && tls.asked.0.is_empty() {
        return true;
    }
    let now = rule.state();
    if tls.asked == now {
        return true;
    }
    // The same CAs in a newer form: who is signed by that too need not come again.
    tls.asked.names_same(&now) && is_signed(tls, rule)
}

fn is_signed(tls: &Tls, rule: &ClientRule) -> bool {
    let (Some((own, others)), Some(verifier)) = (tls.peer.split_first(), rule.verifier()) else {
        return false;
    };
    verifier
        .verify_client_cert(own, others, UnixTime::now())
        .is_ok()
}

fn misdirected(message: &'static str) -> RequestError {
    RequestError::new(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected_request",
        message,
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use turnpike_snapshot::certificate::Authority;
    use turnpike_snapshot::domain::Domain;
    use turnpike_snapshot::name::ObjectName;
    use turnpike_snapshot::tenant::{Fleet, Tenant};
    use turnpike_snapshot::{Name, Snapshot};

    use super::*;
    use crate::store::Store;
    use crate::testing::{MadeAuthority, authority};

    fn store(cas: &[&str]) -> Store {
        let cas = cas.iter().map(|name| ObjectName::new("t", *name));
        let domain = Domain {
            namespace: "t".into(),
            client_authorities: cas.collect(),
            ..Domain::default()
        };
        let snapshots = vec![
            (
                Name::Tenant("t".into()),
                Snapshot::Tenant(Tenant::default()),
            ),
            (Name::Fleet, Snapshot::Fleet(Fleet::default())),
            (Name::Domain("a.test".into()), Snapshot::Domain(domain)),
        ];
        Store::with_snapshots(Vec::new(), snapshots)
    }

    fn replace(store: &Store, name: &str, cas: &[&MadeAuthority]) {
        let ders = cas.iter().map(|ca| ca.der().to_vec()).collect();
        let authority = Snapshot::Authority(Authority::Usable(ders));
        let name = Name::Authority(ObjectName::new("t", name));
        assert!(store.replace(vec![(name, authority)]).is_empty());
    }

    fn domain(store: &Store) -> Arc<DomainView> {
        store.get_domain("a.test").unwrap()
    }

    fn tls(names: &[&str], asked: &Store, ca: Option<&MadeAuthority>) -> Tls {
        Tls {
            names: names.iter().map(|name| Box::from(*name)).collect(),
            asked: domain(asked).client_rule.state(),
            peer: ca.map_or_else(Vec::new, |ca| ca.issue().0),
        }
    }

    fn status(domain: &DomainView, tls: Option<&Tls>) -> u16 {
        check(domain, "a.test", tls).map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn the_certificate_must_be_for_the_host() {
        let store = store(&[]);
        let domain = domain(&store);
        assert_eq!(status(&domain, None), 200);
        for (names, expected) in [
            (&["a.test"][..], 200),
            (&["b.test", "*.test"], 200),
            (&["b.test"], 421),
            (&["*.a.test"], 421),
            (&[], 421),
        ] {
            let tls = tls(names, &store, None);
            assert_eq!(status(&domain, Some(&tls)), expected, "{names:?}");
        }
    }

    #[test]
    fn what_was_asked_of_the_caller_must_be_what_the_host_asks() {
        let (open, closed, other) = (store(&[]), store(&["ca"]), store(&["other"]));
        let ca = authority();
        replace(&closed, "ca", &[&ca]);
        replace(&other, "other", &[&ca]);
        let shown = |asked: &Store, ca| tls(&["a.test"], asked, ca);
        let by = |to: &Store, tls: &Tls| status(&domain(to), Some(tls));
        assert_eq!(by(&closed, &shown(&closed, Some(&ca))), 200);
        assert_eq!(by(&closed, &shown(&open, None)), 421);
        assert_eq!(by(&open, &shown(&closed, Some(&ca))), 421);
        assert_eq!(by(&closed, &shown(&other, Some(&ca))), 421);
        assert_eq!(status(&domain(&closed), None), 421);
    }

    #[test]
    fn a_newer_form_of_the_same_ca_keeps_whom_it_still_signs() {
        let store = store(&["ca"]);
        let (old, new) = (authority(), authority());
        replace(&store, "ca", &[&old]);
        let tls = tls(&["a.test"], &store, Some(&old));
        replace(&store, "ca", &[&old, &new]);
        assert_eq!(status(&domain(&store), Some(&tls)), 200);
        replace(&store, "ca", &[&new]);
        assert_eq!(status(&domain(&store), Some(&tls)), 421);
        store.withdraw(vec![Name::Authority(ObjectName::new("t", "ca"))]);
        assert_eq!(status(&domain(&store), Some(&tls)), 421);
    }
}
