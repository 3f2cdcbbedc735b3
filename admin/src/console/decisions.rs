//! `/decisions`: what gateways have decided, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, query, segment, text_of};
use super::door::Person;
use super::moment::Moment;
use super::plot::{Meaning, Plot};
use super::shell::{Shell, page};

/// What is looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Look {
    subject: String,
    operation: String,
    outcome: String,
    /// `1`: the page is asked for again every few seconds.
    live: String,
}

#[derive(Debug, Template)]
#[template(path = "decisions.html")]
struct DecisionsPage {
    shell: Shell,
    look: Look,
    lines: Vec<Line>,
    plot: Option<Plot>,
    live_href: String,
}

/// A decision in a list.
#[derive(Debug)]
pub(super) struct Line {
    pub href: String,
    pub at: Moment,
    pub who: String,
    pub who_href: Option<String>,
    pub token: String,
    pub operation: String,
    pub outcome: Outcome,
    pub gateway: String,
}

/// What came of a decision, as people read it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub word: String,
    pub good: bool,
    /// The role that allows, what a guard says, or what failed.
    pub why: String,
}

/// A decision, step by step.
#[derive(Debug, Template)]
#[template(path = "decision.html")]
pub(super) struct DecisionPage {
    pub shell: Shell,
    pub who: String,
    pub who_href: Option<String>,
    pub id: String,
    pub at: Moment,
    pub gateway: String,
    pub revision: u64,
    pub token: String,
    pub operation: String,
    pub parameters: Vec<(String, String)>,
    pub env_types: Vec<String>,
    pub outcome: Outcome,
    pub steps: Vec<Step>,
    /// What would come of it now, where that can be told.
    pub now: Option<Outcome>,
}

/// A policy that was asked.
#[derive(Debug)]
pub(super) struct Step {
    who: String,
    verdict: String,
    good: bool,
    policy: String,
}

/// `GET /decisions`
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Query(look): Query<Look>,
) -> Result<Response, Refused> {
    let wanted = (look.subject.as_str(), look.operation.as_str(), look.outcome.as_str());
    let mut found = console.recorded(&person, wanted, PLOTTED).await?;
    let plot = over_time(&found);
    found.truncate(LINES);
    let lines = console.lines(&person, &found).await;
    let (shell, _) = console.shell(&person, "Decisions", &[]).await?;
    let live = look.live == "1";
    let shown = page(&DecisionsPage {
        live_href: look.href(if live { "" } else { "1" }),
        shell,
        lines,
        plot,
        look,
    });
    // Browsers ask again by themselves; whoever reads has chosen that, and ends it with the same button.
    let again = live.then_some([(HeaderName::from_static("refresh"), LIVE_SECONDS)]);
    Ok(match again {
        Some(again) => (again, shown).into_response(),
        None => shown,
    })
}

/// `GET /decisions/{decision}`
pub(super) async fn read(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let org = &person.member.org;
    let path = format!("/orgs/{org}/decisions/{}", segment(&id));
    let decision = console.ask(&person, Question::get(path)).await?;
    let question = &decision["question"];
    let env_types = question["subject"]["env_types"].as_array().into_iter().flatten();
    let env_types: Vec<&Value> = env_types.map(|env_type| &env_type["id"]).collect();
    let again = json!({
        "subject": question["subject"]["id"],
        "operation": question["operation"],
        "parameters": question.get("parameters").unwrap_or(&json!({})),
        "env_types": env_types,
        "inputs": question.get("inputs").unwrap_or(&json!({})),
    });
    // It may be about a subject or an operation that is gone.
    let now = console
        .ask(&person, Question::post(format!("/orgs/{org}/explanations"), again))
        .await;
    let mut shown = console.decision_page(&person, &decision, "Decision").await?;
    shown.now = now.ok().map(|now| Outcome::of(&now["outcome"]));
    Ok(page(&shown))
}

impl Console {
    /// Returns the newest decisions on a subject's requests.
    pub(super) async fn decisions(&self, person: &Person, subject: &str, limit: usize) -> Result<Vec<Line>, Refused> {
        let found = self.recorded(person, (subject, "", ""), limit).await?;
        Ok(self.lines(person, &found).await)
    }

    /// Returns decisions as the API tells them, the newest first.
    async fn recorded(
        &self,
        person: &Person,
        (subject, operation, outcome): (&str, &str, &str),
        limit: usize,
    ) -> Result<Vec<Value>, Refused> {
        let question = Question::get(format!("/orgs/{}/decisions", person.member.org)).with(&[
            ("subject", subject),
            ("operation", operation),
            ("outcome", outcome),
            ("limit", &limit.to_string()),
        ]);
        let mut found = self.ask(person, question).await?;
        found.as_array_mut().map(std::mem::take).ok_or_else(Refused::failed)
    }

    async fn lines(&self, person: &Person, found: &[Value]) -> Vec<Line> {
        let mut names = BTreeMap::new();
        for decision in found {
            let id = text_of(&decision["question"]["subject"], "id");
            if !names.contains_key(&id) && names.len() < NAMES_MAX {
                let name = self.name(person, &id).await;
                names.insert(id, name);
            }
        }
        found.iter().map(|decision| Line::of(decision, &names)).collect()
    }

