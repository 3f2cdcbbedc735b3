//! Operations: the rows of the catalogue and the table they are read from.

use crate::segment::Grammar;

/// One row of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Position in the catalogue; dense, so that per-operation counters can be arrays.
    pub index: usize,
    /// Unique name, as in the API description: `getApplication`.
    pub id: String,
    /// Method, upper case.
    pub method: String,
    /// Path template: `/orgs/{orgId}/apps/{appId}`.
    pub path: String,
    /// Permission that a role must allow: `app.read`. Several operations may share one.
    pub permission: String,
    /// Who answers.
    pub server: Server,
    /// Where the env types that the operation concerns are found.
    pub env_types: EnvTypes,
    /// What of a list answer the caller may see.
    pub filter: Option<Filter>,
    /// What a success means beyond its answer.
    pub effect: Option<Effect>,
    /// Whether the operation needs no token. Only operators make an operation public, in the configuration.
    pub public: bool,
    /// Protocols that a connection may be upgraded to (RFC 9110 §7.8), in lower case. Only operators name any, in the
    /// configuration.
    pub upgrade: Vec<String>,
    pub(crate) segments: Vec<Segment>,
    canonical: Box<[u8]>,
}

/// Who answers an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The platform orchestrator.
    Orchestrator,
    /// Postern's own admin service.
    Admin,
}

/// Where the env types that an operation concerns are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvTypes {
    /// It concerns none.
    None,
    /// The type of the environment in the path.
    Path,
    /// The member `type` of the JSON body; the configured default when it is absent.
    BodyType,
    /// The types of the environments that the members `env_id` and `environment` of the JSON body name.
    BodyEnvironment,
    /// The types of all environments of the app in the path.
    App,
    /// The type of the environment that the approval in the path is for.
    Approval,
}

/// Which elements of a list answer the caller may see: those whose object it may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Elements belong to the app that the named member holds the id of.
    App(String),
    /// Elements belong to the organisation that the named member holds the id of.
    Org(String),
}

/// What a success of an operation means for role bindings and remembered facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The caller owns the new app.
    AppCreated,
    /// The app's role bindings end.
    AppDeleted,
    /// Nobody holds a role on the new env type yet.
    EnvTypeCreated,
    /// The env type's role bindings end.
    EnvTypeDeleted,
    /// The environment's type is forgotten.
    EnvDeleted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    Parameter { name: String, grammar: Grammar },
}

/// A row that cannot be an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {row}: {problem}")]
pub struct TableError {
    /// The row as it was given.
    pub row: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Operation {
    /// Returns an operation that the orchestrator answers, concerning no env types.
    ///
    /// # Errors
    /// When the method is not an upper-case token or the path template cannot be read.
    pub fn new(method: &str, path: &str, id: &str, permission: &str) -> Result<Self, TableError> {
        let error = |problem: &str| TableError {
            row: format!("{method} {path}"),
            problem: problem.to_owned(),
        };
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(error("the method is not upper-case letters"));
        }
        if matches!(method, "CONNECT" | "TRACE") {
            return Err(error("CONNECT and TRACE are never forwarded"));
        }
        if id.is_empty() || permission.is_empty() {
            return Err(error("the id or the permission is empty"));
        }
        Ok(Self {
            index: 0,
            id: id.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            permission: permission.to_owned(),
            server: Server::Orchestrator,
            env_types: EnvTypes::None,
            filter: None,
            effect: None,
            public: false,
            upgrade: Vec::new(),
            segments: parse_template(path).map_err(|problem| error(&problem))?,
            canonical: canonical([id, permission, method, path]),
        })
    }

    /// Returns id, permission, method and path as octets: those of two operations are the same only if these four are,
    /// and none are the beginning of others.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Lets connections be upgraded to these protocols.
    ///
    /// # Errors
    /// When one is no token, would carry HTTP or TLS past every decision, or the method is not GET.
    pub fn upgrading(mut self, protocols: Vec<String>) -> Result<Self, TableError> {
        let error = |problem: String| TableError {
            row: format!("{} {}", self.method, self.path),
            problem,
        };
        if !protocols.is_empty() && self.method != "GET" {
            return Err(error("only a GET can upgrade".to_owned()));
        }
        let protocols: Vec<String> = protocols.iter().map(|name| name.to_lowercase()).collect();
        if let Some(name) = protocols.iter().find(|name| !may_be_upgraded_to(name)) {
            return Err(error(format!("connections cannot be upgraded to {name:?}")));
        }
        self.upgrade = protocols;
        Ok(self)
    }

