//! The other replicas' end: reports to whoever holds the Lease.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::transport::Endpoint;
use tracing::{debug, info, warn};
use turnpike_snapshot::proto::from_replica::Message;
use turnpike_snapshot::proto::replicas_client::ReplicasClient;
use turnpike_snapshot::proto::{Connected, FromReplica, ReplicaHello, Suspect};
use turnpike_snapshot::{Name, Version};

use crate::compile;
use crate::lease::Leadership;
use crate::peers::wire;
use crate::serve::Holder;
use crate::trust::dial::Dial;
use crate::world::World;

/// After a stream ended; a new leader may not know yet that it is one.
const PAUSE: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A leader that vanished without a word is found within these two together.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages between this task and the transport; while it is full, this task waits and
/// what there is to tell stays with the hub, each name once.
const UP_BUFFER: usize = 64;
/// How often names are looked at of which the leader knows a version that is not
/// here yet: its watch is a little ahead of ours.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A version that has not come after so long is one that never stays; the leader asks
/// again about the one that does.
const NEVER: Duration = Duration::from_secs(300);

/// Reports to the leader, whenever that is another, until `stop`.
pub async fn run(
    world: Arc<World>,
    mut leadership: watch::Receiver<Leadership>,
    identity: String,
    dial: Dial,
    stop: CancellationToken,
) {
    let reporting = async {
        let mut synced = world.synced();
        if synced.wait_for(|is_synced| *is_synced).await.is_err() {
            return;
        }
        // The same error again and again is told once.
        let mut told = None;
        loop {
            let found = leadership
                .wait_for(|leadership| other(leadership, &identity).is_some())
                .await;
            let Some(address) = found
                .ok()
                .and_then(|leadership| other(&leadership, &identity))
            else {
                return;
            };
            let mut changes = leadership.clone();
            let is_another =
                |leadership: &Leadership| other(leadership, &identity).as_ref() != Some(&address);
            let ended = tokio::select! {
                ended = report(&world, &dial, &address, &identity) => ended,
                is_over = moved(&mut changes, is_another) => match is_over {
                    true => return,
                    false => continue,
                },
            };
            let error = ended.err();
            match error == told {
                true => debug!(leader = address, error, "report to the leader ended"),
                false => warn!(leader = address, error, "report to the leader ended"),
            }
            told = error;
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(reporting).await;
}

/// Waits until this holds; tells whether it never will.
async fn moved(
    changes: &mut watch::Receiver<Leadership>,
    holds: impl FnMut(&Leadership) -> bool,
) -> bool {
    changes.wait_for(holds).await.is_err()
}

/// Where another replica leads.
fn other(leadership: &Leadership, identity: &str) -> Option<String> {
    let is_other = leadership.holder.as_deref() != Some(identity);
    let address = leadership.address().filter(|_| is_other)?;
    Some(address.to_owned())
}

async fn report(world: &World, dial: &Dial, address: &str, identity: &str) -> Result<(), String> {
    let set = |endpoint: Endpoint| {
        endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
    };
    let channel = dial.connect(address, set).await?;
    let (up, messages) = mpsc::channel(UP_BUFFER);
    let hello = Message::Hello(ReplicaHello {
        identity: identity.to_owned(),
    });
    tell(&up, hello).await?;
    let mut request = Request::new(ReceiverStream::new(messages));
    dial.authorize(&mut request).await?;
    let opened = ReplicasClient::new(channel).report(request).await;
    let mut questions = opened.map_err(|status| status.to_string())?.into_inner();
    info!(leader = address, "reporting to the leader");

    let hub = world.hub();
    let mut news = hub.news();
    let mut connections = hub.connections();
    let mut reporter = Reporter::default();
    connections.mark_changed();
    for message in reporter.hear(world, &hub.suspects()) {
        tell(&up, message).await?;
    }
    let mut again = tokio::time::interval(LOOK_AGAIN);
    loop {
        // Each branch is safe to cancel: an item, news that was not taken, a change, a clock.
        let messages = tokio::select! {
            asked = questions.next() => match asked {
                Some(Ok(asked)) => {
                    let exact = |question: &turnpike_snapshot::proto::Question| {
                        wire::read_exact(&question.name, &question.version)
                    };
                    let asked = asked.questions.iter().filter_map(exact);
                    reporter.asked(world, asked, Instant::now())
                }
                Some(Err(status)) => return Err(status.to_string()),
                None => return Ok(()),
            },
            names = news.next() => reporter.hear(world, &names),
            Ok(()) = connections.changed() => {
                let data_planes = *connections.borrow_and_update() as u64;
                vec![Message::Connected(Connected { data_planes })]
            }
            _ = again.tick(), if reporter.is_behind() => {
                reporter.look_again(world, Instant::now())
            }
        };
        for message in messages {
            tell(&up, message).await?;
        }
    }
}

async fn tell(up: &mpsc::Sender<FromReplica>, message: Message) -> Result<(), String> {
    let message = FromReplica {
        message: Some(message),
    };
    let told = up.send(message).await;
    told.map_err(|_| "the leader closed the stream".to_owned())
}

/// What the leader waits for, and what it was told unasked.
#[derive(Default)]
struct Reporter {
    /// Questions without a final answer.
    open: HashMap<Name, Open>,
    /// Of those, what is not here in the version asked for.
    behind: HashSet<Name>,
    suspects: BTreeSet<Name>,
}

struct Open {
    version: Option<Version>,
    since: Instant,
    told: Option<Vec<Holder>>,
}

impl Reporter {
    fn asked(
        &mut self,
        world: &World,
        asked: impl Iterator<Item = wire::Exact>,
        now: Instant,
    ) -> Vec<Message> {
        let mut messages = Vec::new();
        for (name, version) in asked {
            let open = Open {
                version,
                since: now,
                told: None,
            };
            self.open.insert(name.clone(), open);
            messages.extend(self.answer(world, &name));
        }
        messages
    }

    /// Data planes got further with these names.
    fn hear(&mut self, world: &World, names: &BTreeSet<Name>) -> Vec<Message> {
        let mut messages = Vec::new();
        for name in names {
            let holders = wire::digest(world.hub().delivery(name));
            let is_suspect = wire::is_suspect(&holders);
            let is_news = match is_suspect {
                true => self.suspects.insert(name.clone()),
                false => self.suspects.remove(name),
            };
            if is_news {
                messages.push(Message::Suspect(Suspect {
                    name: name.to_string(),
                    is_suspect,
                }));
            }
            messages.extend(self.answer(world, name));
        }
        messages
    }

    fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    fn look_again(&mut self, world: &World, now: Instant) -> Vec<Message> {
        let names: Vec<Name> = self.behind.iter().cloned().collect();
        let mut messages = Vec::new();
        for name in names {
            messages.extend(self.answer(world, &name));
            let since = self.open.get(&name).map(|open| open.since);
            if since.is_none_or(|since| now >= since + NEVER) {
                self.behind.remove(&name);
                self.open.remove(&name);
            }
        }
        messages
    }

    /// Answers an open question if there is anything new to say.
    fn answer(&mut self, world: &World, name: &Name) -> Option<Message> {
        let open = self.open.get_mut(name)?;
        // Under one lock: whoever has not got this version lags at the hub already.
        let (version, delivery) = world.read(|index| {
            let compiled = compile::snapshot(index, name);
            let version = compiled.map(|snapshot| Version::of(&snapshot));
            (version, world.hub().delivery(name))
        });
        if version != open.version {
            self.behind.insert(name.clone());
            return None;
        }
        self.behind.remove(name);
        let holders = wire::digest(delivery);
        if open.told.as_ref() == Some(&holders) {
            return None;
        }
        let answer = wire::answer((name.clone(), version), &holders);
        if wire::is_final(&holders) {
            self.open.remove(name);
        } else {
            open.told = Some(holders);
        }
        Some(Message::Answer(answer))
    }
}

#[cfg(test)]
mod tests;
