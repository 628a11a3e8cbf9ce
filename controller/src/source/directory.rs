//! Resources from a directory of YAML files, read again when it changes.
//!
//! What does not parse keeps its last good form; everything else goes on. All
//! faults are told, with file, line, object and field.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use turnpike_crds::admission::{Admission, SchemaError};
use turnpike_snapshot::credential::FleetKey;

use crate::compile;
use crate::index::Index;
use crate::source::{Event, Kind, Object, ObjectKey, files};

pub use crate::source::files::Fault;

/// Editors and symlink swaps change a directory in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// A directory that is never quiet (a log is written there) is read all the same.
const MAX_UNREST: Duration = Duration::from_secs(1);
/// Between two looks for what a watch does not tell: another directory took the
/// place of this one, or a file that a link leads to was edited.
const LOOK: Duration = Duration::from_secs(1);
/// A million lines; a larger file is no resource, and would hold up all others.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A directory and what was last told of it.
pub struct Directory {
    root: PathBuf,
    admission: Admission,
    /// The file of each object that has been told.
    held: BTreeMap<ObjectKey, String>,
    /// The files as they were before they were read.
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
}

/// Tells one state of a file from another; `None` where it cannot be had.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

/// What came of reading a directory.
#[derive(Debug, Default)]
pub struct Load {
    /// Brings whoever heard of every load before up to date.
    pub events: Vec<Event>,
    pub faults: Vec<Fault>,
    /// Objects that are wrong now and stay as they were.
    pub kept: Vec<ObjectKey>,
}

/// Everything in a directory.
#[derive(Debug, Default)]
struct Reading {
    /// With file and line.
    objects: BTreeMap<ObjectKey, (String, Object)>,
    faults: Vec<Fault>,
    /// Objects that are there, but wrong.
    refused: BTreeSet<ObjectKey>,
    /// Files and directories in which something is wrong that nobody can name.
    broken: BTreeSet<String>,
}

impl Directory {
    /// Names a directory; it is not read yet.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self, SchemaError> {
        Ok(Self {
            root: root.into(),
            admission: Admission::new()?,
            held: BTreeMap::new(),
            stamps: BTreeMap::new(),
        })
    }

    /// Reads the directory and tells what is there now.
    pub fn load(&mut self) -> Load {
        self.stamps = stamps(&self.root);
        let mut reading = read(&self.admission, &self.root);
        let before = std::mem::take(&mut self.held);
        let (kept, gone): (Vec<_>, Vec<_>) = before
            .into_iter()
            .filter(|(key, _)| !reading.objects.contains_key(key))
            .partition(|(key, file)| reading.keeps(key, file));
        reading.add_namespaces(&kept);
        let mut load = Load {
            faults: reading.faults,
            ..Load::default()
        };
        // What comes goes first: a host that changes hands is never without an owner.
        for (key, (place, object)) in reading.objects {
            self.held.insert(key, file_of(&place).to_owned());
            load.events.push(Event::Apply(object));
        }
        let gone = gone.into_iter().map(|(key, _)| key);
        let gone = gone.filter(|key| !self.held.contains_key(key));
        load.events.extend(gone.map(Event::Delete));
        for (key, file) in kept {
            load.kept.push(key.clone());
            self.held.insert(key, file);
        }
        load
    }

    /// Starts to tell what is in the directory, now and whenever it changes.
    pub fn spawn(
        self,
        events: mpsc::Sender<Event>,
        shutdown: CancellationToken,
    ) -> notify::Result<JoinHandle<()>> {
        let (changed, changes) = mpsc::channel(1);
        // Full: a change is waiting to be looked at already.
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if !event.is_ok_and(|event| event.kind.is_access()) {
                    let _ = changed.try_send(());
                }
            })?;
        watcher.watch(&self.root, RecursiveMode::Recursive)?;
        Ok(tokio::spawn(async move {
            let follow = self.follow(changes, events);
            shutdown.run_until_cancelled(follow).await;
            drop(watcher);
        }))
    }

    async fn follow(mut self, mut changes: mpsc::Receiver<()>, events: mpsc::Sender<Event>) {
        let mut synced = Kind::ALL.to_vec();
        loop {
            let loaded = tokio::task::spawn_blocking(move || {
                let load = self.load();
                (self, load)
            });
            let Ok((directory, load)) = loaded.await else {
                return;
            };
            self = directory;
            log(&load);
            let synced = std::mem::take(&mut synced).into_iter().map(Event::Synced);
            for event in load.events.into_iter().chain(synced) {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            if !self.changed(&mut changes).await {
                return;
            }
        }
    }

    /// Waits until there may be something new to read; `false`: nobody watches any more.
    async fn changed(&self, changes: &mut mpsc::Receiver<()>) -> bool {
        loop {
            match tokio::time::timeout(LOOK, changes.recv()).await {
                Ok(Some(())) => break,
                Ok(None) => return false,
                Err(_) => {
                    let root = self.root.clone();
                    let now = tokio::task::spawn_blocking(move || stamps(&root)).await;
                    if now.is_ok_and(|now| now != self.stamps) {
                        break;
                    }
                }
            }
        }
        let quiet = async {
            while tokio::time::timeout(QUIET, changes.recv())
                .await
                .is_ok_and(|more| more.is_some())
            {}
        };
        let _ = tokio::time::timeout(MAX_UNREST, quiet).await;
        true
    }
}

