//! OpenAI's Responses API, as clients speak it: requests read, answers and streams written, and what
//! is looked at where it passes to a provider that speaks it too.

pub(crate) mod emit;
pub(crate) mod output;
pub(crate) mod pass;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod usage;
