//! The beginning of a body on disk, in a file without a name: it is gone with the process.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::warn;

use crate::request::error::{RequestError, Result};

/// Bytes that are read together.
const PIECE: u64 = 64 << 10;

/// Bytes on disk.
pub(super) struct Spilled {
    file: Arc<File>,
    length: u64,
}

/// A piece that is being read.
pub(super) struct Reading(JoinHandle<io::Result<Bytes>>);

impl Spilled {
    /// Writes pieces behind what is there, off the threads that serve requests.
    pub(super) async fn write(before: Option<Self>, pieces: Vec<Bytes>) -> Result<Self> {
        let written = spawn_blocking(move || {
            let (file, mut length) = match before {
                Some(spilled) => (spilled.file, spilled.length),
                None => (Arc::new(tempfile::tempfile()?), 0),
            };
            for piece in pieces {
                (&*file).write_all(&piece)?;
                length += piece.len() as u64;
            }
            Ok(Self { file, length })
        });
        outcome(written.await)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads a piece from its middle.
    pub(super) async fn read(&self, at: u64) -> Result<Bytes> {
        self.start_reading(at).await
    }

    /// The same, awaited by whomever.
    pub(super) fn start_reading(&self, at: u64) -> Reading {
        let file = self.file.clone();
        let bytes = self.length.saturating_sub(at).min(PIECE);
        // Made here: the allocator would keep pages for each of the threads that read.
        let mut piece = BytesMut::zeroed(bytes as usize);
        Reading(spawn_blocking(move || {
            file.read_exact_at(&mut piece, at)?;
            Ok(piece.freeze())
        }))
    }
}

impl Future for Reading {
    type Output = Result<Bytes>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(outcome)
    }
}

fn outcome<T>(done: std::result::Result<io::Result<T>, JoinError>) -> Result<T> {
    done.unwrap_or_else(|failed| Err(io::Error::other(failed)))
        .map_err(|error| {
            warn!(%error, folder = ?std::env::temp_dir(), "a request body cannot be kept on disk");
            RequestError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "spill_failed",
                "the gateway cannot keep this large a request body on disk just now; send \"model\" \
                 before what is large, or try again",
            )
        })
}
