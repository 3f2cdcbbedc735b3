//! Artefacts and their versions: what CI registers.

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::Problem;
use super::request::{Named, Payload, Stamp, read};
use super::{Shared, multipart};

/// The artefacts of the organisation and their versions, oldest first.
#[derive(Default)]
pub(super) struct Artefacts {
    artefacts: Vec<Artefact>,
    versions: Vec<Version>,
}

#[derive(Clone, Serialize)]
struct Artefact {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(flatten)]
    times: Times,
}

#[derive(Clone, Serialize)]
struct Version {
    id: String,
    artefact_id: String,
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    version: String,
    #[serde(rename = "ref")]
    reference: String,
    commit: String,
    digest: String,
    archived: bool,
    #[serde(flatten)]
    times: Times,
}

#[derive(Clone, Serialize)]
struct Times {
    created_at: String,
    created_by: String,
    updated_at: String,
    updated_by: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Container,
    Workload,
}

/// A version as it is sent, in JSON or as the fields of a form.
#[derive(Deserialize)]
struct NewVersion {
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    version: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    commit: Option<String>,
    digest: Option<String>,
    spec: Option<Value>,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/artefact-versions", get(list_versions).post(create_version))
        .route("/artefact-versions/{id}", get(show_version))
        .route("/artefacts", get(list))
        .route("/artefacts/{id}", axum::routing::delete(delete))
        .route("/artefacts/{id}/versions", get(list_versions_of))
        .route("/artefacts/{id}/versions/{version}", patch(archive_version))
}

impl Artefacts {
    fn register(&mut self, new: NewVersion, stamp: &Stamp) -> Version {
        let known = self.artefacts.iter_mut();
        let mut known = known.filter(|artefact| artefact.kind == new.kind && artefact.name == new.name);
        let artefact_id = match known.next() {
            Some(artefact) => {
                artefact.times.update(stamp);
                artefact.id.clone()
            }
            None => self.add(new.name.clone(), new.kind, stamp),
        };
        let version = Version {
            id: new_uuid(),
            artefact_id,
            name: new.name,
            kind: new.kind,
            version: new.version.unwrap_or_default(),
            reference: new.reference.unwrap_or_default(),
            commit: new.commit.unwrap_or_default(),
            digest: new.digest.unwrap_or_default(),
            archived: false,
            times: Times::new(stamp),
        };
        self.versions.push(version.clone());
        version
    }

    fn add(&mut self, name: String, kind: Kind, stamp: &Stamp) -> String {
        let id = new_uuid();
        self.artefacts.push(Artefact {
            id: id.clone(),
            name,
            kind,
            times: Times::new(stamp),
        });
        id
    }

    fn check_exists(&self, id: &str) -> Result<(), Problem> {
        let exists = self.artefacts.iter().any(|artefact| artefact.id == id);
        exists.then_some(()).ok_or(Problem::Missing("artefact"))
    }
}

impl NewVersion {
    /// Checks what the types leave open.
    fn check(self) -> Result<Self, Problem> {
        let invalid = |message: &str| Err(Problem::Invalid(message.to_owned()));
        if self.name.is_empty() {
            return invalid("name is required");
        }
        if self.kind == Kind::Workload && self.spec.is_none() {
            return invalid("spec is required for a workload");
        }
        if self
            .reference
            .as_ref()
            .is_some_and(|reference| !reference.starts_with("refs/"))
        {
            return invalid("ref must begin with refs/");
        }
        let is_commit = |text: &str| {
            let hexadecimal = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
            (5..=40).contains(&text.len()) && text.bytes().all(hexadecimal)
        };
        if self.commit.as_deref().is_some_and(|commit| !is_commit(commit)) {
            return invalid("commit must be 5 to 40 hexadecimal digits");
        }
        Ok(self)
    }
}

impl Times {
    fn new(stamp: &Stamp) -> Self {
        Self {
            created_at: stamp.at.clone(),
            created_by: stamp.by.clone(),
            updated_at: stamp.at.clone(),
            updated_by: stamp.by.clone(),
        }
    }

