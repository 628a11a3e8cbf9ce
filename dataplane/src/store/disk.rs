//! The last good snapshots on disk, so that a restart without a controller serves what it knew.
//!
//! One database file holds a row for each name that is in force, and the fleet
//! keys. All of it is secret (provider keys are in it), so the directory is
//! 0700 and the file 0600, or the process does not start. One task writes, twice
//! a second at most, what changed meanwhile, all or nothing.

mod restore;
mod row;

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableTable, StorageError, TableDefinition};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use turnpike_snapshot::Name;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::proto::{self, Welcome};

use super::Store;
use super::journal::Journal;
use row::ReadRow;

const NAMES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("names-1");
const SECRETS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("secrets-1");
const FLEET_KEYS: &str = "fleet-keys";
const FILE: &str = "snapshots.redb";
/// What could not be read is kept, once, for whoever wants to know why.
const DAMAGED: &str = "snapshots.redb.damaged";
/// Rows are read once, at the start, and written in batches: pages need not be kept.
const CACHE_BYTES: usize = 1 << 20;
/// Between two writes; what changes often is written once.
const INTERVAL: Duration = Duration::from_millis(500);
/// For others than the owner.
const OTHERS: u32 = 0o077;

/// A directory that snapshots are kept in, opened for this process alone.
pub struct StateDir {
    database: Arc<Database>,
}

/// What was found there.
#[derive(Default)]
pub struct Restorable {
    fleet_keys: Vec<FleetKey>,
    rows: Vec<(Name, ReadRow)>,
    damaged: HashSet<Name>,
}

/// A state directory that must not or cannot be used: a mistake of whoever set it up.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Cannot be made, read or written.
    #[error("state directory {path:?} cannot be used: {fault}", path = .0, fault = .1)]
    Unusable(PathBuf, String),
    /// Provider keys are in it.
    #[error(
        "{path:?} holds secrets, but its mode {mode:o} lets others than its owner in; chmod go= it",
        path = .0, mode = .1
    )]
    Exposed(PathBuf, u32),
    /// Two data planes must not share one.
    #[error("state directory {0:?} is in use by another process; give each data plane its own")]
    InUse(PathBuf),
}

enum OpenError {
    Damaged(String),
    Fatal(StateDirError),
}

impl StateDir {
    /// Opens or makes the directory and reads what is in it. A file that is damaged is moved aside.
    pub fn open(path: &Path) -> Result<(Self, Restorable), StateDirError> {
        make_directory(path)?;
        let file = path.join(FILE);
        match open_file(&file) {
            Ok(opened) => Ok(opened),
            Err(OpenError::Fatal(error)) => Err(error),
            Err(OpenError::Damaged(fault)) => {
                let aside = path.join(DAMAGED);
                error!(?file, %fault, moved_to = ?aside, "the snapshots on disk are damaged; starting without them");
                std::fs::rename(&file, &aside).map_err(|error| unusable(path, &error))?;
                open_file(&file).map_err(|error| match error {
                    OpenError::Fatal(error) => error,
                    OpenError::Damaged(fault) => StateDirError::Unusable(file, fault),
                })
            }
        }
    }

    /// Writes what the store changes until `stop`, and the rest after it.
    pub async fn keep(self, store: Store, stop: CancellationToken) {
        let mut unwritten = Journal::default();
        let mut is_failing = false;
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            unwritten = self.flush(&store, unwritten, &mut is_failing).await;
        }
        self.flush(&store, unwritten, &mut is_failing).await;
    }

    /// Gives what could not be written.
    async fn flush(&self, store: &Store, mut journal: Journal, is_failing: &mut bool) -> Journal {
        journal.merge(store.take_journal());
        if journal.is_empty() {
            return journal;
        }
        let database = self.database.clone();
        let written = spawn_blocking(move || {
            let written = write(&database, &journal).map_err(|error| error.to_string());
            (journal, written)
        });
        match written.await {
            Ok((_, Ok(()))) => {
                if std::mem::take(is_failing) {
                    info!("snapshots are written to disk again");
                }
                Journal::default()
            }
            Ok((journal, Err(fault))) => {
                if !std::mem::replace(is_failing, true) {
                    error!(%fault, "snapshots are not written to disk; trying on");
                }
                journal
            }
            Err(panicked) => {
                error!(%panicked, "writing snapshots to disk");
                Journal::default()
            }
        }
    }
}

