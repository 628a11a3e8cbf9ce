//! Rules of directories: what is told at first and after each change.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::testing::PLATFORM;

fn provider(name: &str, vendor: &str) -> String {
    format!(
        "apiVersion: turnpike.dev/v1alpha1\nkind: AIProvider\nmetadata: {{name: {name}, namespace: a}}\nspec: {{vendor: {vendor}}}\n"
    )
}

fn route(namespace: &str, provider: &str) -> String {
    format!(
        "apiVersion: turnpike.dev/v1alpha1\nkind: AIRoute\nmetadata: {{name: r, namespace: {namespace}}}\nspec: {{hostnames: [x.test], rules: [{{backendRefs: [{{name: {provider}}}]}}]}}\n"
    )
}

fn write(dir: &TempDir, file: &str, text: &str) {
    let path = dir.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Events in words: `+ Kind name`, `- Kind name`.
fn told(load: &Load) -> Vec<String> {
    load.events.iter().map(tell).collect()
}

fn tell(event: &Event) -> String {
    match event {
        Event::Apply(object) => format!("+ {}", object.key()),
        Event::Delete(key) => format!("- {key}"),
        Event::Synced(kind) => format!("synced {kind}"),
    }
}

fn open(dir: &TempDir) -> Directory {
    Directory::new(dir.path()).unwrap()
}

#[test]
fn everything_below_the_directory_is_told_with_its_namespaces() {
    let dir = TempDir::new().unwrap();
    write(&dir, "one.yaml", &provider("one", "Echo"));
    write(&dir, "deep/er/two.yml", &provider("two", "Echo"));
    write(&dir, "notes.txt", "not ours");
    write(&dir, ".hidden.yaml", "a: [");
    let load = open(&dir).load();
    assert_eq!(
        told(&load),
        ["+ AIProvider a/one", "+ AIProvider a/two", "+ Namespace a"]
    );
    assert_eq!(load.faults, []);
}

#[test]
fn a_faulty_file_at_the_start_harms_only_itself() {
    let dir = TempDir::new().unwrap();
    write(&dir, "bad.yaml", "a: [");
    write(&dir, "good.yaml", &provider("p", "Echo"));
    let load = open(&dir).load();
    assert_eq!(told(&load), ["+ AIProvider a/p", "+ Namespace a"]);
    assert_eq!(load.faults.len(), 1);
    assert_eq!(load.faults[0].file, "bad.yaml:1");
}

#[test]
fn what_is_removed_is_told_as_gone() {
    let dir = TempDir::new().unwrap();
    write(&dir, "p.yaml", &provider("p", "Echo"));
    let mut directory = open(&dir);
    directory.load();
    fs::remove_file(dir.path().join("p.yaml")).unwrap();
    assert_eq!(
        told(&directory.load()),
        ["- AIProvider a/p", "- Namespace a"]
    );
}

#[test]
fn an_object_that_is_wrong_now_stays_as_it_was() {
    let dir = TempDir::new().unwrap();
    write(&dir, "p.yaml", &provider("p", "Echo"));
    let mut directory = open(&dir);
    directory.load();
    for bad in [&provider("p", "NoSuchVendor"), "a: [", ""] {
        write(&dir, "p.yaml", bad);
        let load = directory.load();
        let is_gone = load
            .events
            .iter()
            .any(|event| matches!(event, Event::Delete(key) if key.kind == Kind::AIProvider));
        assert_eq!(is_gone, bad.is_empty(), "{bad:?}");
        assert_eq!(load.kept.is_empty(), bad.is_empty(), "{bad:?}");
    }
}

#[test]
fn a_namespace_in_a_broken_file_keeps_its_labels() {
    let dir = TempDir::new().unwrap();
    let labelled = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {plan: gold}}\n";
    write(&dir, "n.yaml", labelled);
    write(&dir, "p.yaml", &provider("p", "Echo"));
    let mut directory = open(&dir);
    assert_eq!(
        told(&directory.load()),
        ["+ AIProvider a/p", "+ Namespace a"]
    );
    write(&dir, "n.yaml", "a: [");
    assert_eq!(told(&directory.load()), ["+ AIProvider a/p"]);
}

#[test]
fn a_directory_that_cannot_be_read_any_more_removes_nothing() {
    let dir = TempDir::new().unwrap();
    write(&dir, "sub/p.yaml", &provider("p", "Echo"));
    let mut directory = Directory::new(dir.path().join("sub")).unwrap();
    directory.load();
    fs::remove_dir_all(dir.path().join("sub")).unwrap();
    let load = directory.load();
    assert_eq!(told(&load), Vec::<String>::new());
    assert_eq!(load.faults.len(), 1);
}

#[test]
fn an_object_in_two_files_is_refused_in_both() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.yaml", &provider("p", "Echo"));
    write(&dir, "b.yaml", &provider("p", "Echo"));
    let load = open(&dir).load();
    assert_eq!(told(&load), ["+ Namespace a"]);
    let faults: Vec<String> = load.faults.iter().map(Fault::to_string).collect();
    assert_eq!(
        faults,
        [
            "a.yaml:1: AIProvider a/p: is in b.yaml:1 too; keep one",
            "b.yaml:1: AIProvider a/p: is in a.yaml:1 too; keep one",
        ]
    );
}

#[test]
fn links_that_lead_back_up_end() {
    let dir = TempDir::new().unwrap();
    write(&dir, "sub/p.yaml", &provider("p", "Echo"));
    symlink(dir.path(), dir.path().join("sub/up")).unwrap();
    let load = open(&dir).load();
    assert_eq!(told(&load), ["+ AIProvider a/p", "+ Namespace a"]);
    assert_eq!(load.faults, []);
}

