//! A program under test: started with its output in a file, killed, frozen, started again.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;

use crate::eventually::eventually;
use crate::guard;

/// What to run; enough to run it again.
#[derive(Debug, Clone)]
pub struct Program {
    /// Names its log files.
    pub name: String,
    pub file: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// A program with its arguments; the environment is inherited.
    pub fn new<A: Into<OsString>>(
        name: &str,
        file: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            file: file.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        }
    }
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    program: Program,
    stdout: PathBuf,
    stderr: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts it with `NAME.out.log` and `NAME.err.log` in the folder.
    pub fn spawn(folder: &Path, program: Program) -> Result<Self> {
        std::fs::create_dir_all(folder).context("making the folder of logs")?;
        let process = Self {
            stdout: folder.join(format!("{}.out.log", program.name)),
            stderr: folder.join(format!("{}.err.log", program.name)),
            program,
            child: Mutex::new(None),
        };
        process.start()?;
        Ok(process)
    }

    /// Starts it again, after it was killed or ended. Logs are appended to.
    pub fn start(&self) -> Result<()> {
        let mut child = self.child.lock();
        ensure!(child.is_none(), "{} runs already", self.program.name);
        let started = Command::new(&self.program.file)
            .args(&self.program.arguments)
            .envs(self.program.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log(&self.stdout)?)
            .stderr(log(&self.stderr)?)
            .spawn()
            .with_context(|| format!("starting {}", self.program.file.display()))?;
        guard::watch(started.id());
        *child = Some(started);
        Ok(())
    }

    /// Its process number, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.lock().as_ref().map(Child::id)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            guard::forget(child.id());
        }
    }

    /// Asks it to end and waits until it has.
    pub async fn terminate(&self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        let name = &self.program.name;
        let status = eventually(&format!("{name} ends after SIGTERM"), async || {
            self.ended()?.context("it runs")
        })
        .await?;
        if let Some(child) = self.child.lock().take() {
            guard::forget(child.id());
        }
        Ok(status)
    }

    /// Freezes it: its connections stay open and nothing answers.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Its exit status if it has ended by itself.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        match self.child.lock().as_mut() {
            None => Ok(None),
            Some(child) => child.try_wait().context("asking for its end"),
        }
    }

    /// Fails if it has ended, with the end of its log.
    pub fn check_runs(&self) -> Result<()> {
        if let Some(status) = self.ended()? {
            anyhow::bail!(
                "{} ended with {status}:\n{}",
                self.program.name,
                tail(&self.stderr)
            );
        }
        Ok(())
    }

    /// All that it wrote to standard output, over all its starts.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// All that it wrote to standard error, over all its starts.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    fn signal(&self, name: &str) -> Result<()> {
        let id = self.id().context("it does not run")?;
        let status = Command::new("kill")
            .args(["-s", name, &id.to_string()])
            .status()
            .context("running kill")?;
        ensure!(status.success(), "no signal to {}", self.program.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Prints the ends of all logs in a folder, to be called when a test has failed.
pub fn show_logs(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "log"))
    {
        let text = tail(file);
        if !text.is_empty() {
            eprintln!("---- {}\n{text}", file.display());
        }
    }
}

/// The last lines of a log.
fn tail(file: &Path) -> String {
    const LINES: usize = 25;
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn log(file: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .with_context(|| format!("opening {}", file.display()))
}
