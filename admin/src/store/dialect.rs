//! What SQLite and PostgreSQL understand differently, all of it.

/// One of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Reading one state.
    Read,
    /// Writing.
    Write,
}

impl Dialect {
    pub(super) fn begin(self, begin: Begin) -> &'static str {
        match (self, begin) {
            (Self::Sqlite, Begin::Read) => "BEGIN",
            // Otherwise two that read first could each wait for the other to end.
            (Self::Sqlite, Begin::Write) => "BEGIN IMMEDIATE",
            (Self::Postgres, Begin::Read) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Self::Postgres, Begin::Write) => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        }
    }

    /// Returns the lines of subjects behind `$1`, `$2` of them at most: `lines, count, last id`.
    pub(super) fn subject_lines(self) -> &'static str {
        match self {
            Self::Sqlite => {
                r#"SELECT group_concat(line, char(10)), count(*), max(id) FROM (
                       SELECT s.id, '{"frame":"record","record":{"kind":"subject","id":' || json_quote(s.id)
                           || ',"type":"' || s.kind || '","org":' || json_quote(s.org) || ',"roles":['
                           || coalesce((SELECT group_concat('{"scope":' || json_quote(b.scope)
                                                            || ',"role":' || json_quote(b.role) || '}', ',')
                                        FROM role_bindings b WHERE b.subject = s.id), '')
                           || ']}}' AS line
                       FROM subjects s WHERE s.id > $1 ORDER BY s.id LIMIT $2) AS part"#
            }
            Self::Postgres => {
                r#"SELECT string_agg(line, chr(10) ORDER BY id), count(*), max(id) FROM (
                       SELECT s.id, '{"frame":"record","record":{"kind":"subject","id":' || to_json(s.id)
                           || ',"type":"' || s.kind || '","org":' || to_json(s.org)::text || ',"roles":['
                           || coalesce((SELECT string_agg('{"scope":' || to_json(b.scope)
                                                          || ',"role":' || to_json(b.role)::text || '}', ','
                                                          ORDER BY b.scope)
                                        FROM role_bindings b WHERE b.subject = s.id), '')
                           || ']}}' AS line
                       FROM subjects s WHERE s.id > $1 ORDER BY s.id LIMIT $2) AS part"#
            }
        }
    }

    /// Returns the lines of tokens that are neither held nor of a disabled service user, behind number `$1`, `$2` of them at
    /// most: `lines, count, last number`.
    pub(super) fn token_lines(self) -> &'static str {
        match self {
            Self::Sqlite => {
                r#"SELECT group_concat(line, char(10)), count(*), max(number) FROM (
                       SELECT number, '{"frame":"record","record":{"kind":"token","digest":"' || lower(hex(digest))
                           || '","id":' || json_quote(id) || ',"subject":' || json_quote(subject)
                           || iif(expires_ms IS NULL, '', ',"expires_ms":' || expires_ms)
                           || iif(certificate IS NULL, '', ',"x5t#S256":"' || certificate || '"') || '}}' AS line
                       FROM tokens WHERE number > $1 AND NOT held
                           AND NOT EXISTS (SELECT 1 FROM subjects s WHERE s.id = subject AND s.disabled)
                       ORDER BY number LIMIT $2) AS part"#
            }
            Self::Postgres => {
                r#"SELECT string_agg(line, chr(10) ORDER BY number), count(*), max(number) FROM (
                       SELECT number, '{"frame":"record","record":{"kind":"token","digest":"' || encode(digest, 'hex')
                           || '","id":' || to_json(id)::text || ',"subject":' || to_json(subject)
                           || coalesce(',"expires_ms":' || expires_ms, '')
                           || coalesce(',"x5t#S256":"' || certificate || '"', '') || '}}' AS line
                       FROM tokens WHERE number > $1 AND NOT held
                           AND NOT EXISTS (SELECT 1 FROM subjects s WHERE s.id = subject AND s.disabled)
                       ORDER BY number LIMIT $2) AS part"#
            }
        }
    }

    /// Returns the lines of changes after revision `$1`, `$2` of them at most: `lines, first, last`.
    pub(super) fn change_lines(self) -> &'static str {
        match self {
            Self::Sqlite => {
                r#"SELECT group_concat(line, char(10)), min(revision), max(revision) FROM (
                       SELECT revision,
                           '{"frame":"change","revision":' || revision || ',"records":' || records || '}' AS line
                       FROM changes WHERE revision > $1 ORDER BY revision LIMIT $2) AS part"#
            }
            Self::Postgres => {
                r#"SELECT string_agg(line, chr(10) ORDER BY revision), min(revision), max(revision) FROM (
                       SELECT revision,
                           '{"frame":"change","revision":' || revision || ',"records":' || records || '}' AS line
                       FROM changes WHERE revision > $1 ORDER BY revision LIMIT $2) AS part"#
            }
        }
    }
}
