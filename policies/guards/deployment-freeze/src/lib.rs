//! Guard `deployment-freeze`: nothing is deployed in the windows of its settings.
//!
//! It reads the time and the settings, which `settings.schema.json` describes. What deploys without its settings naming
//! it is [`DEPLOYING`]. What it cannot judge, it refuses.

#![no_std]

extern crate alloc;

mod instant;
mod window;

use alloc::format;
use alloc::vec::Vec;

use json::{Malformed, Reader};
use postern_policy::{Guard, GuardVerdict, Input, Operation, Request, Scope};
use window::Window;

struct DeploymentFreeze;

impl Guard for DeploymentFreeze {
    const NAME: &str = "deployment-freeze";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org, Scope::App];
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("../settings.schema.json"));

    fn inputs() -> Vec<Input> {
        [Input::Time].into()
    }

    fn decide(request: &Request) -> GuardVerdict {
        let settings = request.settings.as_deref().unwrap_or_default();
        let Ok(settings) = Settings::read(settings, request) else {
            return GuardVerdict::Deny("the settings of deployment-freeze cannot be read".into());
        };
        if !settings.holds {
            return GuardVerdict::Pass;
        }
        let Some(time_ms) = request.inputs.time_ms.and_then(|time| i64::try_from(time).ok()) else {
            return GuardVerdict::Deny("deployment-freeze was not told the time".into());
        };
        let Some((until, reason)) = window::frozen_until(&settings.windows, time_ms) else {
            return GuardVerdict::Pass;
        };
        let (operation, until) = (&request.operation.id, instant::text(until));
        GuardVerdict::Deny(match reason {
            Some(reason) => format!("{operation} is frozen until {until}: {reason}"),
            None => format!("{operation} is frozen until {until}"),
        })
    }
}

postern_policy::guard!(DeploymentFreeze);

/// The settings, as far as they bear on a request.
struct Settings {
    windows: Vec<Window>,
    /// Whether the windows hold for what is asked for, and for who asks.
    holds: bool,
}

impl Settings {
    fn read(text: &str, request: &Request) -> Result<Self, Malformed> {
        let mut windows = Vec::new();
        let mut deploys = DEPLOYING.contains(&request.operation.id.as_str());
        let mut env_type_matters = true;
        let mut exempt = false;
        Reader::whole(text, |reader| {
            reader.object(|reader, name| match name {
                "windows" => reader.array(|reader| {
                    windows.push(Window::read(reader)?);
                    Ok(())
                }),
                "operations" => {
                    deploys = false;
                    reader.strings(|named| deploys |= is_named(&request.operation, named))
                }
                "env_types" => {
                    let concerned = &request.subject.env_type_roles;
                    // What concerns no env type by its path or body, as a pipeline's run, may deploy to any.
                    env_type_matters = concerned.is_empty();
                    reader.strings(|named| env_type_matters |= concerned.iter().any(|own| own.env_type == named))
                }
                "exempt_subjects" => reader.strings(|named| exempt |= request.subject.id == named),
                _ => Err(Malformed),
            })
        })?;
        Ok(Self {
            windows,
            holds: deploys && env_type_matters && !exempt,
        })
    }
}

/// Tells whether settings name an operation, by its id or its permission.
fn is_named(operation: &Operation, named: &str) -> bool {
    operation.id == named || operation.permission == named
}

/// The operations that put something into an environment, or let a pipeline go on that may. Those that stop one are not
/// among them.
const DEPLOYING: [&str; 6] = [
    "approvePipelineApprovalRequest",
    "createDeployment",
    "createPipelineRun",
    "createPipelineRunByTriggerCriteria",
    "rebaseEnvironment",
    "restartPipelineRun",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_that_deploys_is_in_the_catalogue() {
        let catalogue = include_str!("../../../catalogue/operations.tsv");
        for operation in DEPLOYING {
            let known = catalogue.lines().any(|row| row.split('\t').nth(2) == Some(operation));
            assert!(known, "{operation}");
        }
    }
}