#[test]
fn a_check_tells_what_conditions_would() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.yaml", &route("a", "gone"));
    write(
        &dir,
        "b.yaml",
        &format!("{}---\n{}", route("b", "p"), "kind: Pod"),
    );
    let faults = check(dir.path(), PLATFORM).unwrap();
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    let expected = [
        "a.yaml:1: AIRoute a/r: spec.rules[0].backendRefs[0]: AIProvider a/gone does not exist; create it or correct the name",
        "b.yaml:1: AIRoute b/r: spec.hostnames[0]: x.test is claimed by an older route of another namespace; choose another name here, or wait until it is given up",
        "b.yaml:1: AIRoute b/r: spec.rules[0].backendRefs[0]: AIProvider b/p does not exist; create it or correct the name",
    ];
    for line in expected {
        assert!(faults.contains(&line.to_owned()), "{line} in {faults:#?}");
    }
}

/// Gives what is told until `last` is.
async fn heard_until(events: &mut mpsc::Receiver<Event>, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|told| told != last) {
        heard.push(tell(&events.recv().await.unwrap()));
    }
    heard
}

#[tokio::test]
async fn a_swapped_link_is_noticed_as_config_maps_do_it() {
    let dir = TempDir::new().unwrap();
    write(&dir, "..1/p.yaml", &provider("p", "Echo"));
    symlink("..1", dir.path().join("..data")).unwrap();
    symlink("..data/p.yaml", dir.path().join("p.yaml")).unwrap();
    let (sender, mut events) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let task = open(&dir).spawn(sender, shutdown.clone()).unwrap();
    let first = heard_until(&mut events, "synced Namespace").await;
    assert_eq!(first[..2], ["+ AIProvider a/p", "+ Namespace a"]);

    write(&dir, "..2/p.yaml", &provider("q", "Echo"));
    symlink("..2", dir.path().join("..tmp")).unwrap();
    fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).unwrap();
    let heard = heard_until(&mut events, "- AIProvider a/p").await;
    assert!(heard.contains(&"+ AIProvider a/q".to_owned()), "{heard:?}");
    shutdown.cancel();
    task.await.unwrap();
}

/// Starts to follow a directory that holds AIProvider `a/p`, and hears of it.
async fn following(
    root: &Path,
) -> (
    mpsc::Receiver<Event>,
    CancellationToken,
    tokio::task::JoinHandle<()>,
) {
    let (sender, mut events) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let directory = Directory::new(root).unwrap();
    let task = directory.spawn(sender, shutdown.clone()).unwrap();
    heard_until(&mut events, "synced Namespace").await;
    (events, shutdown, task)
}

#[tokio::test]
async fn another_directory_in_its_place_is_noticed_and_so_are_its_changes() {
    let dir = TempDir::new().unwrap();
    write(&dir, "v1/p.yaml", &provider("p", "Echo"));
    write(&dir, "v2/p.yaml", &provider("q", "Echo"));
    let root = dir.path().join("current");
    symlink("v1", &root).unwrap();
    let (mut events, shutdown, task) = following(&root).await;

    symlink("v2", dir.path().join("next")).unwrap();
    fs::rename(dir.path().join("next"), &root).unwrap();
    heard_until(&mut events, "- AIProvider a/p").await;
    write(&dir, "v2/p.yaml", &provider("r", "Echo"));
    heard_until(&mut events, "- AIProvider a/q").await;
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_file_elsewhere_that_a_link_leads_to_is_watched_too() {
    let (dir, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(&elsewhere, "p.yaml", &provider("p", "Echo"));
    symlink(elsewhere.path().join("p.yaml"), dir.path().join("p.yaml")).unwrap();
    let (mut events, shutdown, task) = following(dir.path()).await;
    write(&elsewhere, "p.yaml", &provider("q", "Echo"));
    heard_until(&mut events, "- AIProvider a/p").await;
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn changes_without_end_do_not_put_reading_off() {
    let dir = TempDir::new().unwrap();
    let (changed, mut changes) = mpsc::channel(1);
    let busy = tokio::spawn(async move {
        while changed.send(()).await.is_ok() {
            tokio::time::sleep(QUIET / 2).await;
        }
    });
    assert!(open(&dir).changed(&mut changes).await);
    drop(changes);
    busy.await.unwrap();
}

#[test]
fn what_is_no_file_or_too_large_is_not_read() {
    let dir = TempDir::new().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s.yaml")).unwrap();
    symlink("/dev/zero", dir.path().join("z.yaml")).unwrap();
    let large = fs::File::create(dir.path().join("l.yaml")).unwrap();
    large.set_len(MAX_FILE_BYTES + 1).unwrap();
    write(&dir, "p.yaml", &provider("p", "Echo"));
    let load = open(&dir).load();
    assert_eq!(told(&load), ["+ AIProvider a/p", "+ Namespace a"]);
    let faults: Vec<String> = load.faults.iter().map(Fault::to_string).collect();
    assert_eq!(
        faults,
        [
            "l.yaml: cannot be read: it is larger than 16 MiB; split it",
            "s.yaml: cannot be read: it is no regular file",
            "z.yaml: cannot be read: it is no regular file",
        ]
    );
}

#[test]
fn the_quickstart_has_no_faults() {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    assert_eq!(check(&quickstart, PLATFORM).unwrap(), []);
}
