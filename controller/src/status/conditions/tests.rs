//! Rules of conditions.
