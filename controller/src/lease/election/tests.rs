//! Each rule alone, then two replicas on a bad network with clocks of their own.

use proptest::prelude::*;

use super::*;

const DURATION: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(8);

fn election(identity: &str) -> Election {
    Election::new(identity.into(), DURATION, DEADLINE)
}

fn record(holder: &str, renewed: u64, version: u64) -> Record {
    Record {
        holder: Some(holder.to_owned()).filter(|holder| !holder.is_empty()),
        renewed: Some(renewed.to_string()),
        term: 3,
        version: version.to_string(),
    }
}

fn take(version: u64) -> Step {
    Step::Take {
        version: version.to_string(),
        term: 4,
    }
}

#[test]
fn a_lease_is_taken_when_it_is_free_or_silent() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    // What is read after so many seconds, and what follows.
    type Look = (u64, Option<Record>, Step);
    let cases: [(&str, Vec<Look>); 5] = [
        ("none", vec![(0, None, Step::Create)]),
        ("given back", vec![(0, Some(record("", 1, 1)), take(1))]),
        (
            "silent",
            vec![
                (0, Some(record("b", 1, 1)), Step::Wait),
                (9, Some(record("b", 1, 1)), Step::Wait),
                (10, Some(record("b", 1, 1)), take(1)),
            ],
        ),
        (
            "renewed, by a clock that goes backwards",
            vec![
                (0, Some(record("b", 900, 1)), Step::Wait),
                (8, Some(record("b", 100, 2)), Step::Wait),
                (17, Some(record("b", 100, 2)), Step::Wait),
                (18, Some(record("b", 100, 2)), take(2)),
            ],
        ),
        (
            "annotated by somebody, which renews nothing",
            vec![
                (0, Some(record("b", 1, 1)), Step::Wait),
                (10, Some(record("b", 1, 2)), take(2)),
            ],
        ),
    ];
    for (case, looks) in cases {
        let mut election = election("a");
        for (at, read, step) in looks {
            assert_eq!(
                election.look(read, start + second * at as u32),
                step,
                "{case}"
            );
        }
    }
}

#[test]
fn a_write_lets_lead_from_when_it_was_sent() {
    let start = Instant::now();
    let mut election = election("a");
    election.look(None, start);
    election.wrote(record("a", 1, 1), start, start + Duration::from_secs(3));
    assert!(election.is_leader(start + DEADLINE - Duration::from_millis(1)));
    assert!(!election.is_leader(start + DEADLINE));
    election.tick(start + DEADLINE);
    assert_eq!(election.leads_until(), None);
    // Its own record, met again: it goes on.
    let step = election.look(Some(record("a", 1, 1)), start + DEADLINE);
    assert!(matches!(step, Step::Renew { .. }));
}

#[test]
fn who_sees_another_holder_leads_no_more() {
    let start = Instant::now();
    let mut election = election("a");
    election.wrote(record("a", 1, 1), start, start);
    assert_eq!(election.look(Some(record("b", 2, 2)), start), Step::Wait);
    assert!(!election.is_leader(start));
    assert_eq!(election.release(), None);
}

#[test]
fn a_lease_is_given_back_by_its_holder_alone() {
    let start = Instant::now();
    let mut election = election("a");
    election.wrote(record("a", 1, 7), start, start);
    assert_eq!(election.release(), Some(("7".into(), 3)));
    assert!(!election.is_leader(start));
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    /// It never arrives.
    LostCall,
    /// It is done, and nobody hears of it.
    LostReply,
}

