//! `image`: the image of the programs as an archive that `docker load` and `ctr images import` read,
//! made without Docker. Programs and files are where the Dockerfile puts them; shared libraries
//! are those of this machine. Equal programs make equal archives.

mod archive;
mod root;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::chores::image::archive::Archive;
use crate::chores::image::root::Root;
use crate::command::{cargo, find, run as run_command};
use crate::workspace::Workspace;

/// The programs, and the packages that they are built from.
const PROGRAMS: [(&str, &str); 3] = [
    ("turnpike", "turnpike-cli"),
    ("turnpike-controller", "turnpike-controller"),
    ("turnpike-dataplane", "turnpike-dataplane"),
];

/// The same image under two tags, for an upgrade from one to the other.
const TEST_NAMES: [&str; 2] = ["localhost/turnpike:e2e-1", "localhost/turnpike:e2e-2"];
const TEST_REDIS: &str = "localhost/redis:e2e";

#[derive(Args)]
pub(crate) struct Arguments {
    /// How the programs are built
    #[arg(long, value_enum, default_value = "dist")]
    profile: Profile,
    /// NAME:TAG of the image; may be repeated
    #[arg(long = "name", value_name = "NAME:TAG", default_value = concat!("turnpike:", env!("CARGO_PKG_VERSION")))]
    names: Vec<String>,
    /// Where the archive is written [default: image/turnpike.tar in the target folder]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    Dev,
    Release,
    Dist,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Profile::Dev => "dev",
            Profile::Release => "release",
            Profile::Dist => "dist",
        }
    }

    /// The folder in the target folder.
    fn folder(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
            Profile::Dist => "dist",
        }
    }
}

/// Builds the programs and writes the archive.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut build = cargo(workspace);
    build.args(["build", "--profile", arguments.profile.name(), "--bins"]);
    for (_, package) in PROGRAMS {
        build.args(["--package", package]);
    }
    run_command(&mut build)?;
    let folder = workspace.target.join(arguments.profile.folder());
    let default = || workspace.images().join("turnpike.tar");
    let output = arguments.output.clone().unwrap_or_else(default);
    let names: Vec<&str> = arguments.names.iter().map(String::as_str).collect();
    of_programs(&folder, &names, &output)?;
    println!("{}", output.display());
    Ok(())
}

/// Writes the images that the tests of pods import: of the debug build, and of this machine's
/// redis-server. Gives their folder.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.images().join("e2e");
    let programs = workspace.target.join(Profile::Dev.folder());
    of_programs(&programs, &TEST_NAMES, &folder.join("turnpike.tar"))
        .context("the image of the programs")?;
    let redis = find("redis-server").context("no redis-server")?;
    of_machine(&redis, &[TEST_REDIS], &folder.join("redis.tar"))
        .context("the image of redis-server")?;
    Ok(folder)
}

/// Writes an archive of the programs in a folder.
fn of_programs(folder: &Path, names: &[&str], output: &Path) -> Result<()> {
    let root = new_root(output)?;
    for (program, _) in PROGRAMS {
        root.program(&folder.join(program), &format!("/usr/local/bin/{program}"))?;
    }
    write(&root, "/usr/local/bin/turnpike", names, output)
}

/// Writes an archive of one program of this machine.
fn of_machine(program: &Path, names: &[&str], output: &Path) -> Result<()> {
    let place = program.to_str().context("a program's path")?;
    let root = new_root(output)?;
    root.program(program, place)?;
    write(&root, place, names, output)
}

fn new_root(output: &Path) -> Result<Root> {
    let folder = output.parent().context("the archive needs a folder")?;
    std::fs::create_dir_all(folder).context("making the archive's folder")?;
    Root::new(output.with_extension("root"))
}

fn write(root: &Root, entrypoint: &str, names: &[&str], output: &Path) -> Result<()> {
    for name in names {
        ensure!(
            name.rsplit('/')
                .next()
                .is_some_and(|last| last.contains(':')),
            "{name} has no tag: give NAME:TAG"
        );
    }
    let archive = Archive { entrypoint, names };
    archive.write(root.folder(), output)
}
