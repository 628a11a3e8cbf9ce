//! What the kernel says: how large the process is, and how large its container may become.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Bytes on the machines that we run on: proc(5) counts in pages.
const PAGE: u64 = 4096;
/// cgroup v1 writes "no limit" as a number near 2⁶³.
const NO_LIMIT: u64 = 1 << 60;

/// The memory limit of the container that this process runs in; `None`: there is none.
///
/// Sources: Linux, "Control Group v2", `memory.max`; "Memory Resource Controller" (v1),
/// `memory.limit_in_bytes`.
pub fn container_limit() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit(Path::new("/sys/fs/cgroup"), &groups)
}

/// The resident memory of this process.
pub(super) fn resident() -> u64 {
    let statm = read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
    pages.unwrap_or(0) * PAGE
}

/// The least limit of the groups (`/proc/self/cgroup`) and of those that they are in.
///
/// Within a container the root of the file system is often its own group, whatever the path says.
fn limit(root: &Path, groups: &str) -> Option<u64> {
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            some if some.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let group = base.join(path.trim_start_matches('/'));
        let folders = group.ancestors().take_while(|at| at.starts_with(&base));
        folders.filter_map(|at| read(at.join(file))).min()
    };
    groups.lines().filter_map(of_line).min()
}

fn read(file: PathBuf) -> Option<u64> {
    let limit = read_to_string(file).ok()?.trim().parse().ok()?;
    (limit < NO_LIMIT).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, file: &str, text: &str) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join("kubepods/pod1");
        write(&pod, "memory.max", "2000\n");
        write(&pod.join("c1"), "memory.max", "1000\n");
        write(&pod.join("c2"), "memory.max", "max\n");
        let of = |groups| limit(root.path(), groups);
        assert_eq!(of("0::/kubepods/pod1/c1\n"), Some(1000));
        assert_eq!(of("0::/kubepods/pod1/c2\n"), Some(2000));
        assert_eq!(of("0::/elsewhere\n"), None);
        write(root.path(), "memory.max", "500\n");
        assert_eq!(of("0::/not/to/be/seen/from/here\n"), Some(500));
    }

    #[test]
    fn the_first_version_of_cgroups_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        let memory = root.path().join("memory");
        write(&memory, "memory.limit_in_bytes", "9223372036854771712\n");
        let groups = "5:cpu,cpuacct:/a\n4:memory:/a\n";
        assert_eq!(limit(root.path(), groups), None);
        write(&memory.join("a"), "memory.limit_in_bytes", "3000\n");
        assert_eq!(limit(root.path(), groups), Some(3000));
    }

    #[test]
    fn this_process_is_larger_than_a_page() {
        assert!(resident() > PAGE);
    }
}
