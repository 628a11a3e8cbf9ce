//! Standings as they go between replicas, and back.

use turnpike_snapshot::proto::bearer::Standing as Wire;
use turnpike_snapshot::proto::{Answer, Bearer, Empty, Features, Question};
use turnpike_snapshot::{Name, Version};

use crate::serve::{Delivery, Holder, Standing};

/// Laggards that a condition names of one replica; more would not be read.
const NAMED: usize = 8;

/// What is asked or answered: a name, and the version that is meant (`None`: nothing).
pub(crate) type Exact = (Name, Option<Version>);

/// Leaves of a delivery what matters to a verdict.
pub(super) fn digest(delivery: Delivery) -> Vec<Holder> {
    let (mut current, mut lagging) = (false, 0);
    let mut holders = delivery.holders;
    holders.sort_by(|one, other| one.data_plane.cmp(&other.data_plane));
    holders.retain(|holder| match holder.standing {
        Standing::Current => !std::mem::replace(&mut current, true),
        Standing::Lagging => {
            lagging += 1;
            lagging <= NAMED
        }
        Standing::Refused(_) | Standing::TooOld(_) => true,
    });
    holders
}

/// Whether nothing more is to be expected.
pub(super) fn is_final(holders: &[Holder]) -> bool {
    let mut holders = holders.iter();
    holders.all(|holder| holder.standing != Standing::Lagging)
}

/// Whether a verdict on the name may be bad.
pub(super) fn is_suspect(holders: &[Holder]) -> bool {
    let mut holders = holders.iter();
    holders.any(|holder| matches!(holder.standing, Standing::Refused(_) | Standing::TooOld(_)))
}

pub(super) fn question((name, version): Exact) -> Question {
    Question {
        name: name.to_string(),
        version: version.map(Version::to_bytes).unwrap_or_default(),
    }
}

pub(super) fn answer((name, version): Exact, holders: &[Holder]) -> Answer {
    let bearers = holders.iter().map(|holder| Bearer {
        data_plane: holder.data_plane.clone(),
        standing: Some(match &holder.standing {
            Standing::Current => Wire::Current(Empty {}),
            Standing::Lagging => Wire::Lagging(Empty {}),
            Standing::Refused(words) => Wire::Refused(words.clone()),
            Standing::TooOld(features) => Wire::Lacks(Features {
                names: features.clone(),
            }),
        }),
    });
    Answer {
        name: name.to_string(),
        version: version.map(Version::to_bytes).unwrap_or_default(),
        bearers: bearers.collect(),
    }
}

/// `None`: of a newer release, which is not understood.
pub(super) fn read_exact(name: &str, version: &[u8]) -> Option<Exact> {
    let version = match version {
        [] => None,
        bytes => Some(Version::from_bytes(bytes)?),
    };
    Some((name.parse().ok()?, version))
}

/// A standing that is not known here counts as lagging: it is surely not well.
pub(super) fn read_holders(bearers: Vec<Bearer>) -> Vec<Holder> {
    let bearers = bearers.into_iter();
    bearers
        .map(|bearer| Holder {
            data_plane: bearer.data_plane,
            standing: match bearer.standing {
                Some(Wire::Current(_)) => Standing::Current,
                Some(Wire::Lagging(_)) | None => Standing::Lagging,
                Some(Wire::Refused(words)) => Standing::Refused(words),
                Some(Wire::Lacks(features)) => Standing::TooOld(features.names),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(data_plane: &str, standing: Standing) -> Holder {
        Holder {
            data_plane: data_plane.into(),
            standing,
        }
    }

    #[test]
    fn an_answer_survives_the_way_and_names_few() {
        let mut holders = vec![
            holder("a", Standing::Current),
            holder("b", Standing::Current),
            holder("c", Standing::Refused("no".into())),
            holder("d", Standing::TooOld(vec!["vendor/New".into()])),
        ];
        holders.extend((0..20).map(|number| holder(&format!("l{number}"), Standing::Lagging)));
        let digest = digest(Delivery {
            connected: 24,
            holders,
        });
        assert_eq!(digest.len(), 1 + 2 + NAMED);
        assert!(is_suspect(&digest) && !is_final(&digest));
        let exact = (Name::Fleet, None);
        let sent = answer(exact.clone(), &digest);
        assert_eq!(read_exact(&sent.name, &sent.version), Some(exact));
        assert_eq!(read_holders(sent.bearers), digest);
    }
}
