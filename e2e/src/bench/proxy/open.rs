//! What an open stream, of which nothing comes for the moment, holds in memory.

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use super::world::{HOST, KEY, Target, World};
use crate::bench::load::{Load, RawConnection};
use crate::bench::{memory, table};

pub(super) async fn run(world: &World, streams: usize) -> Result<()> {
    let mut cells = vec!["bytes a stream".to_owned()];
    let mut headings = vec!["open idle streams".to_owned()];
    for target in &world.targets()[1..] {
        headings.push(target.name.to_owned());
        cells.push(format!("{:.0}", measure(target, streams).await?));
    }
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    println!();
    table::print(&headings, &[cells]);
    Ok(())
}

async fn measure(target: &Target, streams: usize) -> Result<f64> {
    let pid = target.pid.context("a process")?;
    let load = Load::stream(HOST, KEY, "bench-hold", 1, false);
    // What is made once and kept is not the streams'.
    let warm = open(&load, target, streams / 4).await?;
    drop(warm);
    let before = memory::of(pid)?.now;
    let held = open(&load, target, streams).await?;
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
