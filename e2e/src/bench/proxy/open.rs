//! What an open stream, of which nothing comes for the moment, holds in memory.

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use super::world::{HOST, KEY, Target, World};
use crate::bench::load::{Load, RawConnection};
use crate::bench::{memory, table};

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    EventStream,
    WebSocket,
}

pub(super) async fn run(world: &World, kind: Kind, count: usize) -> Result<()> {
    let (name, load) = match kind {
        Kind::EventStream => (
            "bytes an event stream",
            Load::stream(HOST, KEY, "bench-hold", 1, false),
        ),
        Kind::WebSocket => ("bytes a WebSocket", Load::socket(HOST, KEY, "bench")),
    };
    let mut cells = vec![name.to_owned()];
    let targets = world.targets();
    for target in &targets[1..] {
        cells.push(format!("{:.0}", measure(target, &load, count).await?));
    }
    let names = targets[1..].iter().map(|target| target.name);
    let headings: Vec<&str> = std::iter::once("open and idle").chain(names).collect();
    println!();
    table::print(&headings, &[cells]);
    Ok(())
}

async fn measure(target: &Target, load: &Load, streams: usize) -> Result<f64> {
    let pid = target.pid.context("a process")?;
    // What is made once and kept is not the streams'.
    let warm = open(load, target, streams / 4).await?;
    drop(warm);
    let before = memory::of(pid)?.now;
    let held = open(load, target, streams).await?;
    let after = memory::of(pid)?.now;
    eprintln!("open streams: {} of {}", held.len(), target.name);
    Ok((after as f64 - before as f64) / streams as f64)
}

async fn open(load: &Load, target: &Target, streams: usize) -> Result<Vec<RawConnection>> {
    let mut held = Vec::with_capacity(streams);
    for _ in 0..streams {
        let socket = TcpStream::connect(target.address)
            .await
            .context("connecting")?;
        let mut connection = RawConnection::new(socket)?;
        connection.send(load).await?;
        connection.await_some().await?;
        held.push(connection);
    }
    Ok(held)
}