#[derive(Clone, Debug)]
enum Action {
    Wait(u64),
    /// A replica reads; later it does what followed from that.
    Read(usize, Fate),
    Write(usize, Fate),
    Release(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let fate = || {
        prop_oneof![
            6 => Just(Fate::Done),
            1 => Just(Fate::LostCall),
            1 => Just(Fate::LostReply),
        ]
    };
    prop_oneof![
        4 => (0..4_000_u64).prop_map(Action::Wait),
        1 => (4_000..12_000_u64).prop_map(Action::Wait),
        6 => (0..2_usize, fate()).prop_map(|(who, fate)| Action::Read(who, fate)),
        6 => (0..2_usize, fate()).prop_map(|(who, fate)| Action::Write(who, fate)),
        1 => (0..2_usize).prop_map(Action::Release),
    ]
}

struct Replica {
    election: Election,
    /// Its monotonic clock began somewhere else.
    clock: Instant,
    /// Its wall clock is wrong by so much.
    skew: i64,
    intent: Option<(Step, Duration)>,
}

struct Scene {
    now: Duration,
    lease: Option<Record>,
    writes: u64,
    replicas: [Replica; 2],
}

impl Scene {
    fn new(skews: [i64; 2]) -> Self {
        let start = Instant::now() + Duration::from_secs(100_000);
        let replica = |who: usize, identity: &str| Replica {
            election: election(identity),
            clock: start + Duration::from_secs(1_000 * who as u64),
            skew: skews[who],
            intent: None,
        };
        Self {
            now: Duration::ZERO,
            lease: None,
            writes: 0,
            replicas: [replica(0, "a"), replica(1, "b")],
        }
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::Wait(millis) => self.now += Duration::from_millis(millis),
            Action::Read(_, Fate::LostCall | Fate::LostReply) => {}
            Action::Read(who, Fate::Done) => {
                let replica = &mut self.replicas[who];
                let step = replica
                    .election
                    .look(self.lease.clone(), replica.clock + self.now);
                replica.intent = Some((step, self.now));
            }
            Action::Write(who, fate) => self.write(who, fate),
            Action::Release(who) => {
                let given = self.replicas[who].election.release();
                let version = self.lease.as_ref().map(|lease| lease.version.clone());
                if let Some((given, term)) = given
                    && version == Some(given)
                {
                    self.put(None, who, term);
                }
            }
        }
    }

    fn write(&mut self, who: usize, fate: Fate) {
        let Some((step, asked)) = self.replicas[who].intent.take() else {
            return;
        };
        let (replaced, term) = match step {
            Step::Wait => return,
            Step::Create => (None, 0),
            Step::Take { version, term } | Step::Renew { version, term } => (Some(version), term),
        };
        let current = self.lease.as_ref().map(|lease| lease.version.clone());
        if matches!(fate, Fate::LostCall) || current != replaced {
            return;
        }
        let identity = self.replicas[who].election.identity().to_owned();
        let written = self.put(Some(identity), who, term);
        if matches!(fate, Fate::Done) {
            let replica = &mut self.replicas[who];
            let clock = replica.clock;
            replica
                .election
                .wrote(written, clock + asked, clock + self.now);
        }
    }

    fn put(&mut self, holder: Option<String>, who: usize, term: i32) -> Record {
        self.writes += 1;
        let wall = self.now.as_millis() as i64 + self.replicas[who].skew;
        let record = Record {
            holder,
            renewed: Some(wall.to_string()),
            term,
            version: self.writes.to_string(),
        };
        self.lease = Some(record.clone());
        record
    }

    fn leaders(&self) -> usize {
        let replicas = self.replicas.iter();
        replicas
            .filter(|replica| replica.election.is_leader(replica.clock + self.now))
            .count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_never_lead_at_once(
        skews in [-1_000_000_000..1_000_000_000_i64, -1_000_000_000..1_000_000_000_i64],
        actions in prop::collection::vec(action(), 0..200),
    ) {
        let mut scene = Scene::new(skews);
        for action in actions {
            scene.run(action);
            prop_assert!(scene.leaders() <= 1);
        }
        // Left alone, one of them leads before long.
        for _ in 0..8 {
            scene.run(Action::Wait(2_000));
            scene.run(Action::Read(0, Fate::Done));
            scene.run(Action::Write(0, Fate::Done));
        }
        prop_assert_eq!(scene.leaders(), 1);
    }
}