    /// Shows a decision, or what would be decided.
    pub(super) async fn decision_page(
        &self,
        person: &Person,
        decision: &Value,
        title: &str,
    ) -> Result<DecisionPage, Refused> {
        let (shell, _) = self.shell(person, title, &[]).await?;
        let question = &decision["question"];
        let subject = text_of(&question["subject"], "id");
        let parameters = question["parameters"].as_object().into_iter().flatten();
        let env_types = question["subject"]["env_types"].as_array().into_iter().flatten();
        Ok(DecisionPage {
            who: self.name(person, &subject).await.unwrap_or_else(|| subject.clone()),
            who_href: href_of(&subject),
            shell,
            id: text_of(decision, "id"),
            at: Moment::of_ms(decision["at_ms"].as_i64().unwrap_or_default()),
            gateway: text_of(decision, "gateway"),
            revision: decision["revision"].as_u64().unwrap_or_default(),
            token: text_of(decision, "token"),
            operation: text_of(question, "operation"),
            parameters: parameters
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            env_types: env_types.map(|env_type| text_of(env_type, "id")).collect(),
            outcome: Outcome::of(&decision["outcome"]),
            steps: decision["answers"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Step::of)
                .collect(),
            now: None,
        })
    }

    /// Returns what a subject is called, if the person may know.
    async fn name(&self, person: &Person, id: &str) -> Option<String> {
        let path = format!("/orgs/{}/users/{}", person.member.org, segment(id));
        let user = self.ask(person, Question::get(path)).await.ok()?;
        user["name"].as_str().map(str::to_owned)
    }
}

impl Look {
    fn is_narrowed(&self) -> bool {
        !(self.subject.is_empty() && self.operation.is_empty() && self.outcome.is_empty())
    }

    fn href(&self, live: &str) -> String {
        query(
            "/decisions",
            &[
                ("subject", &self.subject),
                ("operation", &self.operation),
                ("outcome", &self.outcome),
                ("live", live),
            ],
        )
    }
}

impl Line {
    fn of(decision: &Value, names: &BTreeMap<String, Option<String>>) -> Self {
        let id = text_of(&decision["question"]["subject"], "id");
        let name = names.get(&id).cloned().flatten();
        Self {
            href: format!("/decisions/{}", segment(&text_of(decision, "id"))),
            at: Moment::of_ms(decision["at_ms"].as_i64().unwrap_or_default()),
            who_href: href_of(&id),
            who: name.unwrap_or(id),
            token: text_of(decision, "token"),
            operation: text_of(&decision["question"], "operation"),
            outcome: Outcome::of(&decision["outcome"]),
            gateway: text_of(decision, "gateway"),
        }
    }
}

impl Outcome {
    pub(super) fn of(outcome: &Value) -> Self {
        let text = |name: &str| text_of(outcome, name);
        let word = text("outcome");
        let why = match word.as_str() {
            "allowed" => format!("by {}", text("role")),
            "denied" => format!("by the guard {}: {}", text("guard"), text("reason")),
            "undecided" => format!("{} gave no verdict: {}", text("by"), text("fault")),
            _ => "no role allows it".to_owned(),
        };
        Self {
            good: word == "allowed",
            word: word.replace('-', " "),
            why,
        }
    }
}

impl Step {
    fn of(answer: &Value) -> Self {
        let text = |name: &str| text_of(answer, name);
        let who = match text("asked").as_str() {
            "role" => format!("role {} on the {}", text("role"), text("held_on").replace('-', " ")),
            _ => format!("guard {}", text("guard")),
        };
        let verdict = text("verdict");
        Self {
            who,
            good: matches!(verdict.as_str(), "allow" | "pass"),
            verdict,
            policy: text("policy").chars().take(DIGEST_CHARS).collect(),
        }
    }
}

/// Draws what came of decisions, from the oldest of them to the newest.
fn over_time(found: &[Value]) -> Option<Plot> {
    let at = |decision: &Value| decision["at_ms"].as_i64().unwrap_or_default();
    let (newest, oldest) = (found.first().map(at)?, found.last().map(at)?);
    let step = ((newest - oldest) / BARS).max(1000) + 1;
    let mut bars: Vec<(String, Vec<u64>)> = (0..BARS)
        .map(|bar| (Moment::of_ms(oldest + bar * step).short, vec![0; OUTCOMES.len()]))
        .collect();
    for decision in found {
        let bar = usize::try_from((at(decision) - oldest) / step)
            .ok()
            .and_then(|bar| bars.get_mut(bar));
        let outcome = OUTCOMES
            .iter()
            .position(|(_, name)| decision["outcome"]["outcome"] == name.replace(' ', "-"));
        if let Some(count) = bar
            .zip(outcome)
            .and_then(|((_, counts), outcome)| counts.get_mut(outcome))
        {
            *count += 1;
        }
    }
    let of = |outcome: &str| {
        found
            .iter()
            .filter(|decision| decision["outcome"]["outcome"] == outcome)
            .count()
    };
    let summary = format!("{} allowed, {} refused", of("allowed"), found.len() - of("allowed"));
    let mut plot = Plot::of("The newest decisions over time", summary, &OUTCOMES, bars)?;
    plot.ends = Some((Moment::of_ms(oldest), Moment::of_ms(newest)));
    Some(plot)
}

fn href_of(subject: &str) -> Option<String> {
    subject
        .starts_with("s-")
        .then(|| format!("/service-users/{}", segment(subject)))
}

/// What may come of a decision, and its colour in a plot.
const OUTCOMES: [Meaning; 4] = [
    ("good", "allowed"),
    ("bad", "not allowed"),
    ("warn", "denied"),
    ("plain", "undecided"),
];

/// How many decisions are plotted, as many as the API tells; and in how many bars.
const PLOTTED: usize = 1000;
const BARS: i64 = 48;

/// How many decisions a page shows.
const LINES: usize = 100;

/// Of how many subjects the names are looked up for a page.
const NAMES_MAX: usize = 30;

/// How long a page that is live is looked at.
const LIVE_SECONDS: &str = "3";

/// As much of a digest as people compare.
const DIGEST_CHARS: usize = 19;