fn stamps(root: &Path) -> BTreeMap<PathBuf, Option<Stamp>> {
    let files = list(root, &mut Reading::default()).into_values();
    let stamp = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        Some(Stamp {
            inode: (meta.dev(), meta.ino()),
            bytes: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    };
    files
        .map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        })
        .collect()
}

/// Reads a file whole; never one that has no end.
fn read_file(path: &Path) -> io::Result<String> {
    let meta = fs::metadata(path)?;
    let refused = |why: &str| Err(io::Error::other(why));
    if !meta.is_file() {
        return refused("it is no regular file");
    }
    if meta.len() > MAX_FILE_BYTES {
        return refused("it is larger than 16 MiB; split it");
    }
    fs::read_to_string(path)
}

/// Finds everything that is wrong in a directory: what an API server would
/// refuse, and what conditions would say.
pub fn check(root: &Path, platform_namespace: &str) -> Result<Vec<Fault>, SchemaError> {
    let reading = read(&Admission::new()?, root);
    let mut faults = reading.faults;
    let mut places = BTreeMap::new();
    // Keys only conflict under some fleet key; any will do.
    let fleet_key = FleetKey::new("check", vec![0; 32]);
    let mut index = Index::new(vec![fleet_key], platform_namespace).of_files();
    for (key, (place, object)) in reading.objects {
        places.insert(key, place);
        index.apply(Event::Apply(object));
    }
    for (key, place) in places {
        let issues = compile::issues(&index, &key).unwrap_or_default();
        faults.extend(issues.into_iter().map(|issue| Fault {
            file: place.clone(),
            object: key.to_string(),
            path: issue.path,
            message: issue.message,
        }));
    }
    Ok(faults)
}

fn log(load: &Load) {
    for fault in &load.faults {
        let Fault {
            file,
            object,
            path,
            message,
        } = fault;
        warn!(file, object, path, fault = message, "resource refused");
    }
    for object in &load.kept {
        warn!(%object, "stays as it was, since it is wrong now");
    }
    let applied = load.events.iter();
    let applied = applied.filter(|event| matches!(event, Event::Apply(_)));
    info!(
        objects = applied.count(),
        faults = load.faults.len(),
        "directory read"
    );
}

