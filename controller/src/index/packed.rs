//! A status in few bytes: the index keeps one for each object, and reads it only
//! where a new one is drafted.
//!
//! Lossless: texts that most statuses share are one byte, all others are spelled out;
//! a time is told by its distance from the one before, an address by what stands
//! around the name.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use turnpike_crds::Status;
use turnpike_crds::status::{GroupStatus, HostnameStatus};

/// A [`Status`], some 40 bytes where all is well, and 20 more and its name for each hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedStatus(Box<[u8]>);

/// Texts of conditions that stand in nearly every object; their places are only
/// known within a process, so that any may be added.
const COMMON: [&str; 17] = [
    "Accepted",
    "ResolvedRefs",
    "Programmed",
    "Ready",
    "True",
    "False",
    "Unknown",
    "valid",
    "every reference leads somewhere",
    "loaded",
    "not loaded yet: the first request that needs it loads it",
    "NoDataPlane",
    "every other condition is true",
    "Pending",
    "waiting for the controller",
    "https://",
    "",
];

/// Marks a text that is spelled out.
const SPELLED: u8 = u8::MAX;

impl PackedStatus {
    /// Packs a status.
    pub fn new(status: &Status) -> Self {
        let mut bytes = Vec::with_capacity(64);
        let mut time = 0;
        put_option(&mut bytes, status.observed_generation);
        put_option(&mut bytes, status.routes);
        put_list(&mut bytes, &status.conditions, |bytes, condition| {
            put_condition(bytes, condition, &mut time);
        });
        put_list(&mut bytes, &status.groups, |bytes, group| {
            put_text(bytes, &group.name);
            put_number(bytes, zigzag(group.consumers));
        });
        put_list(&mut bytes, &status.hostnames, |bytes, hostname| {
            put_hostname(bytes, hostname, &mut time);
        });
        Self(bytes.into())
    }

    /// Unpacks it.
    pub fn unpack(&self) -> Status {
        // What `new` wrote is always read; an empty status stands for a flaw in either.
        let mut bytes = &self.0[..];
        self::status(&mut bytes).unwrap_or_default()
    }
}

fn status(bytes: &mut &[u8]) -> Option<Status> {
    let mut time = 0;
    Some(Status {
        observed_generation: option(bytes)?,
        routes: option(bytes)?,
        conditions: list(bytes, |bytes| condition(bytes, &mut time))?,
        groups: list(bytes, |bytes| {
            Some(GroupStatus {
                name: text(bytes)?,
                consumers: unzigzag(number(bytes)?),
            })
        })?,
        hostnames: list(bytes, |bytes| hostname(bytes, &mut time))?,
    })
}

/// `last` is the second of the condition packed before.
fn put_condition(bytes: &mut Vec<u8>, condition: &Condition, last: &mut i64) {
    put_text(bytes, &condition.type_);
    put_text(bytes, &condition.status);
    put_text(bytes, &condition.reason);
    put_text(bytes, &condition.message);
    put_option(bytes, condition.observed_generation);
    let time = condition.last_transition_time.0;
    let second = time.as_second();
    put_number(bytes, zigzag(second - *last));
    put_number(bytes, zigzag(i64::from(time.subsec_nanosecond())));
    *last = second;
}

fn condition(bytes: &mut &[u8], last: &mut i64) -> Option<Condition> {
    let (type_, status, reason, message) = (text(bytes)?, text(bytes)?, text(bytes)?, text(bytes)?);
    let observed_generation = option(bytes)?;
    *last += unzigzag(number(bytes)?);
    let nanosecond = i32::try_from(unzigzag(number(bytes)?)).ok()?;
    Some(Condition {
        type_,
        status,
        reason,
        message,
        observed_generation,
        last_transition_time: Time(Timestamp::new(*last, nanosecond).ok()?),
    })
}

/// What stands around the name in an address, after a 1; 2: it is spelled out; 0: none.
fn put_hostname(bytes: &mut Vec<u8>, hostname: &HostnameStatus, last: &mut i64) {
    put_text(bytes, &hostname.name);
    let around = hostname.url.as_deref().map(|url| {
        let around = url.split_once(hostname.name.as_str());
        around.ok_or(url)
    });
    match around {
        None => bytes.push(0),
        Some(Ok((before, after))) => {
            bytes.push(1);
            put_text(bytes, before);
            put_text(bytes, after);
        }
        Some(Err(url)) => {
            bytes.push(2);
            put_text(bytes, url);
        }
    }
    put_list(bytes, &hostname.conditions, |bytes, condition| {
        put_condition(bytes, condition, last);
    });
}

