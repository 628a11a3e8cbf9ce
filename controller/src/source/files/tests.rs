//! Rules of files.
