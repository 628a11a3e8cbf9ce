//! The CPU limit of the control groups that the process is in.
//!
//! A group's limit binds all groups within it, so the smallest on the way up is in force. In a
//! container the way usually ends at the container's own group, which is mounted as the root.
//!
//! Source: kernel.org, "Control Group v2", cpu.max; "CFS Bandwidth Control" for v1; cgroups(7) for
//! /proc/self/cgroup.

use std::fs;
use std::path::{Path, PathBuf};

/// Processors, of which there may be half ones.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct CpuLimit(f64);

const V2: &str = "/sys/fs/cgroup";
/// By convention; the second is a link to the first where both are there.
const V1: [&str; 2] = ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu"];

/// Reads the limit in force; `None`: there is none.
pub(super) fn cpu_limit() -> Option<CpuLimit> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limits = V1.iter().filter_map(|root| {
        lowest(&way_up(Path::new(root), v1_group(&groups)?), |folder| {
            let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
            v1_limit(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
        })
    });
    let v2 = v2_group(&groups).and_then(|group| {
        lowest(&way_up(Path::new(V2), group), |folder| {
            v2_limit(&fs::read_to_string(folder.join("cpu.max")).ok()?)
        })
    });
    limits.chain(v2).reduce(smaller)
}

/// Gives how many threads a limit is worth.
pub(super) fn workers(limit: CpuLimit, processors: usize) -> usize {
    (limit.0.ceil() as usize).clamp(1, processors.max(1))
}

fn lowest(folders: &[PathBuf], limit: impl Fn(&Path) -> Option<CpuLimit>) -> Option<CpuLimit> {
    folders
        .iter()
        .filter_map(|folder| limit(folder))
        .reduce(smaller)
}

fn smaller(one: CpuLimit, other: CpuLimit) -> CpuLimit {
    if other < one { other } else { one }
}

/// The folders of a group and of all around it, up to where they are mounted.
///
/// Where a container's own group is mounted as the root, but its name is told as the host sees it,
/// folders of that name are not there, and the root's limit is what counts.
fn way_up(root: &Path, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group.trim_start_matches('/'));
    // `/..` leads out of what is mounted: only the root is known.
    let is_within = !group.components().any(|part| part.as_os_str() == "..");
    let group = if is_within { group } else { Path::new("") };
    group.ancestors().map(|part| root.join(part)).collect()
}

/// The group of the unified hierarchy: the line `0::/path`.
fn v2_group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The group that the controller `cpu` is in: `4:cpu,cpuacct:/path`.
fn v1_group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let is_cpu = controllers.split(',').any(|one| one == "cpu");
        is_cpu.then_some(group)
    })
}

/// Reads `cpu.max`: `200000 100000`, or `max 100000`.
fn v2_limit(text: &str) -> Option<CpuLimit> {
    let (quota, period) = text.trim().split_once(' ')?;
    share(quota, period)
}

/// Reads `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`.
fn v1_limit(quota: &str, period: &str) -> Option<CpuLimit> {
    share(quota, period)
}

fn share(quota: &str, period: &str) -> Option<CpuLimit> {
    let quota: u64 = quota.trim().parse().ok()?;
    let period: u64 = period.trim().parse().ok()?;
    let is_limit = quota > 0 && period > 0;
    is_limit.then(|| CpuLimit(quota as f64 / period as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_version_2() {
        for (text, expected) in [
            ("200000 100000\n", Some(2.0)),
            ("50000 100000", Some(0.5)),
            ("150000 100000", Some(1.5)),
            ("max 100000\n", None),
            ("max", None),
            ("100000", None),
            ("0 100000", None),
            ("100000 0", None),
            ("-1 100000", None),
            ("x y", None),
            ("", None),
        ] {
            assert_eq!(v2_limit(text), expected.map(CpuLimit), "{text:?}");
        }
    }

    #[test]
    fn limits_of_version_1() {
        for (quota, period, expected) in [
            ("200000\n", "100000\n", Some(2.0)),
            ("-1\n", "100000\n", None),
            ("0", "100000", None),
            ("25000", "50000", Some(0.5)),
            ("", "", None),
        ] {
            assert_eq!(v1_limit(quota, period), expected.map(CpuLimit), "{quota:?}");
        }
    }

    #[test]
    fn part_of_a_processor_needs_a_thread_and_no_limit_gives_more_than_there_are() {
        for (limit, processors, expected) in [
            (0.1, 8, 1),
            (1.0, 8, 1),
            (1.5, 8, 2),
            (2.0, 8, 2),
            (7.01, 8, 8),
            (64.0, 8, 8),
            (2.0, 1, 1),
            (1e18, 4, 4),
        ] {
            assert_eq!(workers(CpuLimit(limit), processors), expected, "{limit}");
        }
    }

    #[test]
    fn the_group_is_found_in_both_versions() {
        let v2 = "0::/kubepods.slice/pod1/container1\n";
        let v1 =
            "12:memory:/m\n4:cpu,cpuacct:/kubepods/pod1\n3:cpuset:/s\n1:name=systemd:/x:y\n0::/\n";
        assert_eq!(v2_group(v2), Some("/kubepods.slice/pod1/container1"));
        assert_eq!(v1_group(v2), None);
        assert_eq!(v1_group(v1), Some("/kubepods/pod1"));
        assert_eq!(v2_group(v1), Some("/"));
        assert_eq!(
            v1_group("4:cpuset,memory:/a\n5:cpuacct,cpu:/b\n"),
            Some("/b")
        );
        assert_eq!((v1_group(""), v2_group("")), (None, None));
    }

    #[test]
    fn the_way_up_ends_where_groups_are_mounted() {
        let folders = |group: &str| {
            let way = way_up(Path::new("/c"), group);
            way.iter()
                .map(|it| it.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(folders("/"), ["/c/"]);
        assert_eq!(folders("/a/b"), ["/c/a/b", "/c/a", "/c/"]);
        assert_eq!(folders("/../../a"), ["/c/"]);
    }

    #[test]
    fn the_lowest_on_the_way_up_is_in_force() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("pod/container");
        fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, text: &str| fs::write(folder.join("cpu.max"), text).unwrap();
        let limit = || {
            lowest(&way_up(root.path(), "/pod/container"), |folder| {
                v2_limit(&fs::read_to_string(folder.join("cpu.max")).ok()?)
            })
        };
        assert_eq!(limit(), None);
        write(&inner, "400000 100000");
        assert_eq!(limit(), Some(CpuLimit(4.0)));
        write(&root.path().join("pod"), "100000 100000");
        assert_eq!(limit(), Some(CpuLimit(1.0)));
        write(root.path(), "max 100000");
        assert_eq!(limit(), Some(CpuLimit(1.0)));
    }
}
