//! Rules of directory.
