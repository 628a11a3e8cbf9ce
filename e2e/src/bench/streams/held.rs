//! Streams that stay open, and whether each came to the end that the model gave it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::World;
use crate::gateway::{Call, Stream, text_of};
use crate::secure::{Caller, Connection, Http};

/// Streams that are opened at once.
const OPENING: usize = 32;
/// Streams on one connection of HTTP/2.
const TOGETHER: usize = 100;
/// After which a stream will never end.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the model says before its streams are held, and after.
const FIRST: &str = "lorem ";

/// Open streams, each with its first event behind it.
pub(super) struct Held {
    streams: Vec<Stream>,
    /// Those that several streams are on.
    _connections: Vec<Connection>,
}

/// Opens them over all tenants, by the keys and certificates of the start.
pub(super) async fn open(world: &World<'_>) -> Result<Held> {
    let options = world.options;
    let alone = stream::iter(0..options.streams - options.over_http2)
        .map(|number| open_alone(world, number % options.tenants))
        .buffer_unordered(OPENING);
    let mut streams: Vec<Stream> = alone.try_collect().await?;
    let mut connections = Vec::new();
    while streams.len() < options.streams {
        let tenant = connections.len() % options.tenants;
        let count = TOGETHER.min(options.streams - streams.len());
        let (connection, opened) = open_together(world, tenant, count).await?;
        streams.extend(opened);
        connections.push(connection);
    }
    Ok(Held {
        streams,
        _connections: connections,
    })
}

async fn open_alone(world: &World<'_>, tenant: usize) -> Result<Stream> {
    let (host, key) = (world.tenants.host(tenant), world.tenants.key(tenant, 0));
    let call = Call::stream(&host, "bench-hold", "hi").key(&key);
    let stream = world.data_plane.gateway().send_streaming(call).await?;
    begun(stream).await
}

async fn open_together(
    world: &World<'_>,
    tenant: usize,
    count: usize,
) -> Result<(Connection, Vec<Stream>)> {
    let (host, key) = (world.tenants.host(tenant), world.tenants.key(tenant, 0));
    let caller = Caller::trusting(&[world.tenants.certificate(tenant, 0)])?;
    let tls = world.data_plane.tls();
    let mut connection = caller.connect(tls, &host, Http::Two).await?;
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let call = Call::stream(&host, "bench-hold", "hi").key(&key);
        streams.push(begun(connection.send_streaming(call).await?).await?);
    }
    Ok((connection, streams))
}

async fn begun(mut stream: Stream) -> Result<Stream> {
    let event = stream.next().await?.context("a stream without events")?;
    ensure!(text_of(&[event]) == FIRST, "a strange first event");
    Ok(stream)
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Reads all to their ends; what was wrong with those that were cut.
    pub(super) async fn finish(self) -> Vec<String> {
        let ends = stream::iter(self.streams).map(end);
        let ends = ends.buffer_unordered(OPENING);
        ends.filter_map(async |end| end.err().map(|error| format!("{error:#}")))
            .collect()
            .await
    }
}

/// One more event, the finish and a clean end; nothing before the model gave it.
async fn end(stream: Stream) -> Result<()> {
    let reading = tokio::time::timeout(PATIENCE, stream.rest());
    let (events, end) = reading.await.context("no end came")?;
    end?;
    let is_whole = text_of(&events) == FIRST && events.last().is_some_and(|it| it == "[DONE]");
    if !is_whole {
        bail!("{} events: {:?}", events.len(), events.last());
    }
    Ok(())
}
