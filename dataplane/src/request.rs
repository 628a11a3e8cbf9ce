//! One request's life.

pub mod life;
