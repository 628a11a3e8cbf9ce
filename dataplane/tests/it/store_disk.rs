//! What is in force is found again after a restart, and nothing else is.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redb::{Database, ReadableTable, TableDefinition};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use turnpike_dataplane::Store;
use turnpike_dataplane::store::{Asker, Bounds, FetchError, StateDir, StateDirError, demand};
use turnpike_snapshot::Snapshot;

use crate::store_controller::{Controller, Say, Stream};
use crate::store_snapshots::{NAMESPACE, credential, credential_name, fleet_key, host, whole};

const API_KEY: &str = "sk-turnpike-alice-0123456789";
const NAMES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("names-1");

/// A data plane with a disk, from start to clean end.
struct Life {
    store: Store,
    stop: CancellationToken,
    disk: JoinHandle<()>,
}

impl Life {
    fn start(path: &Path, controller: Option<&Controller>) -> Self {
        let store = Store::new(Duration::from_millis(100), Bounds::default());
        let (state_dir, restorable) = StateDir::open(path).unwrap();
        store.restore(restorable);
        let stop = CancellationToken::new();
        if let Some(controller) = controller {
            let (store, stop) = (store.clone(), stop.clone());
            let run = demand::run(store, controller.controllers(), "test".into(), stop);
            tokio::spawn(run);
        }
        Self {
            disk: tokio::spawn(state_dir.keep(store.clone(), stop.clone())),
            store,
            stop,
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.disk.await.unwrap();
    }

    async fn verifies(&self) -> Result<(), FetchError> {
        let fetched = self
            .store
            .fetch_credential(NAMESPACE, API_KEY.as_bytes(), Asker::Nobody);
        fetched.await.map(|_| ())
    }
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    directory
}

/// A life that loads a host, one under a wildcard, and a key.
async fn loaded(path: &Path) -> (Controller, Life, Stream) {
    let mut controller = Controller::start();
    let life = Life::start(path, Some(&controller));
    assert!(!life.store.is_ready());
    let key = fleet_key("k1");
    let mut stream = controller.greet(std::slice::from_ref(&key)).await;
    ask(&life.store, &mut stream, "a.test", whole("a.test", "main")).await;
    let mut unit = whole("*.lab.test", "lab");
    let alias = Snapshot::Alias("*.lab.test".into());
    unit.push(Say::Upsert(host("x.lab.test"), alias));
    ask(&life.store, &mut stream, "x.lab.test", unit).await;
    let store = life.store.clone();
    let verified = tokio::spawn(async move {
        store
            .fetch_credential(NAMESPACE, API_KEY.as_bytes(), Asker::Nobody)
            .await
    });
    stream.asked().await;
    stream.put(credential(&key, API_KEY)).await;
    let _ = verified.await.unwrap();
    assert_eq!(life.verifies().await, Ok(()));
    (controller, life, stream)
}

async fn ask(store: &Store, stream: &mut Stream, name: &'static str, unit: Vec<Say>) {
    let asking = store.clone();
    let fetched = tokio::spawn(async move { asking.fetch_domain(name, Asker::Nobody).await });
    stream.asked().await;
    stream.put(unit).await;
    let _ = fetched.await.unwrap();
    assert!(store.get_domain(name).is_some());
}

#[tokio::test]
async fn a_restart_without_a_controller_serves_what_was_in_force() {
    let directory = directory();
    let (_, life, _) = loaded(directory.path()).await;
    life.end().await;

    let life = Life::start(directory.path(), None);
    assert!(life.store.is_ready() && !life.store.has_been_up());
    assert_eq!(life.store.activity().applied, 0, "no controller sent it");
    let own = life.store.get_domain("a.test").unwrap();
    assert_eq!(&*own.routes[0].name, "main");
    let provider = own.routes[0].rules[0].backends[0].provider.load().unwrap();
    assert_eq!(provider.state.as_ref().unwrap().vendor, "Echo");
    let covered = life.store.get_domain("x.lab.test").unwrap();
    assert_eq!(&*covered.host, "*.lab.test");
    assert_eq!(life.verifies().await, Ok(()));
    let unknown = life.store.fetch_domain("never.test", Asker::Nobody).await;
    assert_eq!(unknown.unwrap_err(), FetchError::Unavailable);

    // And once more: what was restored is on disk still.
    life.end().await;
    let life = Life::start(directory.path(), None);
    assert!(life.store.get_domain("a.test").is_some());
}

#[tokio::test]
async fn what_was_restored_is_stated_so_that_nothing_is_sent_again() {
    let directory = directory();
    let (mut controller, life, stream) = loaded(directory.path()).await;
    drop(stream);
    let mut stream = controller.greet(&[fleet_key("k1")]).await;
    let before = stream.subscribed().await;
    life.end().await;

    let mut controller = Controller::start();
    let life = Life::start(directory.path(), Some(&controller));
    let mut stream = controller.greet(&[fleet_key("k1")]).await;
    let after = stream.subscribed().await;
    let sorted = |mut held: Vec<turnpike_snapshot::proto::Held>| {
        held.sort_by(|a, b| a.name.cmp(&b.name));
        held
    };
    assert_eq!(sorted(before.names), sorted(after.names.clone()));
    assert_eq!(sorted(before.dependencies), sorted(after.dependencies));
    assert_eq!(after.names.len(), 3);
    assert!(after.names.iter().all(|held| held.version.len() == 16));
    life.end().await;
}

#[tokio::test]
async fn what_was_withdrawn_does_not_come_back() {
    let directory = directory();
    let (_controller, life, mut stream) = loaded(directory.path()).await;
    // Written once, then withdrawn.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let name = credential_name(&fleet_key("k1"), API_KEY);
    stream
        .put(vec![Say::Absent(name), Say::Absent(host("a.test"))])
        .await;
    life.end().await;

    let life = Life::start(directory.path(), None);
    assert_eq!(life.verifies().await, Err(FetchError::Unavailable));
    assert!(life.store.get_domain("a.test").is_none());
    assert!(life.store.get_domain("x.lab.test").is_some());
}

#[tokio::test]
async fn keys_of_another_fleet_key_do_not_come_back() {
    let directory = directory();
    let (_controller, life, mut stream) = loaded(directory.path()).await;
    stream.welcome(&[fleet_key("k2")]).await;
    stream.unsubscribed().await;
    life.end().await;
    let life = Life::start(directory.path(), None);
    assert_eq!(life.verifies().await, Err(FetchError::Unavailable));
    assert_eq!(life.store.census().credentials, 0);
}

/// Changes one byte of a row.
fn tamper(path: &Path, name: &str) {
    let database = Database::create(path.join("snapshots.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(NAMES).unwrap();
        let mut row = table.get(name).unwrap().unwrap().value().to_vec();
        *row.last_mut().unwrap() ^= 1;
        table.insert(name, row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_damaged_row_costs_itself_and_what_refers_to_it() {
    let directory = directory();
    let (_, life, _) = loaded(directory.path()).await;
    life.end().await;
    tamper(directory.path(), "domain/*.lab.test");

    for _ in 0..2 {
        let life = Life::start(directory.path(), None);
        assert!(life.store.get_domain("a.test").is_some());
        assert!(life.store.get_domain("x.lab.test").is_none());
        assert_eq!(life.verifies().await, Ok(()));
        life.end().await;
    }
    tamper(directory.path(), "tenant/tenant");
    let life = Life::start(directory.path(), None);
    assert!(
        life.store.get_domain("a.test").is_none(),
        "no domain without its policy"
    );
    assert_eq!(life.verifies().await, Ok(()));
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside() {
    let directory = directory();
    let file = directory.path().join("snapshots.redb");
    let length = {
        let (_, life, _) = loaded(directory.path()).await;
        life.end().await;
        fs::metadata(&file).unwrap().len()
    };
    let whole = fs::read(&file).unwrap();
    let truncate = |length: u64| {
        let file = OpenOptions::new().write(true).open(&file).unwrap();
        file.set_len(length).unwrap();
    };
    let overwrite = |at: u64, bytes: usize| {
        let mut file = OpenOptions::new().write(true).open(&file).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&vec![0xa5; bytes]).unwrap();
    };
    let damages: [&dyn Fn(); 5] = [
        &|| truncate(length / 2),
        &|| truncate(100),
        &|| truncate(5000),
        &|| overwrite(0, 64),
        &|| overwrite(4096, usize::try_from(length).unwrap() - 4096),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let _ = fs::remove_file(directory.path().join("snapshots.redb.damaged"));
        fs::write(&file, &whole).unwrap();
        damage();
        let life = Life::start(directory.path(), None);
        assert!(!life.store.is_ready(), "{number}");
        let aside = directory.path().join("snapshots.redb.damaged");
        assert!(aside.exists(), "{number}");
        life.end().await;
    }
    // And the new file works.
    let (_, life, _) = loaded(directory.path()).await;
    life.end().await;
    assert!(Life::start(directory.path(), None).store.is_ready());
}

#[tokio::test]
async fn any_burst_of_damage_costs_no_more_than_what_was_stored() {
    let directory = directory();
    let file = directory.path().join("snapshots.redb");
    let (_, life, _) = loaded(directory.path()).await;
    life.end().await;
    let whole = fs::read(&file).unwrap();
    for step in 0..24 {
        let mut damaged = whole.clone();
        let at = step * damaged.len() / 24 + 7;
        let end = (at + 32).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&file, damaged).unwrap();
        let life = Life::start(directory.path(), None);
        if let Some(view) = life.store.get_domain("a.test") {
            assert_eq!(&*view.routes[0].name, "main", "{step}");
        }
        life.end().await;
    }
}

#[tokio::test]
async fn a_directory_that_others_may_enter_is_refused() {
    let directory = directory();
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let inner = directory.path().join("state");
    drop(StateDir::open(&inner).unwrap());
    let modes = [&inner, &inner.join("snapshots.redb")]
        .map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o600]);

    mode(&inner.join("snapshots.redb"), 0o640);
    assert!(matches!(
        StateDir::open(&inner).err(),
        Some(StateDirError::Exposed(_, 0o640))
    ));
    mode(&inner.join("snapshots.redb"), 0o600);
    mode(&inner, 0o755);
    assert!(matches!(
        StateDir::open(&inner).err(),
        Some(StateDirError::Exposed(_, 0o755))
    ));
    let output = Command::new(env!("CARGO_BIN_EXE_turnpike-dataplane"))
        .args(["--controller", "127.0.0.1:1", "--listen", "127.0.0.1:0"])
        .args(["--admin", "127.0.0.1:0", "--state-dir"])
        .arg(&inner)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("chmod go="), "{words}");

    mode(&inner, 0o700);
    let held = StateDir::open(&inner).unwrap();
    assert!(matches!(
        StateDir::open(&inner).err(),
        Some(StateDirError::InUse(_))
    ));
    drop(held);
    fs::write(directory.path().join("file"), "").unwrap();
    let error = StateDir::open(&directory.path().join("file")).err();
    assert!(matches!(error, Some(StateDirError::Unusable(..))));
}
