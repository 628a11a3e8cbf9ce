//! What is held, for people: names, versions and times, never content.
//!
//! The book's lock is held only while what is asked for is copied out.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;
use turnpike_snapshot::{Name, Version};

use super::book::{Form, Standing};
use super::{Link, Store};

/// What `/debug/store` answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    data_plane: String,
    link: LinkLine,
    /// Ids; the secrets are shown nowhere.
    fleet_keys: Vec<String>,
    names: Vec<NameLine>,
    dependencies: Vec<DependencyLine>,
}

#[derive(Debug, Serialize)]
struct LinkLine {
    state: &'static str,
    since: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NameLine {
    name: String,
    state: &'static str,
    version: Option<String>,
    since: String,
    last_used: String,
    bytes: u32,
}

#[derive(Debug, Serialize)]
struct DependencyLine {
    name: String,
    version: String,
    since: String,
    bytes: u32,
}

impl Store {
    /// Tells what is held of the names that begin with `prefix`, in the order of names.
    pub fn report(&self, data_plane: &str, prefix: &str) -> Report {
        let mut written = String::new();
        let mut is_wanted = |name: &Name| {
            written.clear();
            // Writing to a String cannot fail.
            prefix.is_empty() || (write!(written, "{name}").is_ok() && written.starts_with(prefix))
        };
        let book = self.book();
        let mut names = book.names(&mut is_wanted);
        let mut dependencies = book.dependencies(&mut is_wanted);
        drop(book);
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        dependencies.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let (link, since) = self.0.link.state();
        Report {
            data_plane: data_plane.to_owned(),
            link: LinkLine {
                state: word(link),
                since: rfc3339(since),
            },
            fleet_keys: self.fleet_key_ids(),
            names: names
                .into_iter()
                .map(|(name, standing)| self.name_line(&name, standing))
                .collect(),
            dependencies: dependencies
                .into_iter()
                .map(|(name, form, since)| dependency_line(&name, form, since))
                .collect(),
        }
    }

    fn name_line(&self, name: &Name, standing: Standing) -> NameLine {
        let Standing { state, form, since } = standing;
        NameLine {
            // Not looked up yet while its question is open.
            last_used: rfc3339(self.0.tables.used(name).unwrap_or(since)),
            name: name.to_string(),
            state,
            version: form.map(|form| hex(form.version)),
            since: rfc3339(since),
            bytes: form.map_or(0, |form| form.bytes),
        }
    }

    fn fleet_key_ids(&self) -> Vec<String> {
        let keys = self.0.fleet_keys.load();
        keys.iter().map(|(id, _)| id.to_string()).collect()
    }
}

fn dependency_line(name: &Name, form: Form, since: u32) -> DependencyLine {
    DependencyLine {
        name: name.to_string(),
        version: hex(form.version),
        since: rfc3339(since),
        bytes: form.bytes,
    }
}

fn word(link: Link) -> &'static str {
    match link {
        Link::Down => "Down",
        Link::Up => "Up",
        Link::Closed => "Closed",
    }
}

fn hex(version: Version) -> String {
    version.to_string()
}

fn rfc3339(seconds: u32) -> String {
    // Any u32 is within the years that jiff knows.
    Timestamp::from_second(seconds.into()).map_or_else(|_| String::new(), |at| at.to_string())
}