fn make_directory(path: &Path) -> Result<(), StateDirError> {
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| unusable(path, &error))?;
    check_owner_only(path)
}

fn check_owner_only(path: &Path) -> Result<(), StateDirError> {
    let metadata = std::fs::metadata(path).map_err(|error| unusable(path, &error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(StateDirError::Exposed(path.to_owned(), mode));
    }
    Ok(())
}

fn open_file(path: &Path) -> Result<(StateDir, Restorable), OpenError> {
    let fatal = |error: &io::Error| OpenError::Fatal(unusable(path, error));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| fatal(&error))?;
    check_owner_only(path).map_err(OpenError::Fatal)?;
    // The database's own checks panic on some kinds of damage.
    match catch_unwind(AssertUnwindSafe(|| open_database(path, file))) {
        Ok(opened) => opened,
        Err(_) => Err(OpenError::Damaged("its pages contradict each other".into())),
    }
}

fn open_database(path: &Path, file: File) -> Result<(StateDir, Restorable), OpenError> {
    let mut builder = Database::builder();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true);
    let opened = FileBackend::new(file).and_then(|file| builder.create_with_backend(file));
    let database = opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Fatal(StateDirError::InUse(directory_of(path)))
        }
        DatabaseError::Storage(StorageError::Io(error)) if !is_damage(&error) => {
            OpenError::Fatal(unusable(path, &error))
        }
        other => OpenError::Damaged(other.to_string()),
    })?;
    let restorable = read(&database).map_err(|error| OpenError::Damaged(error.to_string()))?;
    let database = Arc::new(database);
    Ok((StateDir { database }, restorable))
}

fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// Reads all that can be relied on; removes what cannot.
fn read(database: &Database) -> Result<Restorable, redb::Error> {
    let transaction = database.begin_write()?;
    let mut restorable = Restorable::default();
    let mut bad_rows = Vec::new();
    {
        let secrets = transaction.open_table(SECRETS)?;
        if let Some(keys) = secrets.get(FLEET_KEYS)? {
            restorable.fleet_keys = read_keys(keys.value());
        }
        let mut names = transaction.open_table(NAMES)?;
        for entry in names.iter()? {
            let (key, value) = entry?;
            match row::read(key.value(), value.value()) {
                Ok(row) => restorable.rows.push(row),
                Err(fault) => {
                    warn!(name = key.value(), %fault, "snapshot on disk not taken");
                    restorable.damaged.extend(key.value().parse::<Name>());
                    bad_rows.push(key.value().to_owned());
                }
            }
        }
        for key in &bad_rows {
            names.remove(key.as_str())?;
        }
    }
    transaction.commit()?;
    Ok(restorable)
}

fn read_keys(bytes: &[u8]) -> Vec<FleetKey> {
    let Ok(welcome) = Welcome::decode(bytes) else {
        warn!("the fleet keys on disk cannot be read");
        return Vec::new();
    };
    let keys = welcome.fleet_keys.into_iter();
    keys.map(|key| FleetKey::new(key.id, key.secret)).collect()
}

fn write(database: &Database, journal: &Journal) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut names = transaction.open_table(NAMES)?;
        if journal.starts_anew() {
            names.retain(|_, _| false)?;
        }
        for (name, row) in journal.changes() {
            let key = name.to_string();
            match row.and_then(|row| row::encode(name, row)) {
                Some(bytes) => names.insert(key.as_str(), bytes.as_slice())?,
                None => names.remove(key.as_str())?,
            };
        }
        if let Some(keys) = journal.fleet_keys() {
            let mut secrets = transaction.open_table(SECRETS)?;
            secrets.insert(FLEET_KEYS, write_keys(keys).as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn write_keys(keys: &[FleetKey]) -> Vec<u8> {
    let fleet_keys = keys.iter().map(|key| proto::FleetKey {
        id: key.id().to_owned(),
        secret: key.secret().to_vec(),
    });
    let welcome = Welcome {
        fleet_keys: fleet_keys.collect(),
        ..Welcome::default()
    };
    welcome.encode_to_vec()
}

fn directory_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(file).to_owned()
}

fn unusable(path: &Path, error: &io::Error) -> StateDirError {
    StateDirError::Unusable(path.to_owned(), error.to_string())
}
