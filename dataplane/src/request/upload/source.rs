//! Where a body comes from: the caller's connection, and what has come of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::future::poll_fn;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Sleep;
use turnpike_protocol::{BodyScanner, Head};

use super::spill::Spilled;
use crate::budget::Charge;
use crate::request::body_rules::{Form, STALL, broken, check_size, stalled};
use crate::request::error::{RequestError, Result};

/// Bytes that are written to disk together.
const BATCH: u64 = 256 << 10;

/// A body that is coming, scanned as it comes.
pub struct Source {
    /// `None`: it has ended, or nobody wants it any more.
    body: Option<UnsyncBoxBody<Bytes, RequestError>>,
    is_read: bool,
    announced: Option<u64>,
    max_bytes: u64,
    received: u64,
    scanner: BodyScanner,
    form: Form,
    /// The first bytes, on disk.
    spilled: Option<Spilled>,
    /// Those after them. What was let go is empty.
    held: Vec<Bytes>,
    held_bytes: u64,
    charge: Charge,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Source {
    /// Takes a body of which this much has come, within `max_bytes`.
    pub fn new<B>(
        body: B,
        announced: Option<u64>,
        begin: Bytes,
        form: Form,
        max_bytes: u64,
        charge: Charge,
    ) -> Result<Self>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let mut source = Self {
            body: Some(body.map_err(|_| broken()).boxed_unsync()),
            is_read: false,
            announced,
            max_bytes,
            received: begin.len() as u64,
            scanner: form.scanner(),
            form,
            spilled: None,
            held: Vec::new(),
            held_bytes: 0,
            charge,
            stall: None,
        };
        if !begin.is_empty() {
            source.scanner.feed(&begin)?;
            source.held_bytes = begin.len() as u64;
            source.held.push(begin);
        }
        Ok(source)
    }

    /// What has come of the head.
    pub fn head(&self) -> &Head {
        self.scanner.head()
    }

    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The body's length, as announced or, before that, as far as it came.
    pub fn least_length(&self) -> u64 {
        self.announced.unwrap_or(0).max(self.received)
    }

    /// Refuses what is longer than its route takes.
    pub fn limit(&mut self, max_bytes: u64) -> Result<()> {
        self.max_bytes = max_bytes;
        check_size(self.least_length(), max_bytes)
    }

    /// Reads on until the model is known. Up to `head_bytes` are held, then they are on disk.
    pub async fn read_head(&mut self, head_bytes: u64) -> Result<()> {
        while self.form.has_model && self.head().model.is_none() {
            let Some(piece) = poll_fn(|cx| self.poll_receive(cx)).await? else {
                break;
            };
            self.hold(piece)?;
            // What is too long to be held anyway need not be held first.
            let most = match self.spilled {
                None if self.least_length() <= head_bytes => head_bytes,
                _ => BATCH.min(head_bytes),
            };
            if self.held_bytes > most {
                self.spill().await?;
            }
        }
        Ok(())
    }

    /// Reads all of it into memory, and gives it with its charge.
    pub async fn read_whole(mut self) -> Result<(Bytes, Head, Charge)> {
        let mut whole = BytesMut::new();
        let mut at = 0;
        while let Some(spilled) = self
            .spilled
            .as_ref()
            .filter(|spilled| at < spilled.length())
        {
            let piece = spilled.read(at).await?;
            self.charge.grow(piece.len() as u64)?;
            at += piece.len() as u64;
            whole.extend_from_slice(&piece);
        }
        for piece in std::mem::take(&mut self.held) {
            whole.extend_from_slice(&piece);
        }
        while let Some(piece) = poll_fn(|cx| self.poll_receive(cx)).await? {
            self.charge.grow(piece.len() as u64)?;
            whole.extend_from_slice(&piece);
        }
        let head = self.scanner.finish()?;
        Ok((whole.freeze(), head, self.charge))
    }

    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// The whole length, where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self.is_read {
            true => Some(self.received),
            false => self.announced,
        }
    }

    /// The offset before which nothing that decides is still to come.
    pub(super) fn settled(&self) -> usize {
        self.scanner.settled()
    }

    pub(super) fn spilled(&self) -> Option<&Spilled> {
        self.spilled.as_ref()
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Keeps a piece that has come.
    pub(super) fn hold(&mut self, piece: Bytes) -> Result<()> {
        let bytes = piece.len() as u64;
        self.charge.grow(bytes)?;
        self.held_bytes += bytes;
        self.held.push(piece);
        Ok(())
    }

    /// Gives a piece that is held; `keeps`: it stays.
    pub(super) fn held(&mut self, at: usize, keeps: bool) -> Option<Bytes> {
        let piece = self.held.get_mut(at)?;
        if keeps {
            return Some(piece.clone());
        }
        let piece = std::mem::take(piece);
        self.held_bytes -= piece.len() as u64;
        self.charge.shrink(piece.len() as u64);
        Some(piece)
    }

    /// Lets go of all that is held.
    pub(super) fn let_go(&mut self) {
        self.held.fill(Bytes::new());
        self.charge.shrink(self.held_bytes);
        self.held_bytes = 0;
    }

    /// Takes nothing more from the caller.
    pub(super) fn abandon(&mut self) {
        self.body = None;
    }

    /// Waits for the next piece from the caller; `None`: it was all, and it is right.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(match self.is_read {
                    true => Ok(None),
                    false => Err(broken()),
                });
            };
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                let sleep = || Box::pin(tokio::time::sleep(STALL));
                ready!(self.stall.get_or_insert_with(sleep).as_mut().poll(cx));
                return Poll::Ready(Err(stalled()));
            };
            self.stall = None;
            let data = match frame {
                None => return Poll::Ready(self.end().map(|()| None)),
                Some(frame) => frame?.into_data(),
            };
            // Trailers carry nothing for us; identity in them is no identity.
            let Some(piece) = data.ok().filter(|piece| !piece.is_empty()) else {
                continue;
            };
            return Poll::Ready(self.take(piece).map(Some));
        }
    }

    fn take(&mut self, piece: Bytes) -> Result<Bytes> {
        self.received += piece.len() as u64;
        check_size(self.received, self.max_bytes)?;
        self.scanner.feed(&piece)?;
        if self.head().model.is_some() {
            self.form.check(self.head())?;
        }
        Ok(piece)
    }

    fn end(&mut self) -> Result<()> {
        self.body = None;
        self.is_read = true;
        self.scanner.check_end()?;
        self.form.check(self.head())
    }

    async fn spill(&mut self) -> Result<()> {
        let pieces = std::mem::take(&mut self.held);
        self.spilled = Some(Spilled::write(self.spilled.take(), pieces).await?);
        self.charge.shrink(self.held_bytes);
        self.held_bytes = 0;
        Ok(())
    }
}
