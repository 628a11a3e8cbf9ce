//! Stops what this process started, when it ends in any way, a kill included.
//!
//! A shell reads lines from a pipe that only this process writes to: `+PID` and `-PID` as
//! children come and go, `@COMMAND` for what else has to be run. The pipe's end is our end.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use parking_lot::Mutex;

const SCRIPT: &str = r#"
trap '' INT TERM HUP
declare -A pids
commands=()
while IFS= read -r line; do
    case $line in
    +*) pids[${line#+}]=1 ;;
    -*) unset "pids[${line#-}]" ;;
    @*) commands+=("${line#@}") ;;
    esac
done
[ ${#pids[@]} = 0 ] || kill -9 "${!pids[@]}" 2>/dev/null
for command in "${commands[@]}"; do eval "$command" >/dev/null 2>&1; done
"#;

/// Has the process killed at our end.
pub(crate) fn watch(pid: u32) {
    tell(&format!("+{pid}"));
}

/// Forgets a process that has ended, since its number may be another's soon.
pub(crate) fn forget(pid: u32) {
    tell(&format!("-{pid}"));
}

/// Has a shell command run at our end.
pub(crate) fn at_end(command: &str) {
    tell(&format!("@{command}"));
}

fn tell(line: &str) {
    static SHELL: OnceLock<Option<Mutex<Child>>> = OnceLock::new();
    let shell = SHELL.get_or_init(|| {
        Command::new("bash")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .inspect_err(|error| eprintln!("no guard over child processes: {error}"))
            .ok()
            .map(Mutex::new)
    });
    if let Some(shell) = shell
        && let Some(stdin) = shell.lock().stdin.as_mut()
    {
        // Without the guard a killed run leaves processes behind; the tests are as good.
        let _ = writeln!(stdin, "{line}");
    }
}
