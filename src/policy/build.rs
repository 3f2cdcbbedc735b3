//! `postern policy build`: runs a language's toolchain as `policy.toml` says, and makes a component of what it leaves.
//!
//! Of languages this knows nothing: a step is a command, and what it leaves is a core module or a component.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use feed::{PolicyDigest, PolicyKind};

use super::componentize;
use super::project::{Project, Step};
use super::report::{class_name, size};
use crate::exit::{CANNOT_CREATE, DATA, Failure, INPUT_OUTPUT, UNAVAILABLE};

/// Options of `postern policy build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// The policy's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Runs the steps, and writes the component.
pub(super) fn run(args: &BuildArgs) -> Result<(), Failure> {
    let project = Project::open(&args.dir)?;
    let output = project.folder().join(&project.said.build.output);
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)
            .map_err(|error| Failure::said(CANNOT_CREATE, format!("{}: {error}", parent.display())))?;
    }
    for step in &project.said.build.step {
        take(step, &project)?;
    }
    let left = fs::read(&output).map_err(|error| {
        let what = "the build left no output there; policy.toml says where under [build]";
        Failure::said(INPUT_OUTPUT, format!("{}: {error}: {what}", output.display()))
    })?;
    let component = if componentize::is_core_module(&left) {
        componentize::component(&left, project.said.kind)
            .map_err(|error| Failure::said(DATA, not_for_the_world(&error, project.said.kind)))?
    } else {
        left
    };
    let file = project.component();
    fs::write(&file, &component)
        .map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", file.display())))?;
    let class = match engine::classify(&component) {
        Ok(class) => class_name(class).to_owned(),
        Err(problem) => format!("none, it is no policy yet: {problem}"),
    };
    println!("{}", file.display());
    println!("  size    {}", size(component.len()));
    println!("  digest  {}", PolicyDigest::of(&component));
    println!("  class   {class}");
    Ok(())
}

fn take(step: &Step, project: &Project) -> Result<(), Failure> {
    if let Some(there) = &step.unless
        && project.folder().join(there).exists()
    {
        return Ok(());
    }
    let mut words = step.run.split_whitespace();
    let Some(tool) = words.next() else {
        return Err(Failure::said(DATA, "policy.toml: a build step has an empty `run`"));
    };
    eprintln!("+ {}", step.run);
    let ended = Command::new(tool).args(words).current_dir(project.folder()).status();
    let install = step
        .install
        .as_deref()
        .unwrap_or("see the documentation of the language");
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let hint = format!("what it needs is installed by: {install}");
            Err(Failure::said(DATA, format!("`{tool}` failed ({status}); {hint}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::said(
            UNAVAILABLE,
            format!(
                "`{tool}` is not installed, and building {} needs it. To install it: {install}",
                project.said.lang
            ),
        )),
        Err(error) => Err(Failure::said(UNAVAILABLE, format!("`{tool}` cannot be run: {error}"))),
    }
}

fn not_for_the_world(error: &componentize::NotAPolicy, kind: PolicyKind) -> String {
    let world = match kind {
        PolicyKind::Role => "role",
        PolicyKind::Guard => "guard",
    };
    format!("the core module is not one for world `{world}` of .postern/wit/policy.wit: {error}")
}
