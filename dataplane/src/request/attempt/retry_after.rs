//! When a provider wants to be asked again. Pure.
//!
//! Source: RFC 9110 §10.2.3: seconds or an HTTP date.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use jiff::fmt::rfc2822;

/// A provider that asks for more is not taken at its word: clients would wait for ever.
const MAX: Duration = Duration::from_secs(5 * 60);

/// Reads the header; `None`: it says nothing that can be understood.
pub(super) fn parse(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let after = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => until(text, now)?,
    };
    Some(after.min(MAX))
}

fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let zoned = rfc2822::DateTimeParser::new().parse_zoned(date).ok()?;
    let at = SystemTime::from(zoned.timestamp());
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &'static str) -> Option<u64> {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        parse(&HeaderValue::from_static(text), now).map(|after| after.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("86400", Some(300)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Mon, 07 Nov 1994 08:50:07 GMT", Some(300)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }
}
