//! Where resources come from files there is no status to write: what a condition
//! would say is logged instead, once when it begins and once when it is mended.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::compile;
use crate::source::ObjectKey;
use crate::world::World;

/// Logs what is wrong with objects until `stop`.
pub async fn run(world: Arc<World>, stop: CancellationToken) {
    let announcing = async {
        let mut synced = world.synced();
        if synced.wait_for(|synced| *synced).await.is_err() {
            return;
        }
        world.collect_touched();
        let mut announcer = Announcer::default();
        loop {
            for object in world.next_touched().await.objects {
                let issues = world.read(|index| compile::issues(index, &object));
                let issues = issues.unwrap_or_default().into_iter();
                let words = issues.map(|issue| format!("{}: {}", issue.path, issue.message));
                announcer.tell(&object, words.collect());
            }
        }
    };
    stop.run_until_cancelled(announcing).await;
}

/// What was last told of each object that is not well.
#[derive(Default)]
struct Announcer(HashMap<ObjectKey, Vec<String>>);

impl Announcer {
    /// Tells what is new; gives how many lines that were.
    fn tell(&mut self, object: &ObjectKey, words: Vec<String>) -> usize {
        let before = self.0.remove(object).unwrap_or_default();
        let mut lines = 0;
        for fault in words.iter().filter(|word| !before.contains(word)) {
            warn!(%object, fault, "resource cannot be served as written");
            lines += 1;
        }
        if words.is_empty() {
            if !before.is_empty() {
                info!(%object, "resource is mended");
                lines += 1;
            }
        } else {
            self.0.insert(object.clone(), words);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Kind;

    #[test]
    fn each_fault_is_told_once_and_so_is_the_mend() {
        let object = ObjectKey::new(Kind::AIRoute, "a", "r");
        let mut announcer = Announcer::default();
        let fault = || vec!["spec.rules[0]: gone".to_owned()];
        assert_eq!(announcer.tell(&object, fault()), 1);
        assert_eq!(announcer.tell(&object, fault()), 0);
        assert_eq!(announcer.tell(&object, Vec::new()), 1);
        assert_eq!(announcer.tell(&object, Vec::new()), 0);
        assert_eq!(announcer.tell(&object, fault()), 1);
    }
}
