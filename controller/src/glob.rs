//! Globs over model names, as data planes read them.

use globset::GlobBuilder;

/// Tells why the text is no glob; `None`: it is one.
pub fn fault(glob: &str) -> Option<String> {
    let error = GlobBuilder::new(glob).build().err()?;
    Some(error.kind().to_string())
}

/// Whether data planes can read the glob.
pub fn is_valid(glob: &str) -> bool {
    fault(glob).is_none()
}
