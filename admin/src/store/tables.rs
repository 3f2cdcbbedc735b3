//! The tables of a store, as its files have them, in either database.

use super::StoreError;
use super::sql::{Row, Value};

/// A table: what refers to others comes behind them, but for references that are checked at the end of a transaction.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    /// How many of the columns, from the first, are the key that rows are ordered by.
    pub(super) key: usize,
    /// How many rows are read at once, which bounds the memory for it.
    pub(super) page: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Text,
    Octets,
}

impl Table {
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    pub(super) fn read(&self, row: &Row) -> Result<Vec<Value>, StoreError> {
        let read = |(name, kind): &(&'static str, Kind)| {
            Ok(match kind {
                Kind::Boolean => Value::Boolean(row.get(name)?),
                Kind::Integer => Value::Integer(row.get(name)?),
                Kind::Text => Value::Text(row.get(name)?),
                Kind::Octets => Value::Octets(row.get(name)?),
            })
        };
        self.columns.iter().map(read).collect()
    }

    /// The column of the one row that says that there is one.
    pub(super) fn constant_name(&self) -> &'static str {
        if self.name == STORE { "only_row, " } else { "" }
    }

    pub(super) fn constant_value(&self) -> &'static str {
        if self.name == STORE { "1, " } else { "" }
    }
}

/// The table with one row, which says what the store is.
pub(super) const STORE: &str = "store";

/// All tables of a store, with all columns that are not made of others; but for who has signed in to the console.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: STORE,
        columns: &[
            ("id", Kind::Text),
            ("revision", Kind::Integer),
            ("incarnation", Kind::Integer),
        ],
        key: 1,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "organisations",
        columns: &[("id", Kind::Text), ("created_ms", Kind::Integer)],
        key: 1,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "subjects",
        columns: &[
            ("id", Kind::Text),
            ("org", Kind::Text),
            ("kind", Kind::Text),
            ("name", Kind::Text),
            ("email", Kind::Text),
            ("properties", Kind::Text),
            ("invite", Kind::Text),
            ("idp_id", Kind::Text),
            ("created_ms", Kind::Integer),
            ("created_by", Kind::Text),
            ("disabled", Kind::Boolean),
        ],
        key: 1,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "role_bindings",
        columns: &[
            ("subject", Kind::Text),
            ("scope", Kind::Text),
            ("subject_kind", Kind::Text),
            ("org", Kind::Text),
            ("role", Kind::Text),
            ("created_ms", Kind::Integer),
            ("created_by", Kind::Text),
        ],
        key: 2,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "tokens",
        columns: &[
            ("number", Kind::Integer),
            ("subject", Kind::Text),
            ("org", Kind::Text),
            ("id", Kind::Text),
            ("digest", Kind::Octets),
            ("description", Kind::Text),
            ("expires_at", Kind::Text),
            ("expires_ms", Kind::Integer),
            ("created_ms", Kind::Integer),
            ("created_by", Kind::Text),
            ("certificate", Kind::Text),
            ("held", Kind::Boolean),
        ],
        key: 1,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "audit_entries",
        columns: &[
            ("revision", Kind::Integer),
            ("at_ms", Kind::Integer),
            ("actor_kind", Kind::Text),
            ("actor_subject", Kind::Text),
            ("actor_token", Kind::Text),
            ("operation", Kind::Text),
            ("org", Kind::Text),
            ("target", Kind::Text),
            ("before", Kind::Text),
            ("after", Kind::Text),
        ],
        key: 1,
        page: CHANGES_AT_ONCE,
    },
    Table {
        name: "changes",
        columns: &[
            ("revision", Kind::Integer),
            ("records", Kind::Text),
            ("attempt", Kind::Text),
        ],
        key: 1,
        page: CHANGES_AT_ONCE,
    },
    Table {
        name: "effects",
        columns: &[("id", Kind::Text), ("revision", Kind::Integer)],
        key: 1,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "components",
        columns: &[("digest", Kind::Octets), ("component", Kind::Octets)],
        key: 1,
        page: COMPONENTS_AT_ONCE,
    },
    Table {
        name: "policies",
        columns: &[
            ("org", Kind::Text),
            ("name", Kind::Text),
            ("kind", Kind::Text),
            ("active", Kind::Text),
            ("previous", Kind::Text),
            ("shadow", Kind::Text),
            ("shadow_percent", Kind::Integer),
            ("shadow_since_ms", Kind::Integer),
            ("fallback", Kind::Boolean),
            ("settings", Kind::Text),
        ],
        key: 2,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "policy_versions",
        columns: &[
            ("org", Kind::Text),
            ("policy", Kind::Text),
            ("version", Kind::Text),
            ("digest", Kind::Octets),
            ("class", Kind::Text),
            ("size_bytes", Kind::Integer),
            ("manifest", Kind::Text),
            ("signature_key", Kind::Text),
            ("signature", Kind::Text),
            ("published_ms", Kind::Integer),
            ("published_by", Kind::Text),
        ],
        key: 3,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "guards",
        columns: &[
            ("org", Kind::Text),
            ("id", Kind::Text),
            ("policy", Kind::Text),
            ("scope", Kind::Text),
            ("position", Kind::Integer),
            ("settings", Kind::Text),
            ("created_ms", Kind::Integer),
            ("created_by", Kind::Text),
        ],
        key: 2,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "gateways",
        columns: &[
            ("name", Kind::Text),
            ("credential", Kind::Octets),
            ("enrolment", Kind::Octets),
            ("enrolment_ends_ms", Kind::Integer),
            ("created_ms", Kind::Integer),
            ("created_by", Kind::Text),
            ("enrolled_ms", Kind::Integer),
            ("changed", Kind::Integer),
        ],
        key: 1,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "shadow_totals",
        columns: &[
            ("org", Kind::Text),
            ("policy", Kind::Text),
            ("version", Kind::Text),
            ("evaluations", Kind::Integer),
            ("dropped", Kind::Integer),
        ],
        key: 2,
        page: ROWS_AT_ONCE,
    },
    Table {
        name: "shadow_flips",
        columns: &[
            ("org", Kind::Text),
            ("policy", Kind::Text),
            ("operation", Kind::Text),
            ("subject", Kind::Text),
            ("was", Kind::Text),
            ("would_be", Kind::Text),
            ("flips", Kind::Integer),
            ("first_ms", Kind::Integer),
            ("last_ms", Kind::Integer),
            ("decision", Kind::Text),
        ],
        key: 6,
        page: ROWS_AT_ONCE,
    },
];

/// Rows of small tables.
const ROWS_AT_ONCE: usize = 5000;

/// Changes tell of thousands of records at most.
const CHANGES_AT_ONCE: usize = 200;

/// Each is 48 MiB at most.
const COMPONENTS_AT_ONCE: usize = 2;
