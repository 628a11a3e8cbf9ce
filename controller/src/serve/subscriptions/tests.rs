//! Rules of subscriptions: each alone, then any interleaving of them all.

mod model;
mod property;
mod rules;
