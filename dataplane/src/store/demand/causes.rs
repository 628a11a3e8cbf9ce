//! What lies beneath an error: the transport's own words name no cause.

use std::error::Error;

/// Joins the causes of an error; empty where there is none.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let first = error.source();
    let mut causes: Vec<_> = std::iter::successors(first, |error| Error::source(*error))
        .map(ToString::to_string)
        .collect();
    // What only passes an error on has its words.
    causes.dedup();
    causes.join(": ")
}
