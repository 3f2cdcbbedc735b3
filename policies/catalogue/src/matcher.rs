//! Finding an operation by method and raw path.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::operation::{Operation, PARAMETERS_MAX, Segment, TableError};
use crate::segment::{self, PathProblem};

/// All operations, and the tree that finds one.
#[derive(Debug)]
pub struct Catalogue {
    operations: Vec<Arc<Operation>>,
    by_id: HashMap<String, usize>,
    nodes: Vec<Node>,
}

/// An operation found for a request, with the raw values of its path parameters.
#[derive(Debug, Clone)]
pub struct Matched<'p> {
    /// The operation.
    pub operation: Arc<Operation>,
    values: [&'p str; PARAMETERS_MAX],
}

/// Why no operation was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotIdentified {
    /// The path can be read in two ways.
    Ambiguous(PathProblem),
    /// No operation has this path.
    UnknownPath,
    /// Operations have this path, under other methods: the list, in the form of an `Allow` field.
    UnknownMethod(String),
}

#[derive(Debug, Default)]
struct Node {
    literals: Vec<(String, usize)>,
    parameter: Option<usize>,
    operations: Vec<usize>,
}

impl Catalogue {
    /// Reads a table of operations: tab-separated rows under a header line, `#` begins a comment.
    ///
    /// # Errors
    /// The first row that cannot be an operation, or that says again what another row says.
    pub fn parse(table: &str) -> Result<Self, TableError> {
        let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
        let operations: Vec<Operation> = rows.map(Operation::parse).collect::<Result<_, _>>()?;
        Self::new(operations)
    }

    /// Builds a catalogue from operations; their indices are set here.
    ///
    /// # Errors
    /// When two operations have one id, or one method and path.
    pub fn new(operations: Vec<Operation>) -> Result<Self, TableError> {
        let mut catalogue = Self {
            operations: Vec::with_capacity(operations.len()),
            by_id: HashMap::with_capacity(operations.len()),
            nodes: vec![Node::default()],
        };
        for operation in operations {
            catalogue.insert(operation)?;
        }
        Ok(catalogue)
    }

    /// Returns this catalogue with more operations behind its own.
    ///
    /// # Errors
    /// As [`Catalogue::new`].
    pub fn extended(&self, more: Vec<Operation>) -> Result<Self, TableError> {
        let own = self.operations.iter().map(|operation| Operation::clone(operation));
        Self::new(own.chain(more).collect())
    }

    /// Returns all operations, in the order of their indices.
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// Returns the operation with this id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Operation>> {
        self.by_id.get(id).map(|index| &self.operations[*index])
    }

    /// Finds the operation for a method and a raw path (without query).
    ///
    /// A literal segment of the catalogue wins over a parameter in its place.
    ///
    /// # Errors
    /// When the path is ambiguous, or no operation has it, or none with this method.
    pub fn identify<'p>(&self, method: &str, path: &'p str) -> Result<Matched<'p>, NotIdentified> {
        segment::check_path(path).map_err(NotIdentified::Ambiguous)?;
        let mut node = &self.nodes[0];
        let mut values = [""; PARAMETERS_MAX];
        let mut count = 0;
        for segment in path[1..].split('/') {
            if let Some((_, next)) = node.literals.iter().find(|(literal, _)| literal == segment) {
                node = &self.nodes[*next];
            } else if let Some(next) = node.parameter {
                values[count] = segment;
                count += 1;
                node = &self.nodes[next];
            } else {
                return Err(NotIdentified::UnknownPath);
            }
        }
        let mut allow = String::new();
        for operation in node.operations.iter().map(|index| &self.operations[*index]) {
            if !admits(operation, &values) {
                continue;
            }
            if operation.method == method {
                let operation = Arc::clone(operation);
                return Ok(Matched { operation, values });
            }
            if !allow.is_empty() {
                allow.push_str(", ");
            }
            allow.push_str(&operation.method);
        }
        Err(if allow.is_empty() {
            NotIdentified::UnknownPath
        } else {
            NotIdentified::UnknownMethod(allow)
        })
    }

    fn insert(&mut self, mut operation: Operation) -> Result<(), TableError> {
        operation.index = self.operations.len();
        let error = |problem: &str| TableError {
            row: format!("{} {}", operation.method, operation.path),
            problem: problem.to_owned(),
        };
        if self.by_id.insert(operation.id.clone(), operation.index).is_some() {
            return Err(error("another operation has this id"));
        }
        let mut at = 0;
        for segment in &operation.segments {
            at = match segment {
                Segment::Literal(text) => self.literal_child(at, text),
                Segment::Parameter { .. } => self.parameter_child(at),
            };
        }
        if self.nodes[at]
            .operations
            .iter()
            .any(|index| self.operations[*index].method == operation.method)
        {
            return Err(error("another operation has this method and path"));
        }
        self.nodes[at].operations.push(operation.index);
        self.operations.push(Arc::new(operation));
        Ok(())
    }

    fn literal_child(&mut self, at: usize, text: &str) -> usize {
        if let Some((_, child)) = self.nodes[at].literals.iter().find(|(literal, _)| literal == text) {
            return *child;
        }
        let child = self.push_node();
        self.nodes[at].literals.push((text.to_owned(), child));
        child
    }

    fn parameter_child(&mut self, at: usize) -> usize {
        if let Some(child) = self.nodes[at].parameter {
            return child;
        }
        let child = self.push_node();
        self.nodes[at].parameter = Some(child);
        child
    }

    fn push_node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }
}

