//! The configuration without a start: an example of it, and a check.

use super::edge;
use super::halves::{AdminPlan, GatewayPlan};
use super::serve::Plan;
use crate::cli::{CheckArgs, ConfigCommand, For};
use crate::config::{ADMIN, ConfigErrors, GATEWAY, Given, Reading, SERVE, example};
use crate::exit::{Failure, USAGE};

/// Prints the example, or checks a file and tells all that is wrong with it.
pub(super) async fn run(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Example => {
            print!("{}", example());
            Ok(())
        }
        ConfigCommand::Check(args) => check(&args).await,
    }
}

async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let file = args.config.display().to_string();
    let errors = match args.command {
        For::Serve => {
            errors(Given::<SERVE>::of_file(file).read(), |reading| {
                Some(Plan::of(reading).edge)
            })
            .await
        }
        For::Gateway => {
            errors(Given::<GATEWAY>::of_file(file).read(), |reading| {
                Some(GatewayPlan::of(reading).edge)
            })
            .await
        }
        For::Admin => {
            errors(Given::<ADMIN>::of_file(file).read(), |reading| {
                AdminPlan::of(reading);
                None
            })
            .await
        }
    };
    if errors.is_empty() {
        println!("{} can be used", args.config.display());
        Ok(())
    } else {
        Err(Failure::new(USAGE, &ConfigErrors(errors)))
    }
}

async fn errors(mut reading: Reading, plan: impl FnOnce(&mut Reading) -> Option<crate::config::Edge>) -> Vec<String> {
    let edge = plan(&mut reading);
    let mut errors = reading.finish().err().map_or_else(Vec::new, |errors| errors.0);
    if errors.is_empty()
        && let Some(edge) = edge
    {
        errors.extend(edge::check(edge).await);
    }
    errors
}
