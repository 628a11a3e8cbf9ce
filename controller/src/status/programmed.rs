//! Whether data planes serve what an object says. Pure: deliveries in, a verdict out.

use turnpike_snapshot::Name;

use crate::compile::finding::Findings;
use crate::serve::{Delivery, Standing};

/// What is judged of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// By all that it is part of.
    pub object: Programmed,
    /// Of a route, each hostname by itself, in the route's order.
    pub hostnames: Vec<Programmed>,
}

/// What data planes did with the snapshots that an object is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programmed {
    /// Each data plane that holds one of them serves the newest.
    Loaded,
    /// None holds any of them; the first request loads them.
    NotLoaded,
    /// There is nobody to serve them.
    NoDataPlane,
    /// These data planes have not acknowledged the newest.
    Lagging(Vec<String>),
    /// One refused the newest, in its own words; what it held before stays in force.
    Refused(String),
    /// One lacks what the newest needs.
    TooOld(String),
    /// The object is part of no snapshot.
    Nothing,
}

impl Verdict {
    /// Judges by the deliveries of every name that the object is part of.
    pub fn new(findings: &Findings, connected: usize, deliveries: &[(Name, Delivery)]) -> Self {
        let hostnames = findings.hostnames.iter().map(|hostname| {
            let is_its = |name: &Name| matches!(name, Name::Domain(host) if *host == hostname.name);
            let deliveries = deliveries.iter().filter(|(name, _)| is_its(name));
            judge(connected, deliveries)
        });
        Self {
            hostnames: hostnames.collect(),
            object: judge(connected, deliveries),
        }
    }
}

/// Judges by the deliveries of some names.
fn judge<'a>(
    connected: usize,
    deliveries: impl IntoIterator<Item = &'a (Name, Delivery)>,
) -> Programmed {
    let mut deliveries = deliveries.into_iter().peekable();
    if deliveries.peek().is_none() {
        return Programmed::Nothing;
    }
    if connected == 0 {
        return Programmed::NoDataPlane;
    }
    let mut lagging = Vec::new();
    let mut too_old = None;
    let mut is_held = false;
    for (name, delivery) in deliveries {
        for holder in &delivery.holders {
            is_held = true;
            let data_plane = &holder.data_plane;
            match &holder.standing {
                Standing::Current => {}
                Standing::Lagging => lagging.push(data_plane.clone()),
                Standing::Refused(words) => {
                    return Programmed::Refused(format!(
                        "data plane {data_plane} refused {name}: {words}"
                    ));
                }
                Standing::TooOld(features) => {
                    too_old = Some(format!(
                        "data plane {data_plane} lacks {}, which {name} needs; upgrade it",
                        features.join(", ")
                    ));
                }
            }
        }
    }
    if let Some(too_old) = too_old {
        return Programmed::TooOld(too_old);
    }
    lagging.sort();
    lagging.dedup();
    match (lagging.is_empty(), is_held) {
        (false, _) => Programmed::Lagging(lagging),
        (true, true) => Programmed::Loaded,
        (true, false) => Programmed::NotLoaded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Holder;

    fn delivery(standings: &[(&str, Standing)]) -> (Name, Delivery) {
        let holders = standings.iter().map(|(data_plane, standing)| Holder {
            data_plane: (*data_plane).into(),
            standing: standing.clone(),
        });
        let delivery = Delivery {
            connected: 2,
            holders: holders.collect(),
        };
        (Name::Domain("a.test".into()), delivery)
    }

    #[test]
    fn a_hostname_is_judged_by_its_own_domain() {
        use crate::compile::finding::{Findings, HostnameFinding};

        let hostnames = ["a.test", "b.test"].map(|name| HostnameFinding::new(name, None));
        let findings = Findings {
            hostnames: hostnames.into(),
            ..Findings::new(&[], Vec::new())
        };
        let deliveries = [delivery(&[("dp-1", Standing::Lagging)])];
        let verdict = Verdict::new(&findings, 1, &deliveries);
        let lagging = Programmed::Lagging(vec!["dp-1".into()]);
        assert_eq!(verdict.object, lagging);
        assert_eq!(verdict.hostnames, [lagging, Programmed::Nothing]);
    }

    #[test]
    fn every_holder_must_be_current() {
        let cases = [
            (vec![], Programmed::NotLoaded),
            (vec![("dp-1", Standing::Current)], Programmed::Loaded),
            (
                vec![("dp-1", Standing::Current), ("dp-2", Standing::Lagging)],
                Programmed::Lagging(vec!["dp-2".into()]),
            ),
            (
                vec![
                    ("dp-1", Standing::Lagging),
                    ("dp-2", Standing::Refused("bad url".into())),
                ],
                Programmed::Refused("data plane dp-2 refused domain/a.test: bad url".into()),
            ),
            (
                vec![
                    ("dp-1", Standing::Lagging),
                    ("dp-2", Standing::TooOld(vec!["vendor/New".into()])),
                ],
                Programmed::TooOld(
                    "data plane dp-2 lacks vendor/New, which domain/a.test needs; upgrade it"
                        .into(),
                ),
            ),
        ];
        for (standings, verdict) in cases {
            assert_eq!(judge(2, &[delivery(&standings)]), verdict);
        }
    }

    #[test]
    fn without_a_data_plane_nothing_is_known() {
        assert_eq!(judge(0, &[delivery(&[])]), Programmed::NoDataPlane);
    }

    #[test]
    fn what_is_part_of_no_snapshot_is_never_programmed() {
        assert_eq!(judge(0, &[]), Programmed::Nothing);
        assert_eq!(judge(1, &[]), Programmed::Nothing);
    }

    #[test]
    fn a_data_plane_that_lags_with_two_names_is_named_once() {
        let lagging = delivery(&[("dp-1", Standing::Lagging)]);
        assert_eq!(
            judge(1, &[lagging.clone(), lagging]),
            Programmed::Lagging(vec!["dp-1".into()])
        );
    }
}
