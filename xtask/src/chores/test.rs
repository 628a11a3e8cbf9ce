//! `test` and `e2e`: builds all once, then runs the checks and tests as steps.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::chores::{chart, crds, image};
use crate::command::{cargo, run, tee};
use crate::steps::{Steps, Tally};
use crate::tools::Tools;
use crate::tools::pods::Pods;
use crate::workspace::Workspace;

/// The step that runs the whole system.
const END_TO_END: &str = "end to end";

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
        for name in ["generated files", "unit and integration", END_TO_END] {
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
        None => steps.skip(END_TO_END, "the set-up failed"),
        Some(tools) => end_to_end_step(&mut steps, workspace, &tools, None, long),
    }
    Ok(steps.finish())
}

/// The end-to-end tests alone, or those whose names contain `filter`. Tests of pods run only
/// without a filter, or with one that begins with `pods`.
pub(crate) fn end_to_end(
    workspace: &Workspace,
    filter: Option<&str>,
    long: bool,
) -> Result<ExitCode> {
    let tools = Tools::install(workspace)?;
    let mut steps = Steps::new(2);
    if steps.step("build", |_| build(workspace)) {
        end_to_end_step(&mut steps, workspace, &tools, filter, long);
    } else {
        steps.skip(END_TO_END, "the build failed");
    }
    Ok(steps.finish())
}

/// Builds every program and test with the features that the tests have, so that none is built
/// twice.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    run(cargo(workspace).args(["build", "--workspace", "--all-targets"]))
}

/// The step's name tells when tests of pods are left out, and why.
fn end_to_end_step(
    steps: &mut Steps,
    workspace: &Workspace,
    tools: &Tools,
    filter: Option<&str>,
    long: bool,
) {
    let is_asked = filter.is_none_or(|filter| filter.starts_with("pods"));
    let pods = is_asked.then(Pods::install);
    let name = match &pods {
        Some(Pods::LeftOut(reason)) => format!("{END_TO_END}, without pods ({reason})"),
        _ => END_TO_END.to_owned(),
    };
    let has_pods = matches!(pods, Some(Pods::Ready));
    steps.step(&name, |tally| {
        let mut command = cargo(workspace);
        command.args(["test", "--workspace", "--test", "e2e"]);
        command.args(["--", filter.unwrap_or_default()]);
        tools.offer_to(&mut command)?;
        if has_pods {
            command.env("TURNPIKE_E2E_IMAGES", image::for_tests(workspace)?);
        } else {
            command.args(["--skip", "pods_"]);
        }
        tests(&mut command, long, tally)
    });
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
