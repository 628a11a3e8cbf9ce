//! What documents are called: Bedrock takes few characters, and no name twice.

use std::collections::HashSet;

/// Source: Bedrock API reference, "DocumentBlock" (2026-11).
const MAX_NAME: usize = 200;

/// The names given so far in a request.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// The name of the next document: its title without its ending and without what Bedrock refuses,
    /// numbered where it comes again. The same conversation has the same names again, so that caches
    /// hit.
    pub(super) fn name(&mut self, title: Option<&str>) -> String {
        let plain = plain(title.unwrap_or_default());
        let mut name = plain.clone();
        let mut count = self.0.len();
        while !self.0.insert(name.clone()) {
            count += 1;
            name = format!("{plain} {count}");
        }
        name
    }
}

/// Letters, digits, hyphens, brackets, and single spaces stay; whatever else parts words.
fn plain(title: &str) -> String {
    let stem = match title.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= 4 && !stem.is_empty() => stem,
        _ => title,
    };
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
    let words = stem.split(|c| !is_fine(c)).filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join(" ");
    // Room for a number behind it.
    name.truncate(MAX_NAME - 20);
    let name = name.trim_end();
    match name {
        "" => "document".to_owned(),
        name => name.to_owned(),
    }
}

/// Bedrock's word for a media type.
pub(super) fn format(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" => "txt",
        "text/markdown" => "md",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_is_allowed_and_come_once() {
        let mut names = Names::default();
        for (title, expected) in [
            (Some("Q3 report (final).pdf"), "Q3 report (final)"),
            (Some("a/b\\c__d.tar"), "a b c d"),
            (Some("文档.pdf"), "document"),
            (None, "document 4"),
            (Some(""), "document 5"),
            (Some(".pdf"), "pdf"),
            (Some("v1.final draft"), "v1 final draft"),
        ] {
            assert_eq!(names.name(title), expected, "{title:?}");
        }
        let long = "x".repeat(1000);
        assert!((0..50).all(|_| names.name(Some(&long)).len() <= MAX_NAME));
    }
}
