//! `postern policy new`: a folder to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use feed::PolicyKind;

use super::project::check_name;
use super::template::Lang;
use crate::exit::{CANNOT_CREATE, Failure};

/// Options of `postern policy new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of the policy, and of the role that a role policy makes: letters, digits and hyphens
    name: String,
    /// Language to write it in
    #[arg(long)]
    lang: Lang,
    /// A role grants what it allows; a guard refuses what a role has allowed
    #[arg(long, value_enum, default_value_t = Kind::Role)]
    kind: Kind,
    /// Folder to make  [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Whether a policy grants or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Answers allow or abstain
    Role,
    /// Answers pass or deny
    Guard,
}

/// Writes the folder, and says what to do next.
pub(super) fn run(args: &NewArgs) -> Result<(), Failure> {
    check_name(&args.name)?;
    let kind = match args.kind {
        Kind::Role => PolicyKind::Role,
        Kind::Guard => PolicyKind::Guard,
    };
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    claim(&folder)?;
    for file in args.lang.files(&args.name, kind) {
        write(&folder.join(file.path), &file.text)?;
    }
    println!("Made {}. Next:\n", folder.display());
    println!("  cd {}", folder.display());
    println!("  postern policy build     # makes {}.wasm", args.name);
    println!("  postern policy test      # asks it everything in tests.toml");
    println!("  postern policy check     # tells what publishing it would refuse\n");
    println!("README.md says which file to edit.");
    Ok(())
}

/// Makes the folder, unless something is in it.
fn claim(folder: &Path) -> Result<(), Failure> {
    let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if occupied || folder.is_file() {
        let message = format!(
            "{} is there already, and nothing is overwritten; take another name, or --dir",
            folder.display()
        );
        return Err(Failure::said(CANNOT_CREATE, message));
    }
    fs::create_dir_all(folder).map_err(|error| cannot_create(folder, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| cannot_create(parent, &error))?;
    }
    fs::write(path, text).map_err(|error| cannot_create(path, &error))
}

fn cannot_create(path: &Path, error: &std::io::Error) -> Failure {
    Failure::said(CANNOT_CREATE, format!("{} cannot be made: {error}", path.display()))
}
