//! Names of Redis keys. All keys of one call carry the same `{uid}`, so that they share a slot of a
//! Redis Cluster.

use std::fmt::Write;

use super::super::charge::{CounterKey, ReservationId};

/// Renders a counter; the scripts append `:<window id>`.
pub(super) fn base(counter: &CounterKey) -> String {
    let mut key = prefix(counter);
    for part in [&counter.quota, &counter.limit, &counter.subject] {
        key.push(':');
        escape(&mut key, part);
    }
    key
}

/// Renders the marker that `id` was settled.
pub(super) fn settled(counter: &CounterKey, id: ReservationId) -> String {
    format!("{}:settled:{}", prefix(counter), id.to_hex())
}

fn prefix(counter: &CounterKey) -> String {
    let mut key = String::from("tq:{");
    escape(&mut key, &counter.namespace_uid);
    key.push('}');
    key
}

/// Percent-encodes what has a meaning in keys, so that two counters never share a name.
fn escape(key: &mut String, part: &str) {
    for c in part.chars() {
        match c {
            ':' | '{' | '}' | '%' => {
                // Writing to a String cannot fail.
                let _ = write!(key, "%{:02X}", u32::from(c));
            }
            _ => key.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::charge::CounterName;
    use super::*;

    fn counter(uid: &str, quota: &str, limit: &str, subject: &str) -> CounterKey {
        CounterKey::new(CounterName {
            namespace_uid: uid.into(),
            quota: quota.into(),
            limit: limit.into(),
            subject: subject.into(),
        })
    }

    #[test]
    fn a_key_shows_its_parts_in_order() {
        let key = base(&counter(
            "u-1",
            "team/gold",
            "minute",
            "c=team/alice;n=team",
        ));
        assert_eq!(key, "tq:{u-1}:team/gold:minute:c=team/alice;n=team");
    }

    #[test]
    fn parts_cannot_run_into_each_other() {
        let key = base(&counter("u}{", "a:b", "c", "100%"));
        assert_eq!(key, "tq:{u%7D%7B}:a%3Ab:c:100%25");
        assert_ne!(
            base(&counter("u", "a:b", "c", "")),
            base(&counter("u", "a", "b:c", ""))
        );
    }
}
