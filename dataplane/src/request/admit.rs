//! Step 5: whether the request may go on: authorization, then every quota at once.
//!
//! A session comes here anew for each of its responses.

mod authorize;
mod charges;
mod headers;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

pub use authorize::authorize;
pub use charges::{Counted, LaidBy, Unselected, over, unselected};

use super::error::{RequestError, Result};
use crate::quota::{Decision, Quotas, Ticket};
use crate::store::view::{Amount, DomainView, FleetView, TenantView};
use charges::Charged;

/// A reservation outlives the longest attempt by this much, for the settlement to arrive.
const GRACE: Duration = Duration::from_secs(30);
/// What a reservation lives where nothing bounds the attempt.
const UNBOUNDED: Duration = Duration::from_secs(24 * 60 * 60);

/// What an admitted request goes on with.
pub struct Admitted {
    /// Must be settled.
    pub ticket: Ticket,
    /// `x-ratelimit-*`, for the answer.
    pub headers: HeaderMap,
}

/// The quotas over a namespace, as they are laid now.
#[derive(Clone)]
pub struct Laid {
    tenant: Arc<TenantView>,
    fleet: Arc<FleetView>,
}

impl Laid {
    /// Errors: 503 once the namespace was withdrawn: without it nobody knows what to charge.
    pub fn over(domain: &DomainView) -> Result<Self> {
        match (domain.tenant.load(), domain.fleet.load()) {
            (Some(tenant), Some(fleet)) => Ok(Self { tenant, fleet }),
            _ => Err(super::error::unavailable()),
        }
    }
}

/// Reserves what is counted with every quota over the request, all or none.
///
/// `total` bounds the request's attempt. Errors: 429 or 503 in the words of the quota in the way.
pub async fn reserve(
    quotas: &Quotas,
    laid: &Laid,
    counted: &Counted<'_>,
    total: Option<Duration>,
) -> Result<Admitted> {
    let (asks, charged) = charges::charges(&laid.tenant, &laid.fleet, counted);
    let ttl = total.unwrap_or(UNBOUNDED).saturating_add(GRACE);
    match quotas.admit(asks, ttl).await {
        Decision::Admitted { ticket, standings } => Ok(Admitted {
            ticket,
            headers: headers::rate_limits(&standings),
        }),
        Decision::Unchecked { ticket } => Ok(Admitted {
            ticket,
            headers: HeaderMap::new(),
        }),
        Decision::Exceeded {
            charge,
            retry_after,
            standings,
        } => Err(exceeded(&charged[charge])
            .headers(headers::rate_limits(&standings))
            .retry_after(retry_after)),
        Decision::TooLarge { charge, standings } => {
            Err(too_large(&charged[charge]).headers(headers::rate_limits(&standings)))
        }
        Decision::StoreDown { charge } => Err(store_down(&charged[charge])),
    }
}

/// A ticket for what was used before anybody could be asked: settled, it counts in any case.
pub fn unasked(quotas: &Quotas, laid: &Laid, counted: &Counted<'_>) -> Ticket {
    quotas.unasked(charges::charges(&laid.tenant, &laid.fleet, counted).0)
}

fn exceeded(charged: &Charged) -> RequestError {
    let limit = charged.limit();
    let (most, what) = match limit.amount {
        Amount::Tokens(most) => (most, "tokens"),
        Amount::Requests(most) => (most, "requests"),
    };
    let message = charged.message().unwrap_or_else(|| {
        format!(
            "over the limit {:?} of quota {}: {most} {what} in {:?}; try again later",
            limit.name, charged.quota.name, limit.window
        )
    });
    let code = "token_quota_exceeded";
    RequestError::new(StatusCode::TOO_MANY_REQUESTS, code, message)
}

fn too_large(charged: &Charged) -> RequestError {
    let limit = charged.limit();
    let (Amount::Tokens(most) | Amount::Requests(most)) = limit.amount;
    let message = format!(
        "this request alone is estimated at {} tokens, more than the limit {:?} of quota {} ever \
         allows ({most}); shorten the prompt or set a lower max_tokens",
        charged.estimate, limit.name, charged.quota.name
    );
    let code = "request_too_large_for_quota";
    RequestError::new(StatusCode::TOO_MANY_REQUESTS, code, message).never_retry()
}

fn store_down(charged: &Charged) -> RequestError {
    let message = format!(
        "the counters of quota {} cannot be reached just now; try again",
        charged.quota.name
    );
    RequestError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "quota_store_unavailable",
        message,
    )
    .retry_after(Duration::from_secs(1))
}
