//! A wire that can lose all that goes over it without a word: connections stay open, bytes are
//! taken, and nothing arrives. What a broken firewall or a dead node's network does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All that is sent arrives.
    Carried,
    /// Connections of before lose everything for good; those made from now on are carried.
    CutOff,
    /// Nothing arrives, on old connections and new ones.
    Lost,
}

/// A relay to one address.
#[derive(Debug)]
pub struct LossyWire {
    address: SocketAddr,
    fate: watch::Sender<(u64, Fate)>,
    taken: Arc<AtomicUsize>,
    relay: JoinHandle<()>,
}

impl LossyWire {
    /// Listens on the loopback address and carries everything to `to`.
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr().context("the wire's address")?;
        let (fate, told) = watch::channel((0, Fate::Carried));
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let relay = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                // Whom nobody answers may wait, or go.
                if let Ok(far) = TcpStream::connect(to).await {
                    relay(near, far, &told);
                }
            }
        });
        Ok(Self {
            address,
            fate,
            taken,
            relay,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Decides what becomes of connections from now on. What was lost stays lost, so that a
    /// connection which lost something never carries again.
    pub fn set(&self, fate: Fate) {
        self.fate.send_modify(|(era, current)| {
            *era += 1;
            *current = fate;
        });
    }
}

impl Drop for LossyWire {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

fn relay(near: TcpStream, far: TcpStream, told: &watch::Receiver<(u64, Fate)>) {
    let born = *told.borrow();
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    for (from, to) in [(near_read, far_write), (far_read, near_write)] {
        tokio::spawn(carry(from, to, born, told.clone()));
    }
}

/// One direction of a connection, until either end closes it.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    born: (u64, Fate),
    told: watch::Receiver<(u64, Fate)>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let now = *told.borrow();
        // Every fate but the first takes what was there when it came.
        let is_carried = born == now && now.1 != Fate::Lost;
        if is_carried && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    // An end that is lost is not told either.
    if *told.borrow() != born {
        std::future::pending::<()>().await;
    }
}
