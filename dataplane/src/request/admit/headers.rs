//! `x-ratelimit-*`: where the caller stands with the limit that is tightest. Pure.
//!
//! Source: OpenAI's "Rate limits", section "Rate limits in headers" (2026-11);
//! durations are in seconds with the unit, `12s`.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::quota::{Standing, Unit};

/// The names of one unit's headers.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

/// Room for these and what else stands in the head of an answer.
const ROOM: usize = 12;
/// The digits of three numbers of each unit, and an `s`.
const DIGITS: usize = 2 * (3 * 20 + 1);

/// Renders the tightest limit of each unit: the one with the least left.
pub(super) fn rate_limits(standings: &[Standing]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(ROOM);
    let mut digits = BytesMut::with_capacity(DIGITS);
    for (unit, names) in [(Unit::Requests, &REQUESTS), (Unit::Tokens, &TOKENS)] {
        let of_unit = standings.iter().filter(|standing| standing.unit == unit);
        if let Some(tightest) = of_unit.min_by_key(|standing| standing.remaining) {
            let reset = tightest.reset_after.as_secs();
            for (name, number, unit) in [
                (&names.limit, tightest.limit, ""),
                (&names.remaining, tightest.remaining, ""),
                (&names.reset, reset, "s"),
            ] {
                headers.insert(name, render(&mut digits, number, unit));
            }
        }
    }
    headers
}

fn render(digits: &mut BytesMut, number: u64, unit: &str) -> HeaderValue {
    digits.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    digits.extend_from_slice(unit.as_bytes());
    let value = HeaderValue::from_maybe_shared(digits.split().freeze());
    value.unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn standing(unit: Unit, limit: u64, remaining: u64, reset: u64) -> Standing {
        Standing {
            unit,
            limit,
            remaining,
            reset_after: Duration::from_secs(reset),
        }
    }

    #[test]
    fn the_tightest_limit_of_each_unit_is_told() {
        let headers = rate_limits(&[
            standing(Unit::Tokens, 1000, 10, 60),
            standing(Unit::Tokens, 50, 40, 1),
            standing(Unit::Requests, 5, 4, 12),
        ]);
        let told: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        let expected = [
            ("x-ratelimit-limit-requests", "5"),
            ("x-ratelimit-remaining-requests", "4"),
            ("x-ratelimit-reset-requests", "12s"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "10"),
            ("x-ratelimit-reset-tokens", "60s"),
        ];
        assert_eq!(told.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(headers[name], value, "{name}");
        }
    }

    #[test]
    fn without_limits_there_are_no_headers() {
        assert!(rate_limits(&[]).is_empty());
    }
}