    fn update(&mut self, stamp: &Stamp) {
        self.updated_at.clone_from(&stamp.at);
        self.updated_by.clone_from(&stamp.by);
    }
}

#[derive(Deserialize)]
struct Wanted {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    reference: Option<String>,
    archived: Option<bool>,
}

impl Wanted {
    fn admits(&self, version: &Version) -> bool {
        self.name.as_ref().is_none_or(|name| *name == version.name)
            && self.kind.is_none_or(|kind| kind == version.kind)
            && self
                .reference
                .as_ref()
                .is_none_or(|reference| *reference == version.reference)
            && self.archived.is_none_or(|archived| archived == version.archived)
    }
}

#[derive(Deserialize)]
struct DryRun {
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
struct Archive {
    archived: bool,
}

#[derive(Deserialize)]
struct AtVersion {
    id: String,
    version: String,
}

async fn list(State(sandbox): State<Shared>, Query(wanted): Query<Wanted>) -> Json<Vec<Artefact>> {
    let store = sandbox.store();
    let artefacts = store.artefacts.artefacts.iter().filter(|artefact| {
        wanted.name.as_ref().is_none_or(|name| *name == artefact.name)
            && wanted.kind.is_none_or(|kind| kind == artefact.kind)
    });
    Json(artefacts.cloned().collect())
}

async fn delete(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<StatusCode, Problem> {
    let artefacts = &mut sandbox.store().artefacts;
    artefacts.check_exists(&at.id)?;
    artefacts.artefacts.retain(|artefact| artefact.id != at.id);
    artefacts.versions.retain(|version| version.artefact_id != at.id);
    Ok(StatusCode::NO_CONTENT)
}

async fn list_versions(State(sandbox): State<Shared>, Query(wanted): Query<Wanted>) -> Json<Vec<Version>> {
    let store = sandbox.store();
    let versions = store.artefacts.versions.iter();
    Json(versions.filter(|version| wanted.admits(version)).cloned().collect())
}

async fn list_versions_of(
    State(sandbox): State<Shared>,
    Path(at): Path<Named>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<Version>>, Problem> {
    let artefacts = &sandbox.store().artefacts;
    artefacts.check_exists(&at.id)?;
    let versions = artefacts.versions.iter().filter(|version| version.artefact_id == at.id);
    Ok(Json(
        versions.filter(|version| wanted.admits(version)).cloned().collect(),
    ))
}

async fn show_version(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<Json<Version>, Problem> {
    let store = sandbox.store();
    let mut versions = store.artefacts.versions.iter();
    let version = versions.find(|version| version.id == at.id);
    Ok(Json(version.cloned().ok_or(NO_VERSION)?))
}

async fn create_version(
    State(sandbox): State<Shared>,
    Query(mode): Query<DryRun>,
    stamp: Stamp,
    request: Request,
) -> Result<Response, Problem> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = read(request, &sandbox).await?;
    let new = if content_type.starts_with("multipart/form-data") {
        let fields = multipart::fields(&content_type, &body);
        let fields = fields.ok_or_else(|| Problem::Invalid("the form cannot be read".to_owned()))?;
        serde_json::from_value(Value::Object(fields))
    } else {
        serde_json::from_slice(&body)
    };
    let new: NewVersion = match new {
        Ok(new) => new,
        Err(error) => return Err(Problem::Invalid(format!("this is not an artefact version: {error}"))),
    };
    let new = new.check()?;
    if mode.dry_run == Some(true) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let version = sandbox.store().artefacts.register(new, &stamp);
    Ok(Json(version).into_response())
}

async fn archive_version(
    State(sandbox): State<Shared>,
    Path(at): Path<AtVersion>,
    stamp: Stamp,
    Payload(archive): Payload<Archive>,
) -> Result<Json<Version>, Problem> {
    let mut store = sandbox.store();
    let mut versions = store.artefacts.versions.iter_mut();
    let version = versions.find(|version| version.artefact_id == at.id && version.id == at.version);
    let version = version.ok_or(NO_VERSION)?;
    version.archived = archive.archived;
    version.times.update(&stamp);
    Ok(Json(version.clone()))
}

fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

const NO_VERSION: Problem = Problem::Missing("artefact version");
