//! Asks controllers for what requests need, and takes what they send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where snapshots come from.
#[derive(Clone)]
pub enum Controllers {
    /// Tried in turn.
    Urls(Vec<Uri>),
    /// A connection that the caller makes, such as an in-process pipe.
    Connector(Connector),
}

/// Makes one connection each time.
pub type Connector = Arc<dyn Fn() -> BoxFuture<'static, io::Result<BoxIo>> + Send + Sync>;

/// A connection of any kind.
pub type BoxIo = Pin<Box<dyn Io>>;

/// What a connection must be able to do.
pub trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}