fn read(admission: &Admission, root: &Path) -> Reading {
    let mut reading = Reading::default();
    let mut doubles: BTreeMap<ObjectKey, Vec<String>> = BTreeMap::new();
    for (file, path) in list(root, &mut reading) {
        let text = match read_file(&path) {
            Ok(text) => text,
            Err(error) => {
                reading.unreadable(file, &error);
                continue;
            }
        };
        let parsed = files::parse(admission, &file, &text);
        reading.faults.extend(parsed.faults);
        reading.refused.extend(parsed.refused);
        if parsed.is_broken {
            reading.broken.insert(file);
        }
        for (place, object) in parsed.objects {
            let key = object.key();
            let before = reading.objects.insert(key.clone(), (place.clone(), object));
            if let Some((first, _)) = before {
                let places = doubles.entry(key).or_insert_with(|| vec![first]);
                places.push(place);
            }
        }
    }
    reading.refuse_doubles(doubles);
    reading
}

impl Reading {
    fn unreadable(&mut self, file: String, error: &io::Error) {
        self.faults.push(Fault {
            file: file.clone(),
            object: String::new(),
            path: String::new(),
            message: format!("cannot be read: {error}"),
        });
        self.broken.insert(file);
    }

    /// Nobody knows which of them is meant, so none is.
    fn refuse_doubles(&mut self, doubles: BTreeMap<ObjectKey, Vec<String>>) {
        for (key, places) in doubles {
            self.objects.remove(&key);
            for place in &places {
                let others = places.iter().filter(|other| *other != place);
                let others: Vec<_> = others.map(String::as_str).collect();
                self.faults.push(Fault {
                    file: place.clone(),
                    object: key.to_string(),
                    path: String::new(),
                    message: format!("is in {} too; keep one", others.join(", ")),
                });
            }
            self.refused.insert(key);
        }
    }

    /// Whether an object that was told before and cannot be read now may still be there.
    fn keeps(&self, key: &ObjectKey, file: &str) -> bool {
        let is_within = |broken: &String| {
            let rest = file.strip_prefix(broken.as_str());
            rest.is_some_and(|rest| broken.is_empty() || rest.is_empty() || rest.starts_with('/'))
        };
        self.refused.contains(key) || self.broken.iter().any(is_within)
    }

    /// A namespace that an object is in exists, as it would in a cluster.
    fn add_namespaces(&mut self, kept: &[(ObjectKey, String)]) {
        let kept = kept.iter().map(|(key, _)| key);
        let keys = self.objects.keys().chain(&self.refused).chain(kept.clone());
        let mut missing: BTreeSet<ObjectKey> = keys
            .filter(|key| key.kind != Kind::Namespace)
            .map(|key| ObjectKey::new(Kind::Namespace, "", &key.name.namespace))
            .collect();
        for key in kept {
            missing.remove(key);
        }
        for key in missing {
            let namespace = key.name.name.clone();
            self.objects.entry(key).or_insert_with(|| {
                let data = files::namespace_data(&namespace, BTreeMap::new());
                (String::new(), Object::Namespace(data))
            });
        }
    }
}

/// Lists the YAML and JSON files below a directory, by their relative paths.
///
/// Names that begin with a dot are left out: editors' files, and the hidden
/// halves of a mounted ConfigMap, whose files are links into them.
fn list(root: &Path, reading: &mut Reading) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    let mut visited = HashSet::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        // A link may lead back up.
        let real = directory
            .canonicalize()
            .unwrap_or_else(|_| directory.clone());
        if !visited.insert(real) {
            continue;
        }
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                reading.unreadable(relative(root, &directory), &error);
                continue;
            }
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                waiting.push(path);
            } else if [".yaml", ".yml", ".json"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                files.insert(relative(root, &path), path);
            }
        }
    }
    files
}

fn relative(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    relative.to_string_lossy().into_owned()
}

/// `a.yaml:12` → `a.yaml`.
fn file_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(file, _)| file)
}

#[cfg(test)]
mod tests;
