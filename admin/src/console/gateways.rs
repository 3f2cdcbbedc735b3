//! `/gateways`: how far each gateway is, and how well.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde_json::Value;

use super::Console;
use super::ask::{Question, Refused, text_of};
use super::door::Person;
use super::moment::Moment;
use super::plot::Plot;
use super::shell::{Shell, page};

#[derive(Debug, Template)]
#[template(path = "gateways.html")]
struct GatewaysPage {
    shell: Shell,
    gateways: Vec<Line>,
    /// The newest revision that any of them is behind, or at.
    newest: u64,
    behind: usize,
    silent: usize,
    lag: Option<Plot>,
}

#[derive(Debug)]
struct Line {
    name: String,
    /// `live`, `lagging`, `silent` or `awaited`.
    state: String,
    enrolled: bool,
    revision: u64,
    lag_revisions: u64,
    lag: String,
    version: String,
    address: String,
    policies: u64,
    last_contact: Option<(Moment, String)>,
    refuses_after: String,
}

/// `GET /gateways`
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
) -> Result<Response, Refused> {
    let question = Question::get(format!("/orgs/{}/gateways", person.member.org));
    let found = console.ask(&person, question).await?;
    let (shell, _) = console.shell(&person, "Gateways", &[]).await?;
    let now_ms = console.api.clock.unix_ms();
    let gateways: Vec<Line> = found
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| Line::of(one, now_ms))
        .collect();
    let in_state = |state: &str| gateways.iter().filter(|gateway| gateway.state == state).count();
    let newest = gateways
        .iter()
        .map(|gateway| gateway.revision + gateway.lag_revisions)
        .max();
    let lag = gateways
        .iter()
        .take(BARS_MAX)
        .map(|gateway| (gateway.name.clone(), vec![gateway.lag_revisions]));
    let most = gateways
        .iter()
        .map(|gateway| gateway.lag_revisions)
        .max()
        .unwrap_or_default();
    let summary = format!("{most} revisions at most, as they last reported");
    Ok(page(&GatewaysPage {
        lag: Plot::of(
            "How far behind",
            summary,
            &[("warn", "revisions behind")],
            lag.collect(),
        ),
        shell,
        newest: newest.unwrap_or_default(),
        behind: in_state("lagging"),
        silent: in_state("silent"),
        gateways,
    }))
}

impl Line {
    fn of(gateway: &Value, now_ms: i64) -> Self {
        let number = |name: &str| gateway[name].as_u64().unwrap_or_default();
        let last_contact = gateway["last_contact"].as_str().and_then(Moment::read);
        let seconds = |ms: u64| match ms / 1000 {
            0 => "less than a second".to_owned(),
            1 => "1 second".to_owned(),
            seconds => format!("{seconds} seconds"),
        };
        Self {
            name: text_of(gateway, "name"),
            state: text_of(gateway, "state"),
            enrolled: gateway["enrolled"] == true,
            revision: number("revision"),
            lag_revisions: number("lag_revisions"),
            lag: seconds(number("lag_ms")),
            version: text_of(gateway, "version"),
            address: text_of(gateway, "address"),
            policies: number("policies"),
            last_contact: last_contact.map(|at| {
                let ago = at.relative(now_ms);
                (at, ago)
            }),
            refuses_after: seconds(number("refuses_after_ms")),
        }
    }
}

/// How many gateways there is room for in a plot.
const BARS_MAX: usize = 12;
