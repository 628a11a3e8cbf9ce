//! Asks controllers for what requests need, and takes what they send.
//!
//! One task keeps one stream open to one controller, the next one after each
//! failure, and says on each new stream what is held, so that nothing comes twice.
//! While no stream is open, what is loaded goes on.

mod backoff;
mod causes;
mod connect;
mod message;
mod session;
mod tls;
mod trust;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::Uri;
use rand::RngExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::backoff::Backoff;
use self::session::SessionError;
pub use self::trust::{Trust, TrustError};
use super::{Link, Store};

/// Where snapshots come from.
#[derive(Clone)]
pub enum Controllers {
    /// Tried in turn.
    Urls(Vec<Uri>, Trust),
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

/// A stream that lasted this long was sound: the next try begins with the shortest pause again.
const STEADY: Duration = Duration::from_secs(5);

/// Fills the store until `stop`; `name` tells people which data plane this is.
pub async fn run(store: Store, controllers: Controllers, name: String, stop: CancellationToken) {
    let mut link = Reconnecting {
        targets: connect::targets(&controllers),
        store,
        name,
        backoff: Backoff::default(),
    };
    stop.run_until_cancelled(link.keep_open()).await;
}

struct Reconnecting {
    targets: Vec<connect::Target>,
    store: Store,
    name: String,
    backoff: Backoff,
}

impl Reconnecting {
    async fn keep_open(&mut self) {
        // Data planes that start together spread over the controllers.
        let start = rand::rng().random_range(0..self.targets.len().max(1));
        let targets = self.targets.clone();
        for target in targets.iter().cycle().skip(start) {
            let began = Instant::now();
            let Err(error) = self.hold_stream(target).await;
            self.store.set_link(Link::Down);
            match error {
                SessionError::Expired => {
                    info!(controller = %target, "snapshot stream ended: {error}");
                }
                error => warn!(controller = %target, %error, "snapshot stream ended"),
            }
            if began.elapsed() >= STEADY {
                self.backoff.reset();
            }
            let pause = self.backoff.next(&mut rand::rng());
            tokio::time::sleep(pause).await;
        }
    }

    async fn hold_stream(
        &self,
        target: &connect::Target,
    ) -> Result<std::convert::Infallible, SessionError> {
        let hello = message::hello(&self.name);
        let session = session::open(&self.store, target, hello).await?;
        self.store.set_link(Link::Up);
        info!(controller = %target, "snapshot stream open");
        session.run().await
    }
}
