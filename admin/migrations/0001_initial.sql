-- The admin store. Times are milliseconds since the Unix epoch.

-- Marks the file as a Postern store, so that another program's database is never taken for one: "pstn" in ASCII.
PRAGMA application_id = 1886614638;

-- One row: the identity of the store and its newest revision.
CREATE TABLE store (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id       TEXT    NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 0)
) STRICT;

CREATE TABLE organisations (
    id         TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whoever may hold roles. The name of a group is its name at its identity provider.
CREATE TABLE subjects (
    id         TEXT PRIMARY KEY,
    org        TEXT NOT NULL REFERENCES organisations (id),
    kind       TEXT NOT NULL CHECK (kind IN ('service-user', 'member', 'group')),
    name       TEXT NOT NULL,
    email      TEXT,
    properties TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(properties)),
    invite     TEXT CHECK (invite IN ('pending', 'accepted')),
    idp_id     TEXT,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    -- What role bindings and tokens refer to, so that they cannot outlive a change of kind or organisation.
    UNIQUE (id, kind, org),
    CHECK ((kind = 'member') = (invite IS NOT NULL)),
    CHECK ((kind = 'group') = (idp_id IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX member_emails ON subjects (org, lower(email)) WHERE kind = 'member';
CREATE UNIQUE INDEX group_names ON subjects (org, idp_id, name) WHERE kind = 'group';

-- Roles held on scopes, which are object paths of the subject's own organisation; at most one for each pair.
CREATE TABLE role_bindings (
    subject      TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    org          TEXT NOT NULL,
    scope        TEXT NOT NULL,
    role         TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    PRIMARY KEY (subject, scope),
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE,
    CONSTRAINT scope_in_org
        CHECK (scope = '/orgs/' || org OR substr(scope, 1, length(org) + 7) = '/orgs/' || org || '/'),
    CONSTRAINT artefact_contributor_is_service_user
        CHECK (role <> 'artefactContributor' OR subject_kind = 'service-user')
) STRICT, WITHOUT ROWID;

CREATE INDEX role_bindings_by_scope ON role_bindings (scope, role);

-- Tokens without their secrets. Only service users have any: the generated column is part of the reference.
CREATE TABLE tokens (
    number       INTEGER PRIMARY KEY,
    subject      TEXT NOT NULL,
    subject_kind TEXT NOT NULL GENERATED ALWAYS AS ('service-user') VIRTUAL,
    org          TEXT NOT NULL,
    id           TEXT NOT NULL,
    digest       BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    description  TEXT NOT NULL,
    -- The expiry as its creator wrote it, and the same as a number.
    expires_at   TEXT,
    expires_ms   INTEGER,
    created_ms   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    UNIQUE (subject, id),
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE,
    CHECK ((expires_at IS NULL) = (expires_ms IS NULL))
) STRICT;

-- Who changed what: one entry for each revision, never changed, never removed.
CREATE TABLE audit_entries (
    revision      INTEGER PRIMARY KEY,
    at_ms         INTEGER NOT NULL,
    actor_kind    TEXT NOT NULL CHECK (actor_kind IN ('subject', 'gateway', 'bootstrap')),
    actor_subject TEXT,
    actor_token   TEXT,
    operation     TEXT NOT NULL,
    org           TEXT NOT NULL,
    target        TEXT NOT NULL,
    before        TEXT CHECK (json_valid(before)),
    after         TEXT CHECK (json_valid(after))
) STRICT;

CREATE TRIGGER audit_entries_never_change BEFORE UPDATE ON audit_entries
BEGIN
    SELECT raise(ABORT, 'audit entries are final');
END;

CREATE TRIGGER audit_entries_never_end BEFORE DELETE ON audit_entries
BEGIN
    SELECT raise(ABORT, 'audit entries are final');
END;

-- The change log: for each of the newest revisions, the records that gateways are told.
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY REFERENCES audit_entries (revision),
    records  TEXT NOT NULL CHECK (json_valid(records))
) STRICT;

-- Reports of gateways that have been applied, so that none is applied twice.
CREATE TABLE effects (
    id       TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX effects_by_revision ON effects (revision);