fn hostname(bytes: &mut &[u8], last: &mut i64) -> Option<HostnameStatus> {
    let name = text(bytes)?;
    let url = match *bytes.split_off_first()? {
        0 => None,
        1 => Some(format!("{}{name}{}", text(bytes)?, text(bytes)?)),
        _ => Some(text(bytes)?),
    };
    let conditions = list(bytes, |bytes| condition(bytes, last))?;
    Some(HostnameStatus {
        name,
        url,
        conditions,
    })
}

fn put_list<T>(bytes: &mut Vec<u8>, items: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    put_number(bytes, items.len() as u64);
    for item in items {
        put(bytes, item);
    }
}

fn list<T>(bytes: &mut &[u8], mut item: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = number(bytes)?;
    (0..count).map(|_| item(bytes)).collect()
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let place = COMMON.iter().position(|common| *common == text);
    if let Some(place) = place.and_then(|place| u8::try_from(place).ok()) {
        bytes.push(place);
        return;
    }
    bytes.push(SPELLED);
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let place = *bytes.split_off_first()?;
    if place != SPELLED {
        return COMMON.get(usize::from(place)).map(|&text| text.to_owned());
    }
    let length = usize::try_from(number(bytes)?).ok()?;
    let text = bytes.split_off(..length)?;
    String::from_utf8(text.to_vec()).ok()
}

/// `None` is 0, any number one more than itself.
fn put_option(bytes: &mut Vec<u8>, value: Option<i64>) {
    match value {
        None => put_number(bytes, 0),
        Some(value) => {
            put_number(bytes, 1);
            put_number(bytes, zigzag(value));
        }
    }
}

fn option(bytes: &mut &[u8]) -> Option<Option<i64>> {
    match number(bytes)? {
        0 => Some(None),
        _ => Some(Some(unzigzag(number(bytes)?))),
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Seven bits a byte, low ones first; the high bit says that more follow.
fn put_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value as u8) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(COMMON.to_vec()).prop_map(str::to_owned),
            any::<String>(),
        ]
    }

    fn any_condition() -> impl Strategy<Value = Condition> {
        let texts = (any_text(), any_text(), any_text(), any_text());
        let time = (-60_000_000_000_i64..200_000_000_000, 0..1_000_000_000);
        (texts, any::<Option<i64>>(), time).prop_map(
            |((type_, status, reason, message), observed_generation, (second, nano))| Condition {
                type_,
                status,
                reason,
                message,
                observed_generation,
                last_transition_time: Time(Timestamp::new(second, nano).unwrap()),
            },
        )
    }

    fn any_hostname() -> impl Strategy<Value = HostnameStatus> {
        let url = prop_oneof![
            Just(None),
            any::<String>().prop_map(Some),
            (any_text(), any_text()).prop_map(|(a, b)| Some(format!("{a}a.test{b}"))),
        ];
        let name = prop_oneof![Just("a.test".to_owned()), any_text()];
        let conditions = prop::collection::vec(any_condition(), 0..3);
        (name, url, conditions).prop_map(|(name, url, conditions)| HostnameStatus {
            name,
            url,
            conditions,
        })
    }

    proptest! {
        #[test]
        fn a_status_survives_packing(
            observed_generation in any::<Option<i64>>(),
            routes in any::<Option<i64>>(),
            conditions in prop::collection::vec(any_condition(), 0..5),
            groups in prop::collection::vec((any_text(), any::<i64>()), 0..3),
            hostnames in prop::collection::vec(any_hostname(), 0..3),
        ) {
            let groups = groups
                .into_iter()
                .map(|(name, consumers)| GroupStatus { name, consumers })
                .collect();
            let status = Status { observed_generation, conditions, hostnames, routes, groups };
            prop_assert_eq!(PackedStatus::new(&status).unpack(), status);
        }
    }

    #[test]
    fn a_status_where_all_is_well_is_small() {
        let condition = |type_: &str, message: &str| Condition {
            type_: type_.into(),
            status: "True".into(),
            reason: type_.into(),
            message: message.into(),
            observed_generation: Some(3),
            last_transition_time: Time(Timestamp::from_second(1_790_000_000).unwrap()),
        };
        let mut status = Status {
            observed_generation: Some(3),
            conditions: vec![
                condition("Ready", "every other condition is true"),
                condition("Accepted", "valid"),
                condition("ResolvedRefs", "every reference leads somewhere"),
                condition("Programmed", "loaded"),
            ],
            ..Status::default()
        };
        assert_eq!(PackedStatus::new(&status).0.len(), 42);
        status.hostnames.push(HostnameStatus {
            name: "a.test".into(),
            url: Some("https://a.test".into()),
            conditions: vec![
                condition("Accepted", "valid"),
                condition("Programmed", "loaded"),
            ],
        });
        assert_eq!(PackedStatus::new(&status).0.len(), 42 + 28);
    }
}
