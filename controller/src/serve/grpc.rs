//! The gRPC service over whatever carries it: a socket, or a pipe in this process.

use std::io;
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Error, Server};
use tonic::{Request, Response, Status, Streaming};
use tracing::info;
use turnpike_snapshot::proto::replicas_server::ReplicasServer;
use turnpike_snapshot::proto::snapshots_server::{Snapshots, SnapshotsServer};
use turnpike_snapshot::proto::{ClientMessage, ServerMessage};

use crate::peers::service;
use crate::serve::stream::{self, Context};
use crate::trust::gate::{Gate, Pass};
use crate::trust::listener::Tls;
use crate::trust::lobby::Visitor;

/// A data plane that vanished without a word is found within these two together.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A subscription to hundreds of thousands of names; a domain with all it refers to.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Units made and not yet taken by the transport.
const OUTBOUND_UNITS: usize = 2;

/// Bytes in a pipe of this process before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// At shutdown, for a client to take the last words; one that does not read would
/// hold the process for ever.
const PARTING_TIME: Duration = Duration::from_secs(5);

/// Dials that wait for the server; more of them wait in turn.
const PIPE_BACKLOG: usize = 4;

/// Serves streams on a socket until shutdown, then lets them end; those of other
/// replicas too, where there may be some.
pub async fn serve_tcp(
    listener: TcpListener,
    context: Context,
    peers: Option<service::Context>,
) -> Result<(), Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve(incoming, context, peers, Gates::open()).await
}

/// Serves streams over TLS to whom the gates let in, until shutdown; then lets them end.
pub async fn serve_tls(
    connections: mpsc::Receiver<io::Result<Tls>>,
    context: Context,
    peers: Option<service::Context>,
    gates: Gates,
) -> Result<(), Error> {
    serve(ReceiverStream::new(connections), context, peers, gates).await
}

/// Serves streams over pipes until shutdown, then lets them end.
pub async fn serve_pipes(pipes: Pipes, context: Context) -> Result<(), Error> {
    let incoming = ReceiverStream::new(pipes.incoming);
    serve(incoming, context, None, Gates::open()).await
}

/// Who gets which streams; cheap to clone.
#[derive(Clone)]
pub struct Gates {
    /// Snapshots.
    pub data_planes: Gate,
    /// Reports of other replicas.
    pub controllers: Gate,
}

impl Gates {
    /// Lets everybody in.
    pub fn open() -> Self {
        Self {
            data_planes: Gate::open(),
            controllers: Gate::open(),
        }
    }
}

/// Makes connections to a server of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    outgoing: mpsc::Sender<io::Result<DuplexStream>>,
}

/// The server's end of a [`Dialer`].
#[derive(Debug)]
pub struct Pipes {
    incoming: mpsc::Receiver<io::Result<DuplexStream>>,
}

/// Joins a dialer and a server.
pub fn in_process() -> (Dialer, Pipes) {
    let (outgoing, incoming) = mpsc::channel(PIPE_BACKLOG);
    (Dialer { outgoing }, Pipes { incoming })
}

impl Dialer {
    /// Opens one connection. Fails once the server is gone.
    pub async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let sent = self.outgoing.send(Ok(far)).await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }
}

async fn serve<IO>(
    incoming: impl Stream<Item = io::Result<IO>>,
    context: Context,
    peers: Option<service::Context>,
    gates: Gates,
) -> Result<(), Error>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let shutdown = context.shutdown.clone();
    let streams = TaskTracker::new();
    let service = Service {
        context,
        gate: gates.data_planes,
        streams: streams.clone(),
    };
    let service = SnapshotsServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let peers = peers.map(|context| {
        ReplicasServer::new(service::Service {
            context,
            gate: gates.controllers,
            streams: streams.clone(),
        })
    });
    let serving = Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(service)
        .add_optional_service(peers)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let parting = async {
        shutdown.cancelled().await;
        tokio::time::sleep(PARTING_TIME).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = parting => Ok(()),
    };
    streams.close();
    streams.wait().await;
    served
}

struct Service {
    context: Context,
    gate: Gate,
    /// Owns the tasks of streams; they end by shutdown or with their client.
    streams: TaskTracker,
}

#[tonic::async_trait]
impl Snapshots for Service {
    type StreamStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let admitting = self.gate.admit(request.metadata(), visitor.as_ref());
        let pass = admitting.await?;
        let (outbound, messages) = mpsc::channel(OUTBOUND_UNITS);
        let context = self.context.clone();
        self.streams.spawn(async move {
            let parting = outbound.clone();
            let streaming = stream::run(context, request.into_inner(), outbound);
            // A stream that is dropped has left the hub.
            tokio::select! {
                () = streaming => {}
                () = pass.lapsed() => {
                    info!("the token of a data plane's stream has expired; it connects anew");
                    // Where the way out is full the end alone says it.
                    let _ = parting.try_send(Err(Pass::parting()));
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
