//! What of the chart has to agree with the workspace.

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// Fails if the chart installs another version than the workspace builds.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let file = workspace.root.join("charts/turnpike/Chart.yaml");
    let text = std::fs::read_to_string(file).context("reading Chart.yaml")?;
    for field in ["version", "appVersion"] {
        let found = value(&text, field);
        ensure!(
            found == Some(env!("CARGO_PKG_VERSION")),
            "charts/turnpike/Chart.yaml: {field} is {found:?}, the workspace's version is {}",
            env!("CARGO_PKG_VERSION")
        );
    }
    Ok(())
}

/// The value of a field at the top of a YAML file that has it in one line.
fn value<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_with_or_without_quotes() {
        let text = "apiVersion: v2\nversion: 1.2.3\nappVersion: \"1.2.4\"\n";
        assert_eq!(value(text, "version"), Some("1.2.3"));
        assert_eq!(value(text, "appVersion"), Some("1.2.4"));
        assert_eq!(value(text, "name"), None);
    }
}
