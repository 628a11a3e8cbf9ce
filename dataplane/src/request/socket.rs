//! Realtime: a request that becomes a session over WebSocket, and is metered response by response.
//!
//! It walks the steps of every request up to the provider's answer. Then a task of its own carries
//! bytes between caller and provider (`tunnel`), untouched, and hears what they cost (`meter`).
//!
//! ```text
//! caller ◄──► hyper ── 101 or 200 ──► tunnel ◄──► provider
//!                                       │ response.created, response.done
//!                                       ▼
//!                                     meter ──► quotas, account
//! ```

mod flow;
pub mod handshake;
mod meter;
pub mod query;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Response};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admit::{self, Admitted, Laid, authorize};
use super::attempt::{self, Opened, SocketOrder, longest_total};
use super::authenticate::Caller;
use super::error::Result;
use super::life::note_match;
use super::matching::{self, Facts};
use super::relay::ResponseBody;
use super::routes::Routes;
use super::settle::Account;
use crate::arrival::Arrival;
use crate::gateway::Gateway;
use handshake::Handshake;
use meter::{Meter, Subject};
use query::Query;
use tunnel::{Bounds, Tunnel};

/// How long the sessions of a listener that is over may take to say so.
const FAREWELL: Duration = Duration::from_secs(3);

/// The sessions of a connection and of its listener: they outlive the requests that opened them, and
/// over HTTP/1.1 the connection as hyper knows it.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    all: TaskTracker,
    /// Of one connection.
    here: TaskTracker,
    over: CancellationToken,
    /// How long a caller may take nothing; `None`: as long as it likes.
    client_write: Option<Duration>,
}

impl Sockets {
    /// Those of a listener, on these terms.
    pub fn new(client_write: Option<Duration>) -> Self {
        Self {
            client_write,
            ..Self::default()
        }
    }

    /// Those of another connection of the listener.
    pub fn of_connection(&self) -> Self {
        Self {
            here: TaskTracker::new(),
            ..self.clone()
        }
    }

    /// Waits until no session of the connection is left; called once no request of it can open
    /// another.
    pub async fn closed(&self) {
        self.here.close();
        self.here.wait().await;
    }

    /// Tells all sessions of the listener to end, and waits while they tell their callers.
    pub async fn end(&self) {
        self.over.cancel();
        self.all.close();
        // Who does not come to its end in time goes with its connection.
        let _ = tokio::time::timeout(FAREWELL, self.all.wait()).await;
    }

    fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        self.all.spawn(self.here.track_future(session));
    }
}

/// A session whose provider has agreed.
pub struct Session {
    handshake: Handshake,
    opened: Opened,
    subject: Subject,
    laid: Laid,
    headers: HeaderMap,
}

/// From the rule to the provider's agreement.
pub(super) async fn open(
    gateway: &Gateway,
    arrival: &Arrival,
    routes: &Routes,
    caller: &Caller,
    parts: &Parts,
    account: &mut Account,
) -> Result<Session> {
    let handshake = Handshake::parse(parts)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    account.note(|record| {
        record.stream = true;
        record.model.requested = Some(query.model.clone());
    });
    let facts = Facts {
        path: parts.uri.path(),
        headers: &parts.headers,
        model: &query.model,
    };
    let matched = matching::find(routes, caller, facts)?;
    note_match(account, &matched);
    matched.route.refuse_suspended()?;
    let consumer = matched.consumer.as_deref();
    authorize(matched.route.allow()?, consumer, &query.model)?;
    let total = longest_total(matched.rule);
    let subject = Subject::of(arrival, routes, &matched, query.model.clone(), total);
    let laid = Laid::over(routes.domain())?;
    let counted = subject.counted(meter::LEAST, 1);
    let Admitted { ticket, headers } =
        admit::reserve(&gateway.quotas, &laid, &counted, total).await?;
    account.hold(ticket);
    let order = SocketOrder {
        rule: matched.rule,
        model: &query.model,
        headers: &parts.headers,
        query: &query,
        protocols: handshake.protocols.as_ref(),
    };
    let deadline = total.and_then(|total| Instant::now().checked_add(total));
    let opened = attempt::upgrade(&gateway.upstream, &order, deadline, account).await?;
    Ok(Session {
        handshake,
        opened,
        subject,
        laid,
        headers,
    })
}

/// Says yes to the caller, and begins the session once that is said.
pub(super) fn begin(
    session: Session,
    client: OnUpgrade,
    sockets: &Sockets,
    gateway: &Arc<Gateway>,
    mut account: Box<Account>,
) -> Response<ResponseBody> {
    let Session {
        handshake,
        mut opened,
        subject,
        laid,
        mut headers,
    } = session;
    let (status, said) = handshake.answer(opened.protocol.take());
    headers.extend(said);
    account.answered(status);
    account.begin_session();
    let meter = Meter::new(gateway.clone(), account, subject, laid);
    let bounds = Bounds {
        over: sockets.over.clone(),
        client_write: sockets.client_write,
    };
    sockets.spawn(Tunnel::open(client, opened, meter, bounds));
    let mut response = Response::new(ResponseBody::nothing());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
