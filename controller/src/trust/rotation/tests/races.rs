//! Replicas with clocks of their own read and write one Secret and one bundle, each step
//! of one between any two steps of another.

use proptest::prelude::*;

use super::*;

/// Clocks of one cluster differ by less.
const SKEW: Duration = Duration::from_secs(300);

/// What the API server holds; a write must name the version that it replaces.
#[derive(Default)]
struct Server {
    secret: Option<Held<Fake>>,
    secret_version: u64,
    bundle: Option<String>,
    bundle_version: u64,
    /// What was in the bundle since when, by true time.
    published: Vec<(String, Moment)>,
}

/// Where a replica is in its round.
enum Phase {
    ReadBundle,
    ReadSecret(Option<String>, u64),
    Do(Option<String>, u64, Option<Held<Fake>>, u64),
}

struct Replica {
    /// How far its clock is off, in seconds.
    skew: i64,
    phase: Phase,
    adopted: Option<Fake>,
}

struct Cluster {
    now: Moment,
    server: Server,
    replicas: Vec<Replica>,
    made: usize,
}

impl Server {
    fn since(&self, fake: &Fake) -> Option<Moment> {
        let mut published = self.published.iter();
        published
            .find(|(pem, _)| *pem == fake.pem)
            .map(|(_, since)| *since)
    }

    fn publish(&mut self, bundle: String, now: Moment) {
        self.published.retain(|(pem, _)| bundle.contains(pem));
        for line in bundle.lines() {
            let pem = format!("{line}\n");
            if !self.published.iter().any(|(known, _)| *known == pem) {
                self.published.push((pem, now));
            }
        }
        self.bundle = Some(bundle);
        self.bundle_version += 1;
    }
}

impl Cluster {
    fn new(skews: &[i64]) -> Self {
        let replica = |&skew: &i64| Replica {
            skew,
            phase: Phase::ReadBundle,
            adopted: None,
        };
        Self {
            now: now(),
            server: Server::default(),
            replicas: skews.iter().map(replica).collect(),
            made: 0,
        }
    }

    /// One replica goes one step on.
    fn step(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        let server = &mut self.server;
        let mut is_new = false;
        replica.phase = match std::mem::replace(&mut replica.phase, Phase::ReadBundle) {
            Phase::ReadBundle => Phase::ReadSecret(server.bundle.clone(), server.bundle_version),
            Phase::ReadSecret(bundle, version) => {
                let (secret, secret_version) = (server.secret.clone(), server.secret_version);
                Phase::Do(bundle, version, secret, secret_version)
            }
            Phase::Do(bundle, bundle_version, secret, secret_version) => {
                let clock = Moment(self.now.0 + replica.skew);
                let fresh = || {
                    self.made += 1;
                    let until = clock.plus(LIFETIME);
                    Ok::<_, Infallible>(Fake::new(&self.made.to_string(), clock, until))
                };
                let Ok(act) = act(secret.as_ref(), bundle.as_deref(), clock, fresh);
                match act {
                    Act::Write(held) if server.secret_version == secret_version => {
                        server.secret = Some(held);
                        server.secret_version += 1;
                    }
                    Act::Publish(bundle) if server.bundle_version == bundle_version => {
                        server.publish(bundle, self.now);
                    }
                    Act::Write(_) | Act::Publish(_) => {}
                    Act::Adopt => {
                        let signing = secret.map(|held| held.signing);
                        is_new = replica.adopted != signing;
                        replica.adopted = signing;
                    }
                }
                Phase::ReadBundle
            }
        };
        if is_new {
            self.check_new(number);
        }
    }

    /// What signs from now on is known to all who have read the bundle lately.
    fn check_new(&self, number: usize) {
        let adopted = self.replicas[number].adopted.as_ref().unwrap();
        let since = self.server.since(adopted).expect("in the bundle");
        let is_first = adopted.pem == "<1>\n";
        let age = since.until(self.now);
        assert!(
            is_first || age + 2 * SKEW >= GRACE,
            "{adopted:?} after {age:?}"
        );
    }

    /// Whoever has the bundle of now trusts whatever is served.
    fn check(&self) {
        for adopted in self.replicas.iter().filter_map(|one| one.adopted.as_ref()) {
            if !adopted.life.has_ended(self.now.plus(SKEW)) {
                assert!(self.server.since(adopted).is_some(), "{adopted:?}");
            }
        }
    }

    /// All replicas finish what they do, one after the other.
    fn settle(&mut self) {
        for _ in 0..10 * 3 {
            for number in 0..self.replicas.len() {
                self.step(number);
            }
        }
    }
}

proptest! {
    #[test]
    fn replicas_that_race_never_serve_what_nobody_trusts(
        skews in proptest::collection::vec(-300_i64..=300, 1..4),
        steps in proptest::collection::vec((0_usize..4, 0_u32..36), 1..600),
    ) {
        let mut cluster = Cluster::new(&skews);
        // All but the first start together on nothing, which only one may win.
        cluster.settle();
        for (number, hours) in steps {
            let replica = number % cluster.replicas.len();
            // Clocks stand still in most steps, and go on by hours in others.
            if number == 3 {
                cluster.now = cluster.now.plus(DAY / 24 * hours);
            }
            cluster.step(replica);
            cluster.check();
        }
        // Whatever was under way: within days one CA signs that has time left.
        for _ in 0..4 {
            cluster.settle();
            cluster.now = cluster.now.plus(DAY);
        }
        cluster.settle();
        cluster.check();
        let held = cluster.server.secret.clone().unwrap();
        for replica in &cluster.replicas {
            prop_assert_eq!(replica.adopted.as_ref(), Some(&held.signing));
        }
        let left = cluster.now.until(held.signing.life.until);
        prop_assert!(left > LIFETIME / 4, "{:?} left", left);
    }

    #[test]
    fn over_years_no_ca_is_served_unpublished(
        skews in proptest::collection::vec(-300_i64..=300, 2..4),
        days in proptest::collection::vec(1_u32..20, 60..120),
    ) {
        let mut cluster = Cluster::new(&skews);
        for days in days {
            cluster.settle();
            cluster.check();
            cluster.now = cluster.now.plus(DAY * days);
        }
        // Each of them may make one that another's write comes before.
        let made = cluster.made / cluster.replicas.len();
        prop_assert!(made <= 12, "{} CAs", made);
    }
}
