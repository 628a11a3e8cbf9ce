//! Free ports of the loopback address, below those that the system gives to connections, so that
//! a server can be started again on the port that it had; and this machine's own address.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail, ensure};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// An address that nothing listens on, given out once in this process.
pub fn free_address() -> Result<SocketAddr> {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Where to begin differs from process to process, so that parallel runs seldom meet.
    let start = (std::process::id() * 37 % u32::from(COUNT)) as u16;
    let next = NEXT.get_or_init(|| AtomicU16::new(start));
    for _ in 0..COUNT {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port from {FIRST} on");
}

/// The address that this machine is reached by from elsewhere: an API server takes no loopback
/// address for an endpoint. Nothing is sent.
pub fn machine_address() -> Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // Of a block for documentation: any address tells by which of ours it would be reached.
    let reached = socket.connect("198.51.100.1:9");
    reached.context("this machine has no network")?;
    let address = socket.local_addr()?.ip();
    ensure!(!address.is_loopback(), "this machine has no network");
    Ok(address)
}
