//! A status in few bytes: the index keeps one for each object, and reads it only
//! where a new one is drafted.
//!
//! Lossless: texts that most statuses share are one byte, all others are spelled out.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use turnpike_crds::Status;

/// A [`Status`], some 30 bytes where all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedStatus(Box<[u8]>);

/// Texts of conditions that stand in nearly every object; their places are only
/// known within a process, so that any may be added.
const COMMON: [&str; 12] = [
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
];

/// Marks a text that is spelled out.
const SPELLED: u8 = u8::MAX;

impl PackedStatus {
    /// Packs a status.
    pub fn new(status: &Status) -> Self {
        let mut bytes = Vec::with_capacity(40);
        put_option(&mut bytes, status.observed_generation);
        for condition in &status.conditions {
            put_text(&mut bytes, &condition.type_);
            put_text(&mut bytes, &condition.status);
            put_text(&mut bytes, &condition.reason);
            put_text(&mut bytes, &condition.message);
            put_option(&mut bytes, condition.observed_generation);
            let time = condition.last_transition_time.0;
            put_number(&mut bytes, zigzag(time.as_second()));
            put_number(&mut bytes, zigzag(i64::from(time.subsec_nanosecond())));
        }
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
    let observed_generation = option(bytes)?;
    let mut conditions = Vec::new();
    while !bytes.is_empty() {
        conditions.push(condition(bytes)?);
    }
    Some(Status {
        observed_generation,
        conditions,
    })
}

fn condition(bytes: &mut &[u8]) -> Option<Condition> {
    Some(Condition {
        type_: text(bytes)?,
        status: text(bytes)?,
        reason: text(bytes)?,
        message: text(bytes)?,
        observed_generation: option(bytes)?,
        last_transition_time: Time(
            Timestamp::new(
                unzigzag(number(bytes)?),
                i32::try_from(unzigzag(number(bytes)?)).ok()?,
            )
            .ok()?,
        ),
    })
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

    proptest! {
        #[test]
        fn a_status_survives_packing(
            observed_generation in any::<Option<i64>>(),
            conditions in prop::collection::vec(any_condition(), 0..5),
        ) {
            let status = Status { observed_generation, conditions };
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
        let status = Status {
            observed_generation: Some(3),
            conditions: vec![
                condition("Accepted", "valid"),
                condition("ResolvedRefs", "every reference leads somewhere"),
                condition("Programmed", "loaded"),
            ],
        };
        assert_eq!(PackedStatus::new(&status).0.len(), 38);
    }
}
