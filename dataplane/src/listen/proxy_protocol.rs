//! The PROXY protocol, versions 1 and 2: a load balancer says, before anything else, whose
//! connection it hands on.
//!
//! [`step`] is pure and says how many bytes more are surely the header's, so that none of what
//! follows is ever read with it.
//!
//! Source: haproxy.org, "The PROXY protocol", versions 1 & 2, 2020/03/05, sections 2.1 and 2.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A balancer sends it at once with the connection.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a line of version 1 with its end, by the specification.
const MAX_LINE: usize = 107;
/// Bytes of a header of version 2. The addresses take 52; with the names and certificates of TLS that
/// balancers may add, hundreds are seen.
const MAX_BINARY: usize = 4096;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;
/// `PROXY UNKNOWN\r\n`, the shortest header of all.
const SHORTEST: usize = 15;

/// What to do next with a header of which this much is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Read so many bytes more.
    More(usize),
    /// It is whole, and names whom it is for; `None`: nobody, so that the peer stands for itself.
    Done(Option<SocketAddr>),
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the connection does not begin with a header of the PROXY protocol")]
    NotOne,
    #[error("the header of the PROXY protocol is too long")]
    TooLong,
    #[error("the header of the PROXY protocol is malformed")]
    Malformed,
    #[error("the header of the PROXY protocol did not come in time")]
    Timeout,
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Reads the header off a connection, and nothing of what follows it.
pub(super) async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Fault> {
    let reading = async {
        let mut header = Vec::with_capacity(MAX_LINE);
        loop {
            match step(&header)? {
                Step::Done(source) => return Ok(source),
                Step::More(bytes) => {
                    let start = header.len();
                    header.resize(start + bytes, 0);
                    io.read_exact(&mut header[start..]).await?;
                }
            }
        }
    };
    let read = tokio::time::timeout(TIMEOUT, reading).await;
    read.unwrap_or(Err(Fault::Timeout))
}

fn step(header: &[u8]) -> Result<Step, Fault> {
    if is_start_of(header, SIGNATURE) {
        return binary(header);
    }
    if is_start_of(header, b"PROXY ") {
        return line(header);
    }
    Err(Fault::NotOne)
}

/// Whether the two agree as far as both go.
fn is_start_of(header: &[u8], mark: &[u8]) -> bool {
    let common = header.len().min(mark.len());
    header[..common] == mark[..common]
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n`.
fn line(header: &[u8]) -> Result<Step, Fault> {
    if header.len() < SHORTEST {
        return Ok(Step::More(SHORTEST - header.len()));
    }
    let Some(text) = header.strip_suffix(b"\r\n") else {
        let more = if header.ends_with(b"\r") { 1 } else { 2 };
        return match header.len() + more {
            ..=MAX_LINE => Ok(Step::More(more)),
            _ => Err(Fault::TooLong),
        };
    };
    let text = str::from_utf8(text).map_err(|_| Fault::Malformed)?;
    named(text).map(Step::Done).ok_or(Fault::Malformed)
}

/// Reads a line; `Some(None)`: it names nobody.
fn named(text: &str) -> Option<Option<SocketAddr>> {
    let rest = text.strip_prefix("PROXY ")?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let words: Vec<&str> = rest.split(' ').collect();
    let [family, source, target, source_port, target_port] = words[..] else {
        return None;
    };
    let (source, target): (IpAddr, IpAddr) = (source.parse().ok()?, target.parse().ok()?);
    let is_right = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    let _: u16 = target_port.parse().ok()?;
    let source = SocketAddr::new(source, source_port.parse().ok()?);
    is_right.then_some(Some(source))
}

/// Version 2: the signature, version and command, family, length, addresses, and more that is skipped.
fn binary(header: &[u8]) -> Result<Step, Fault> {
    // As many bytes as the shortest header of either version, so that a line is not read beyond.
    if header.len() < SHORTEST {
        return Ok(Step::More(SHORTEST - header.len()));
    }
    if header.len() < FIXED {
        return Ok(Step::More(FIXED - header.len()));
    }
    let whole = FIXED + usize::from(u16::from_be_bytes([header[14], header[15]]));
    if whole > MAX_BINARY {
        return Err(Fault::TooLong);
    }
    if header.len() < whole {
        return Ok(Step::More(whole - header.len()));
    }
    let (command, family, rest) = (header[12], header[13], &header[FIXED..]);
    let source = match command {
        // LOCAL: the balancer's own, such as its health checks.
        0x20 => None,
        0x21 => source(family, rest)?,
        _ => return Err(Fault::Malformed),
    };
    Ok(Step::Done(source))
}

/// Who a binary header is for; `None`: of a family that has no such address.
fn source(family: u8, addresses: &[u8]) -> Result<Option<SocketAddr>, Fault> {
    match family {
        0x11 => {
            let source: [u8; 4] = part(addresses, 0)?;
            let port = u16::from_be_bytes(part(addresses, 8)?);
            let _: [u8; 2] = part(addresses, 10)?;
            Ok(Some((Ipv4Addr::from(source), port).into()))
        }
        0x21 => {
            let source: [u8; 16] = part(addresses, 0)?;
            let port = u16::from_be_bytes(part(addresses, 32)?);
            let _: [u8; 2] = part(addresses, 34)?;
            Ok(Some((Ipv6Addr::from(source), port).into()))
        }
        // Unspecified, datagrams, sockets of one machine.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Ok(None),
        _ => Err(Fault::Malformed),
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    let part = bytes.get(at..at + N).and_then(|part| part.try_into().ok());
    part.ok_or(Fault::Malformed)
}

#[cfg(test)]
mod tests;