    /// Returns whether it can only read: a GET whose permission ends in `.read` or `.list`, on a connection that stays what
    /// it is. What else there may be is taken for something that changes things.
    pub fn is_read(&self) -> bool {
        let verb = self.permission.rsplit('.').next();
        self.method == "GET" && self.upgrade.is_empty() && matches!(verb, Some("read" | "list"))
    }

    /// Returns the names of the path's parameters, in order.
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter { name, .. } => Some(name.as_str()),
        })
    }

    pub(crate) fn parse(row: &str) -> Result<Self, TableError> {
        let error = |problem: String| TableError {
            row: row.to_owned(),
            problem,
        };
        let columns: Vec<&str> = row.split('\t').collect();
        let [method, path, id, permission, server, env_types, filter, effect] = columns[..] else {
            return Err(error(format!("{} columns instead of 8", columns.len())));
        };
        let mut operation = Self::new(method, path, id, permission)?;
        operation.server = parse_server(server).map_err(error)?;
        operation.env_types = parse_env_types(env_types).map_err(error)?;
        operation.filter = parse_filter(filter).map_err(error)?;
        operation.effect = parse_effect(effect).map_err(error)?;
        Ok(operation)
    }
}

/// Most parameters a path template may have.
pub const PARAMETERS_MAX: usize = 8;

/// A token (RFC 9110 §5.6.2) with a version or without. In HTTP or TLS requests could be hidden from us.
fn may_be_upgraded_to(protocol: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b);
    let name = protocol.split('/').next().unwrap_or_default();
    !protocol.is_empty() && protocol.bytes().all(token) && !matches!(name, "h2c" | "h2" | "http" | "tls" | "")
}

/// Lengths come before what they measure, so no text can look like the end of another.
fn canonical(texts: [&str; 4]) -> Box<[u8]> {
    let octets = texts
        .iter()
        .flat_map(|text| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat());
    octets.collect()
}

fn parse_template(path: &str) -> Result<Vec<Segment>, String> {
    let rest = path.strip_prefix('/').ok_or("the path does not begin with /")?;
    let segments: Vec<Segment> = rest.split('/').map(parse_segment).collect::<Result<_, _>>()?;
    let parameters = segments
        .iter()
        .filter(|s| matches!(s, Segment::Parameter { .. }))
        .count();
    if parameters > PARAMETERS_MAX {
        return Err(format!("{parameters} parameters, at most {PARAMETERS_MAX} are allowed"));
    }
    Ok(segments)
}

fn parse_segment(text: &str) -> Result<Segment, String> {
    if let Some(name) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!("{{{name}}} is not a parameter name"));
        }
        return Ok(Segment::Parameter {
            name: name.to_owned(),
            grammar: Grammar::of_parameter(name),
        });
    }
    let literal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if text.is_empty() || text.starts_with('.') || !text.bytes().all(literal) {
        return Err(format!("{text:?} is not a path segment"));
    }
    Ok(Segment::Literal(text.to_owned()))
}

fn parse_server(text: &str) -> Result<Server, String> {
    match text {
        "orchestrator" => Ok(Server::Orchestrator),
        "admin" => Ok(Server::Admin),
        other => Err(format!("unknown server {other:?}")),
    }
}

fn parse_env_types(text: &str) -> Result<EnvTypes, String> {
    match text {
        "-" => Ok(EnvTypes::None),
        "path" => Ok(EnvTypes::Path),
        "body.type" => Ok(EnvTypes::BodyType),
        "body.env_id" => Ok(EnvTypes::BodyEnvironment),
        "app" => Ok(EnvTypes::App),
        "approval" => Ok(EnvTypes::Approval),
        other => Err(format!("unknown source of env types {other:?}")),
    }
}

fn parse_filter(text: &str) -> Result<Option<Filter>, String> {
    match text.split_once(':') {
        None if text == "-" => Ok(None),
        Some(("app", member)) => Ok(Some(Filter::App(member.to_owned()))),
        Some(("org", member)) => Ok(Some(Filter::Org(member.to_owned()))),
        _ => Err(format!("unknown filter {text:?}")),
    }
}

fn parse_effect(text: &str) -> Result<Option<Effect>, String> {
    match text {
        "-" => Ok(None),
        "app-created" => Ok(Some(Effect::AppCreated)),
        "app-deleted" => Ok(Some(Effect::AppDeleted)),
        "env-type-created" => Ok(Some(Effect::EnvTypeCreated)),
        "env-type-deleted" => Ok(Some(Effect::EnvTypeDeleted)),
        "env-deleted" => Ok(Some(Effect::EnvDeleted)),
        other => Err(format!("unknown effect {other:?}")),
    }
}
