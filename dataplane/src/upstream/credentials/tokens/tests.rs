use turnpike_snapshot::provider::{EgressProxy, EntraKey};

use super::*;
use crate::upstream::Ways;

fn given(name: &'static str, seconds: u64) -> Given {
    Given {
        header: HeaderValue::from_static(name),
        lifetime: Duration::from_secs(seconds),
    }
}

fn held(seconds: u64, asked: Instant) -> Held {
    let mut held = Held::default();
    held.keep(given("t", seconds), asked);
    held
}

fn good() -> Found {
    Found::Good(HeaderValue::from_static("t"))
}

fn ageing() -> Found {
    Found::Ageing(HeaderValue::from_static("t"))
}

#[test]
fn a_token_is_renewed_a_minute_early_and_not_used_to_its_very_end() {
    let asked = Instant::now();
    let held = held(3600, asked);
    for (second, found) in [
        (0, good()),
        (3539, good()),
        (3540, ageing()),
        (3594, ageing()),
        (3595, Found::Nothing),
    ] {
        assert_eq!(
            held.find(asked + Duration::from_secs(second)),
            found,
            "{second}"
        );
    }
}

#[test]
fn a_token_of_a_short_life_is_used_for_half_of_it_at_least() {
    let asked = Instant::now();
    let held = held(60, asked);
    for (second, found) in [
        (29, good()),
        (30, ageing()),
        (53, ageing()),
        (55, Found::Nothing),
    ] {
        assert_eq!(
            held.find(asked + Duration::from_secs(second)),
            found,
            "{second}"
        );
    }
    assert_eq!(super::Held::default().find(asked), Found::Nothing);
    let mut none = Held::default();
    none.keep(given("t", 0), asked);
    assert_eq!(none.find(asked), Found::Nothing);
    none.keep(given("t", u64::MAX), asked);
    assert_eq!(none.find(asked), good());
}

#[test]
fn a_failure_answers_for_a_second_and_a_token_that_is_still_good_goes_before_it() {
    let asked = Instant::now();
    let at = |millis| asked + Duration::from_millis(millis);
    let error = TokenError::Garbage;
    let mut failed = Held {
        token: None,
        failed: Some((asked, error.clone())),
    };
    assert_eq!(failed.find(at(999)), Found::Failed(error.clone()));
    assert_eq!(failed.find(at(1000)), Found::Nothing);
    failed.keep(given("t", 3600), asked);
    let late = asked + Duration::from_secs(3550);
    failed.failed = Some((late, error));
    assert_eq!(failed.find(late), good());
    assert_eq!(failed.find(late + FAILED_FOR), ageing());
}

fn secret(client_secret: &str) -> KeySecret {
    KeySecret::Entra(EntraKey {
        tenant_id: "t".into(),
        client_id: "c".into(),
        client_secret: client_secret.into(),
        authority: None,
    })
}

#[test]
fn the_same_credential_by_the_same_way_has_one_token() {
    let (table, ways) = (TokensTable::default(), Ways::default());
    let proxy = EgressProxy {
        address: "proxy:3128".into(),
        user: None,
    };
    let way = ways.find(None, Some(&proxy)).unwrap();
    let find = |secret: &KeySecret, way| table.find(secret, way).unwrap();
    let one = find(&secret("a"), None);
    assert!(Arc::ptr_eq(&one, &find(&secret("a"), None)));
    assert!(!Arc::ptr_eq(&one, &find(&secret("b"), None)));
    let behind = find(&secret("a"), way.as_ref());
    assert!(!Arc::ptr_eq(&one, &behind));
    assert!(Arc::ptr_eq(&behind, &find(&secret("a"), way.as_ref())));
}

#[test]
fn tokens_that_nobody_needs_are_forgotten() {
    let table = TokensTable::default();
    let kept = table.find(&secret("kept"), None).unwrap();
    for at in 0..10 * FEW {
        table.find(&secret(&at.to_string()), None).unwrap();
    }
    assert!(table.known.lock().tokens.len() <= FEW + 1);
    let again = table.find(&secret("kept"), None).unwrap();
    assert!(Arc::ptr_eq(&kept, &again));
    assert!(!format!("{kept:?}").contains("kept"));
}
