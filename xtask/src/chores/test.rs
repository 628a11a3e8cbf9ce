//! `test` and `e2e`: builds all once, then runs the checks and tests as steps.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::chores::{chart, crds};
use crate::command::{cargo, run, tee};
use crate::steps::{Steps, Tally};
use crate::tools::Tools;
use crate::workspace::Workspace;

/// The integration test of the end-to-end package.
const END_TO_END: &str = "e2e";

/// How often properties and mutations are tried in the long form; 256 is proptest's own number.
const LONG_CASES: &str = "4096";

/// Everything that a change has to pass.
pub(crate) fn all(workspace: &Workspace, long: bool) -> Result<ExitCode> {
    let mut steps = Steps::new(7);
    let mut tools = None;
    let has_tools = steps.step("set-up", |_| {
        tools = Some(Tools::install(workspace)?);
        Ok(())
    });
    steps.step("format", |_| {
        run(cargo(workspace).args(["fmt", "--all", "--check"]))
    });
    steps.step("lints", |_| {
        run(cargo(workspace).args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    });
    if !steps.step("build", |_| build(workspace)) {
        for name in ["generated files", "unit and integration", "end to end"] {
            steps.skip(name, "the build failed");
        }
        return Ok(steps.finish());
    }
    steps.step("generated files", |_| {
        crds::check(workspace)?;
        chart::check(workspace)
    });
    steps.step("unit and integration", |tally| {
        let mut command = cargo(workspace);
        command.args(["test", "--workspace", "--exclude", "turnpike-e2e"]);
        command.arg("--no-fail-fast");
        tests(&mut command, long, tally)
    });
    match tools.filter(|_| has_tools) {
        None => steps.skip("end to end", "the set-up failed"),
        Some(tools) => {
            steps.step("end to end", |tally| {
                end_to_end_tests(workspace, &tools, None, long, tally)
            });
        }
    }
    Ok(steps.finish())
}

/// The end-to-end tests alone, or those whose names contain `filter`.
pub(crate) fn end_to_end(
    workspace: &Workspace,
    filter: Option<&str>,
    long: bool,
) -> Result<ExitCode> {
    let tools = Tools::install(workspace)?;
    let mut steps = Steps::new(2);
    if steps.step("build", |_| build(workspace)) {
        steps.step("end to end", |tally| {
            end_to_end_tests(workspace, &tools, filter, long, tally)
        });
    } else {
        steps.skip("end to end", "the build failed");
    }
    Ok(steps.finish())
}

/// Builds every program and test with the features that the tests have, so that none is built
/// twice.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    run(cargo(workspace).args(["build", "--workspace", "--all-targets"]))
}

fn end_to_end_tests(
    workspace: &Workspace,
    tools: &Tools,
    filter: Option<&str>,
    long: bool,
    tally: &mut Tally,
) -> Result<()> {
    let mut command = cargo(workspace);
    command.args(["test", "--workspace", "--test", END_TO_END]);
    command.args(["--", filter.unwrap_or_default()]);
    tools.offer_to(&mut command)?;
    tests(&mut command, long, tally)
}

fn tests(command: &mut Command, long: bool, tally: &mut Tally) -> Result<()> {
    // Errors of tests say where they come from; twenty frames of libtest hide them.
    command.env("RUST_LIB_BACKTRACE", "0");
    if long {
        command.env("TURNPIKE_LONG", "1");
        command.env("PROPTEST_CASES", LONG_CASES);
    }
    tee(command, |line| tally.read(line))
}
