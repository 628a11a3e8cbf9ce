//! What the machine, or the container, gives this process: processors and file descriptors.

mod cgroup;

use std::thread::available_parallelism;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Gives the number of threads that the work is worth: as many as the container's CPU limit lets
/// run at once, rounded up. More would be stopped by the kernel in mid-work.
pub fn workers() -> usize {
    let processors = available_parallelism().map_or(1, usize::from);
    let limit = cgroup::cpu_limit();
    limit.map_or(processors, |limit| cgroup::workers(limit, processors))
}

/// Lets the process have as many descriptors as it is allowed to ask for: container runtimes and
/// systemd give 1,024 of them, for the sake of programs that use `select`.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        warn!(%error, "limit of file descriptors not raised");
    }
}

/// Gives how many descriptors the process may have.
pub fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}
