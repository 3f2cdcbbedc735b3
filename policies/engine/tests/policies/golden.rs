//! The golden table: each operation of the catalogue, by who may do it, as the real components decide.

use std::fmt::Write;
use std::path::PathBuf;

use catalogue::{EnvTypes, Matched, Operation};
use engine::{Engine, EnvTypeRole, Inputs, Limits, Memory, PolicySet, Question, SubjectView};
use feed::SubjectKind;

use crate::support::{catalogue, nobody, repository};

#[test]
fn the_built_in_roles_allow_what_the_golden_table_says() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let table = table(&PolicySet::builtin(&engine, Memory::Off).unwrap());
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(file(), &table).unwrap();
    }
    let golden = std::fs::read_to_string(file()).unwrap_or_default();
    let difference = golden.lines().zip(table.lines()).find(|(was, is)| was != is);
    assert!(
        golden == table,
        "{} is not what the roles decide now.\nfirst difference: {difference:#?}\n\
         If the change is meant, run the test with {REWRITE}=1 and review the difference.",
        file().display(),
    );
}

/// Who asks: a column of the table.
struct Column {
    /// `|` before the first of a group.
    title: &'static str,
    org_role: Option<&'static str>,
    app_role: Option<&'static str>,
    deployer: Deployer,
    /// Whether the parameter `userId` is the subject itself.
    oneself: bool,
}

/// On which of the env types that the operation concerns the subject is `deployer`.
#[derive(Clone, Copy)]
enum Deployer {
    Nowhere,
    EverywhereButOne,
    Everywhere,
}

/// Returns the table of what a set of policies allows.
pub(crate) fn table(set: &PolicySet) -> String {
    let columns = columns();
    let mut table = LEGEND.to_owned();
    let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
    writeln!(table, "{} | operation", titles.join(" ")).unwrap();
    for operation in catalogue().operations() {
        for column in &columns {
            let mark = if allows(set, column, operation) { "x" } else { "." };
            let group = if column.title.starts_with('|') { "| " } else { "" };
            let width = column.title.len() - group.len();
            write!(table, "{group}{mark:<width$} ").unwrap();
        }
        let (method, path, permission) = (&operation.method, &operation.path, &operation.permission);
        writeln!(table, "| {method} {path}  {permission}").unwrap();
    }
    table
}

fn allows(set: &PolicySet, column: &Column, operation: &std::sync::Arc<Operation>) -> bool {
    let env_types = env_types(operation, column.deployer);
    let subject = SubjectView {
        id: if column.oneself { PARAMETER } else { "s-somebody" },
        kind: SubjectKind::ServiceUser,
        org_role: column.org_role,
        app_role: column.app_role,
        env_types: &env_types,
        ..nobody()
    };
    let values: Vec<&str> = operation.parameter_names().map(|_| PARAMETER).collect();
    let operation = &Matched::from_values(operation, &values).expect("the value fits each parameter");
    let inputs = Inputs::default();
    let decision = set.decide(&Question {
        subject,
        operation,
        inputs,
    });
    assert_eq!(decision.faults().next(), None, "{}", operation.operation.id);
    decision.is_allowed()
}

/// Returns the env types as the gateway lists them: one, but for the app's two environments of different types.
fn env_types(operation: &Operation, deployer: Deployer) -> Vec<EnvTypeRole<'static>> {
    let concerned: &[&str] = match operation.env_types {
        EnvTypes::None => &[],
        EnvTypes::Path | EnvTypes::BodyType | EnvTypes::BodyEnvironment | EnvTypes::Approval => &["development"],
        EnvTypes::App => &["development", "production"],
    };
    let held = match deployer {
        Deployer::Nowhere => 0,
        Deployer::EverywhereButOne => concerned.len().saturating_sub(1),
        Deployer::Everywhere => concerned.len(),
    };
    let role = |at| (at < held).then_some("deployer");
    concerned
        .iter()
        .enumerate()
        .map(|(at, env_type)| (*env_type, role(at)))
        .collect()
}

fn columns() -> Vec<Column> {
    let column = |title, org_role, app_role, deployer| Column {
        title,
        org_role,
        app_role,
        deployer,
        oneself: false,
    };
    let on_org = |title, role| column(title, Some(role), None, Deployer::Nowhere);
    let on_app = |title, role, deployer| column(title, None, Some(role), deployer);
    vec![
        on_org("A", "administrator"),
        on_org("M", "manager"),
        on_org("C", "artefactContributor"),
        on_org("B", "member"),
        on_org("V", "orgViewer"),
        Column {
            oneself: true,
            ..on_org("B=", "member")
        },
        on_app("| v", "viewer", Deployer::Nowhere),
        on_app("d", "developer", Deployer::Nowhere),
        on_app("o", "owner", Deployer::Nowhere),
        column("| +", None, None, Deployer::Everywhere),
        on_app("v+", "viewer", Deployer::Everywhere),
        on_app("d+", "developer", Deployer::Everywhere),
        on_app("o+", "owner", Deployer::Everywhere),
        on_app("d-", "developer", Deployer::EverywhereButOne),
        on_app("o-", "owner", Deployer::EverywhereButOne),
    ]
}

fn file() -> PathBuf {
    repository().join("tests/golden/roles.txt")
}

/// Value of every parameter: it fits each grammar.
const PARAMETER: &str = "the-one";

/// Environment variable that has the golden table written anew.
const REWRITE: &str = "POSTERN_REWRITE_GOLDEN";

const LEGEND: &str = "\
# Who may do what: each operation of the catalogue, as the built-in role policies decide it.
# Written by the tests of policies/engine, and reviewed when it changes. x: allowed.
#
# Role on the organisation:   A administrator   M manager   C artefactContributor   B member   V orgViewer
#                             B= a member that asks about itself: userId is its own id
# Role on the app:            v viewer   d developer   o owner
# Role on env types:          + deployer on each that the operation concerns   - deployer on each but one
# An operation concerns no env type, one, or, to delete an app, here two.

";
