//! Session tickets that every replica reads, without a word between them: their keys are derived
//! from the installation's key, anew for each period.
//!
//! ```text
//! 4 period │ 12 nonce │ AES-256-GCM of the session
//! key = HKDF-SHA-256(salt, fleet key, period ‖ what is asked of callers)
//! ```
//!
//! A ticket is good in its period and in the next. Where callers must show certificates, tickets are
//! of those CAs in that form: one of another rule, or of none, cannot be read. That a ticket is used
//! for the name that it was made for, rustls sees to (RFC 6066 §3).

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use turnpike_snapshot::credential::FleetKey;

use crate::arrival::ClientAuthorities;
use crate::store::Store;

/// Seconds in which one key seals tickets.
pub(super) const PERIOD: u64 = 6 * 3600;

const SALT: &[u8] = b"turnpike session tickets 1";
const PERIOD_LEN: usize = 4;

/// Seals and opens the tickets of one rule.
pub(super) struct Tickets {
    store: Store,
    rule: Vec<u8>,
}

impl Tickets {
    pub(super) fn new(store: Store, asked: &ClientAuthorities) -> Self {
        Self {
            store,
            rule: asked.to_bytes(),
        }
    }

    fn period() -> u32 {
        u32::try_from(UnixTime::now().as_secs() / PERIOD).unwrap_or(u32::MAX)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        !self.store.fleet_keys().is_empty()
    }

    fn lifetime(&self) -> u32 {
        PERIOD as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.store.fleet_keys();
        let (_, newest) = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        seal(newest, &self.rule, Self::period(), nonce, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let keys = self.store.fleet_keys();
        let keys = keys.iter().map(|(_, key)| key);
        open(keys, &self.rule, Self::period(), ticket)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// Makes a ticket. The nonce must be random: all replicas seal under one key.
fn seal(
    fleet_key: &FleetKey,
    rule: &[u8],
    period: u32,
    nonce: [u8; NONCE_LEN],
    plain: &[u8],
) -> Option<Vec<u8>> {
    let period = period.to_be_bytes();
    let mut sealed = plain.to_vec();
    key(fleet_key, rule, period)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(period),
            &mut sealed,
        )
        .ok()?;
    Some([&period[..], &nonce, &sealed].concat())
}

/// Reads a ticket of this period, of the one before or, from a replica whose clock is ahead, of the
/// next; `None`: it is none.
fn open<'a>(
    fleet_keys: impl Iterator<Item = &'a FleetKey>,
    rule: &[u8],
    now: u32,
    ticket: &[u8],
) -> Option<Vec<u8>> {
    let (period, rest) = ticket.split_first_chunk::<PERIOD_LEN>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    if u32::from_be_bytes(*period).abs_diff(now) > 1 {
        return None;
    }
    let mut fleet_keys = fleet_keys;
    fleet_keys.find_map(|fleet_key| {
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key(fleet_key, rule, *period)?
            .open_in_place(nonce, Aad::from(*period), &mut opened)
            .ok()?
            .len();
        opened.truncate(length);
        Some(opened)
    })
}

fn key(fleet_key: &FleetKey, rule: &[u8], period: [u8; PERIOD_LEN]) -> Option<LessSafeKey> {
    let secret = Salt::new(HKDF_SHA256, SALT).extract(fleet_key.secret());
    let info = [&period[..], rule];
    let key = UnboundKey::from(secret.expand(&info, &AES_256_GCM).ok()?);
    Some(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fleet_key(byte: u8) -> FleetKey {
        FleetKey::new(byte.to_string(), vec![byte; 32])
    }

    fn sealed(fleet_key: &FleetKey, rule: &[u8], period: u32) -> Vec<u8> {
        seal(fleet_key, rule, period, [9; NONCE_LEN], b"session").unwrap()
    }

    #[test]
    fn two_periods_are_accepted_and_a_clock_that_is_ahead() {
        let key = fleet_key(1);
        let ticket = sealed(&key, b"", 100);
        for (now, is_good) in [
            (98, false),
            (99, true),
            (100, true),
            (101, true),
            (102, false),
        ] {
            let opened = open([&key].into_iter(), b"", now, &ticket);
            assert_eq!(opened.is_some(), is_good, "{now}");
        }
    }

    #[test]
    fn a_ticket_is_of_one_rule_and_of_one_fleet() {
        let (key, other) = (fleet_key(1), fleet_key(2));
        let ticket = sealed(&key, b"rule", 7);
        let open = |keys: &[&FleetKey], rule: &[u8]| open(keys.iter().copied(), rule, 7, &ticket);
        assert_eq!(open(&[&key], b"rule").as_deref(), Some(&b"session"[..]));
        assert_eq!(
            open(&[&other, &key], b"rule").as_deref(),
            Some(&b"session"[..])
        );
        assert_eq!(open(&[&key], b""), None);
        assert_eq!(open(&[&key], b"other"), None);
        assert_eq!(open(&[&other], b"rule"), None);
        assert_eq!(open(&[], b"rule"), None);
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_and_nothing_else_is(
            plain in prop::collection::vec(any::<u8>(), 0..64),
            period in any::<u32>(),
            nonce in any::<[u8; NONCE_LEN]>(),
            at in any::<prop::sample::Index>(),
        ) {
            let key = fleet_key(3);
            let ticket = seal(&key, b"r", period, nonce, &plain).unwrap();
            let open = |ticket: &[u8]| open([&key].into_iter(), b"r", period, ticket);
            prop_assert_eq!(open(&ticket), Some(plain));
            let mut damaged = ticket.clone();
            damaged[at.index(ticket.len())] ^= 1;
            prop_assert_eq!(open(&damaged), None);
            prop_assert_eq!(open(&ticket[..at.index(ticket.len())]), None);
        }

        #[test]
        fn garbage_is_no_ticket(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(open([&fleet_key(1)].into_iter(), b"", 0, &bytes), None);
        }
    }
}
