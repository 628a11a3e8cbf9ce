//! The leader's end: takes reports of the other replicas while it leads.

use futures::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::info;
use turnpike_snapshot::proto::from_replica::Message;
use turnpike_snapshot::proto::replicas_server::Replicas;
use turnpike_snapshot::proto::{FromLeader, FromReplica};

use crate::lease::Leadership;
use crate::peers::board::Board;
use crate::peers::wire;
use crate::trust::gate::{Gate, Pass};
use crate::trust::lobby::Visitor;

/// A peer has its hello ready when it connects.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Batches of questions made and not yet taken by the transport; while it is full,
/// questions wait on the board, each name once.
const OUTBOUND: usize = 2;
/// Questions a message.
const AT_ONCE: usize = 1_000;

/// What a report stream needs.
#[derive(Clone)]
pub struct Context {
    /// Where reports go.
    pub board: Board,
    /// Only a leader takes reports.
    pub leadership: watch::Receiver<Leadership>,
    /// Ends all streams.
    pub shutdown: CancellationToken,
}

/// The gRPC service.
pub(crate) struct Service {
    pub(crate) context: Context,
    pub(crate) gate: Gate,
    /// Owns the tasks of streams.
    pub(crate) streams: TaskTracker,
}

type Outbound = mpsc::Sender<Result<FromLeader, Status>>;

#[tonic::async_trait]
impl Replicas for Service {
    type ReportStream = ReceiverStream<Result<FromLeader, Status>>;

    async fn report(
        &self,
        request: Request<Streaming<FromReplica>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let admitting = self.gate.admit(request.metadata(), visitor.as_ref());
        let pass = admitting.await?;
        let mut context = self.context.clone();
        if !context
            .leadership
            .borrow_and_update()
            .is_leader(Instant::now())
        {
            return Err(Status::failed_precondition("this controller does not lead"));
        }
        let (outbound, messages) = mpsc::channel(OUTBOUND);
        self.streams.spawn(async move {
            let shutdown = context.shutdown.clone();
            let parting = outbound.clone();
            let listening = listen(context, request.into_inner(), outbound);
            tokio::select! {
                _ = shutdown.run_until_cancelled(listening) => {}
                () = pass.lapsed() => {
                    // Where the way out is full the end alone says it.
                    let _ = parting.try_send(Err(Pass::parting()));
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// Ends with the peer, or when this replica leads no more.
async fn listen(
    mut context: Context,
    mut inbound: impl Stream<Item = Result<FromReplica, Status>> + Unpin,
    outbound: Outbound,
) {
    let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.next()).await;
    let Ok(Some(Ok(FromReplica {
        message: Some(Message::Hello(hello)),
    }))) = first
    else {
        return;
    };
    let peer = hello.identity;
    info!(peer, "other replica reports");
    let seat = context.board.join(&peer);
    loop {
        // Each branch is safe to cancel: an item, a batch that was not taken, a change.
        tokio::select! {
            message = inbound.next() => match message {
                Some(Ok(message)) => message.message.into_iter().for_each(|message| seat.hear(message)),
                Some(Err(_)) | None => break,
            },
            asked = ask(&seat, &outbound) => if asked.is_none() { break },
            changed = context.leadership.changed() => {
                let leadership = context.leadership.borrow_and_update();
                if changed.is_err() || !leadership.is_leader(Instant::now()) {
                    break;
                }
            }
        }
    }
    info!(peer, "other replica reports no more");
}

/// Sends what is asked; `None`: nobody listens.
async fn ask(seat: &super::board::Seat, outbound: &Outbound) -> Option<()> {
    let permits = outbound.reserve_many(OUTBOUND).await.ok()?;
    let mut questions = seat.questions(AT_ONCE * OUTBOUND).await.into_iter();
    for permit in permits {
        let batch: Vec<_> = questions
            .by_ref()
            .take(AT_ONCE)
            .map(wire::question)
            .collect();
        if !batch.is_empty() {
            permit.send(Ok(FromLeader { questions: batch }));
        }
    }
    Some(())
}