impl<'p> Matched<'p> {
    /// Returns an operation with the values of its parameters, as if a path had been matched.
    ///
    /// `None` when a value is missing, too many, or does not fit its parameter.
    pub fn from_values(operation: &Arc<Operation>, given: &[&'p str]) -> Option<Self> {
        let mut values = [""; PARAMETERS_MAX];
        values.get_mut(..given.len())?.copy_from_slice(given);
        let complete = operation.parameter_names().count() == given.len() && admits(operation, &values);
        complete.then(|| Self {
            operation: Arc::clone(operation),
            values,
        })
    }

    /// Returns the parameters' names and raw values, in the order of the path.
    pub fn raw_parameters(&self) -> impl Iterator<Item = (&str, &'p str)> {
        self.operation.parameter_names().zip(self.values)
    }

    /// Returns the parameters' names and decoded values, in the order of the path.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, Cow<'p, str>)> {
        // Matching admitted only values that decode.
        self.raw_parameters()
            .map(|(name, raw)| (name, segment::decode(raw).unwrap_or_default()))
    }

    /// Returns the raw value of a parameter.
    pub fn raw(&self, name: &str) -> Option<&'p str> {
        self.raw_parameters().find(|(own, _)| *own == name).map(|(_, raw)| raw)
    }

    /// Returns the organisation in the path.
    pub fn org(&self) -> Option<&'p str> {
        self.raw("orgId")
    }

    /// Returns the app in the path.
    pub fn app(&self) -> Option<&'p str> {
        self.raw("appId")
    }

    /// Returns the env type in the path, which the API names in two ways.
    pub fn env_type(&self) -> Option<&'p str> {
        self.raw("envTypeId").or_else(|| self.raw("envType"))
    }

    /// Returns the path, rebuilt from the operation's template and the raw values: what is sent on.
    pub fn path(&self) -> String {
        let mut path = String::with_capacity(self.operation.path.len() + 64);
        self.push_path(&mut path);
        path
    }

    /// Writes [`Matched::path`] to the end of a text.
    pub fn push_path(&self, path: &mut String) {
        let mut values = self.values.iter();
        for segment in &self.operation.segments {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Parameter { .. } => values.next().copied().unwrap_or_default(),
            });
        }
    }
}

fn admits(operation: &Operation, values: &[&str]) -> bool {
    let grammars = operation.segments.iter().filter_map(|segment| match segment {
        Segment::Literal(_) => None,
        Segment::Parameter { grammar, .. } => Some(grammar),
    });
    grammars.zip(values).all(|(grammar, value)| grammar.admits(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Catalogue {
        Catalogue::parse(crate::OPERATIONS).expect("the shipped table is valid")
    }

    #[test]
    fn every_shipped_operation_is_found_under_its_own_path() {
        let catalogue = shipped();
        assert_eq!(catalogue.operations().len(), 248);
        for operation in catalogue.operations() {
            let path = operation.path.replace(['{', '}'], "").to_lowercase();
            let found = catalogue.identify(&operation.method, &path).expect(&path);
            assert_eq!(found.operation.id, operation.id);
            assert_eq!(found.path(), path);
        }
    }

    #[test]
    fn an_operation_reads_when_its_method_and_its_permission_say_so_and_its_connection_stays_what_it_is() {
        let shipped = shipped();
        for operation in shipped.operations() {
            assert_eq!(operation.is_read(), operation.method == "GET", "{}", operation.id);
        }
        let own = |method, permission| Operation::new(method, "/x", "x", permission).expect("valid");
        for unlike in [own("POST", "x.read"), own("GET", "x.write"), own("GET", "x.logs")] {
            assert!(!unlike.is_read(), "{unlike:?}");
        }
        let socket = own("GET", "x.read").upgrading(vec!["websocket".to_owned()]);
        assert!(!socket.expect("valid").is_read());
    }

    #[test]
    fn what_is_not_in_the_catalogue_is_not_identified() {
        let catalogue = shipped();
        let unknown = [
            "/",
            "/org",
            "/orgs/my-org/appsx",
            "/ORGS/my-org",
            "/orgs/My-Org/apps",
            "/orgs/my-org/apps/a%2Fb",
            "/orgs/my-org/apps/app/envs/dev/x",
        ];
        for path in unknown {
            let answer = catalogue.identify("GET", path).map(|m| m.operation.id.clone());
            assert!(
                matches!(answer, Err(NotIdentified::UnknownPath | NotIdentified::Ambiguous(_))),
                "{path}: {answer:?}"
            );
        }
        let answer = catalogue
            .identify("PUT", "/current-user")
            .map(|m| m.operation.id.clone());
        assert_eq!(answer, Err(NotIdentified::UnknownMethod("GET, PATCH".to_owned())));
    }

    #[test]
    fn an_encoded_slash_stays_one_segment_and_is_sent_on_as_it_came() {
        let path = "/orgs/my-org/resources/types/my-org%2fmy-type";
        let catalogue = shipped();
        let found = catalogue.identify("PATCH", path).expect("a known operation");
        let decoded: Vec<String> = found.parameters().map(|(_, value)| value.into_owned()).collect();
        assert_eq!(decoded, ["my-org", "my-org/my-type"]);
        assert_eq!(found.path(), path);
    }

    #[test]
    fn a_table_that_says_a_thing_twice_is_refused() {
        let operation = |id: &str, path: &str| Operation::new("GET", path, id, "x.read").expect("valid");
        assert!(Catalogue::new(vec![operation("a", "/x/{one}"), operation("b", "/x/{two}")]).is_err());
        assert!(Catalogue::new(vec![operation("a", "/x"), operation("a", "/y")]).is_err());
        assert!(Operation::new("CONNECT", "/x", "a", "x.read").is_err());
        assert!(Operation::new("GET", "/x/../y", "a", "x.read").is_err());
    }
}
