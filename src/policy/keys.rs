//! `postern policy keygen` and `sign`: who vouches for a component.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::signature::{Signer, Statement};

use super::project::{Component, check_name};
use super::workbench::{self, Engines};
use crate::exit::{CANNOT_CREATE, DATA, Failure, INPUT_OUTPUT, SOFTWARE};

/// Options of `postern policy keygen`.
#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Name that the key is to have in `policy_trusted_keys`: letters, digits and hyphens
    name: String,
    /// File for the private key; it must not be there yet  [default: ./NAME.pem]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Options of `postern policy sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// A component, or the folder of a policy
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    component: PathBuf,
    /// File with the private key, as `keygen` makes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Name of the key in `policy_trusted_keys`  [default: name of the key's file, without .pem]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Organisation that the policy is for: a signature holds in one
    #[arg(long, env = "POSTERN_ORG", value_name = "ORG")]
    org: String,
}

/// Makes a key, and prints its public half.
pub(super) fn keygen(args: &KeygenArgs) -> Result<(), Failure> {
    check_name(&args.name)?;
    let pem = Signer::generate_pem().map_err(|error| Failure::new(SOFTWARE, &error))?;
    let signer = Signer::from_pem(&args.name, &pem).map_err(|error| Failure::new(SOFTWARE, &error))?;
    let default = || PathBuf::from(format!("{}.pem", args.name));
    let file = args.out.clone().unwrap_or_else(default);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
    let written = made.and_then(|mut made| made.write_all(pem.as_bytes()));
    written.map_err(|error| Failure::said(CANNOT_CREATE, format!("{}: {error}", file.display())))?;
    println!("{}", signer.trusted());
    eprintln!("{} holds the private key: keep it to yourself.", file.display());
    eprintln!("The line above is for `policy_trusted_keys`, at the admin service and at gateways.");
    Ok(())
}

/// Signs a component, and writes the signature beside it.
pub(super) fn sign(args: &SignArgs) -> Result<(), Failure> {
    let pem = fs::read_to_string(&args.key)
        .map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", args.key.display())))?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => stem(&args.key)?,
    };
    let signer = Signer::from_pem(&name, &pem)
        .map_err(|error| Failure::said(DATA, format!("{}: {error}", args.key.display())))?;
    let component = Component::open(&args.component)?;
    let policy = workbench::load(&Engines::new()?, &component.bytes)?;
    let version = policy.manifest().version.to_string();
    let signature = signer.sign(&Statement {
        org: &args.org,
        name: policy.name(),
        version: &version,
        digest: policy.digest(),
    });
    let json = serde_json::to_string(&signature).expect("a signature is JSON");
    let mut file = component.file.into_os_string();
    file.push(".sig");
    let file = PathBuf::from(file);
    fs::write(&file, format!("{json}\n"))
        .map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", file.display())))?;
    println!("{}", file.display());
    println!(
        "  {name} vouches that {} is {} {version} of {}",
        policy.digest(),
        policy.name(),
        args.org
    );
    Ok(())
}

fn stem(file: &Path) -> Result<String, Failure> {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    let unnamed = || Failure::said(DATA, format!("{}: give the key's name with --name", file.display()));
    stem.map(ToOwned::to_owned).ok_or_else(unnamed)
}
