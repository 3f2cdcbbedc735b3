-- The admin store. Times are milliseconds since the Unix epoch.

-- Text is compared by its octets (`COLLATE "C"`), whatever the database's own order is: as SQLite does, and as the order of
-- snapshots needs it. What SQLite declares in other words is named where it stands; the rest is the same.

-- One row: the identity of the store and its newest revision.
CREATE TABLE store (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    id       TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL CHECK (revision >= 0)
);

CREATE TABLE organisations (
    id         TEXT COLLATE "C" PRIMARY KEY,
    created_ms BIGINT NOT NULL
);

-- Whoever may hold roles. The name of a group is its name at its identity provider.
CREATE TABLE subjects (
    id         TEXT COLLATE "C" PRIMARY KEY,
    org        TEXT COLLATE "C" NOT NULL REFERENCES organisations (id),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('service-user', 'member', 'group')),
    name       TEXT COLLATE "C" NOT NULL,
    email      TEXT COLLATE "C",
    properties TEXT COLLATE "C" NOT NULL DEFAULT '{}' CHECK (properties::json IS NOT NULL),
    invite     TEXT COLLATE "C" CHECK (invite IN ('pending', 'accepted')),
    idp_id     TEXT COLLATE "C",
    created_ms BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    -- What role bindings and tokens refer to, so that they cannot outlive a change of kind or organisation.
    UNIQUE (id, kind, org),
    CHECK ((kind = 'member') = (invite IS NOT NULL)),
    CHECK ((kind = 'group') = (idp_id IS NOT NULL))
);

CREATE UNIQUE INDEX member_emails ON subjects (org, lower(email)) WHERE kind = 'member';
CREATE UNIQUE INDEX group_names ON subjects (org, idp_id, name) WHERE kind = 'group';

-- Roles held on scopes, which are object paths of the subject's own organisation; at most one for each pair.
CREATE TABLE role_bindings (
    subject      TEXT COLLATE "C" NOT NULL,
    subject_kind TEXT COLLATE "C" NOT NULL,
    org          TEXT COLLATE "C" NOT NULL,
    scope        TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (subject, scope),
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE,
    CONSTRAINT scope_in_org
        CHECK (scope = '/orgs/' || org OR substr(scope, 1, length(org) + 7) = '/orgs/' || org || '/'),
    CONSTRAINT artefact_contributor_is_service_user
        CHECK (role <> 'artefactContributor' OR subject_kind = 'service-user')
);

CREATE INDEX role_bindings_by_scope ON role_bindings (scope, role);

-- Tokens without their secrets. Only service users have any: the generated column is part of the reference.
CREATE TABLE tokens (
    number       BIGINT PRIMARY KEY,
    subject      TEXT COLLATE "C" NOT NULL,
    subject_kind TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS ('service-user') STORED,
    org          TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    digest       BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    description  TEXT COLLATE "C" NOT NULL,
    -- The expiry as its creator wrote it, and the same as a number.
    expires_at   TEXT COLLATE "C",
    expires_ms   BIGINT,
    created_ms   BIGINT NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    UNIQUE (subject, id),
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE,
    CHECK ((expires_at IS NULL) = (expires_ms IS NULL))
);

-- Who changed what: one entry for each revision, never changed, never removed.
CREATE TABLE audit_entries (
    revision      BIGINT PRIMARY KEY,
    at_ms         BIGINT NOT NULL,
    actor_kind    TEXT COLLATE "C" NOT NULL CHECK (actor_kind IN ('subject', 'gateway', 'bootstrap')),
    actor_subject TEXT COLLATE "C",
    actor_token   TEXT COLLATE "C",
    operation     TEXT COLLATE "C" NOT NULL,
    org           TEXT COLLATE "C" NOT NULL,
    target        TEXT COLLATE "C" NOT NULL,
    before        TEXT COLLATE "C" CHECK ((before IS NULL) = (before::json IS NULL)),
    after         TEXT COLLATE "C" CHECK ((after IS NULL) = (after::json IS NULL))
);

CREATE FUNCTION refuse_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are final';
END
$$;

CREATE TRIGGER audit_entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_final();

-- The change log: for each of the newest revisions, the records that gateways are told.
CREATE TABLE changes (
    revision BIGINT PRIMARY KEY REFERENCES audit_entries (revision),
    records  TEXT COLLATE "C" NOT NULL CHECK (records::json IS NOT NULL)
);

-- Reports of gateways that have been applied, so that none is applied twice.
CREATE TABLE effects (
    id       TEXT COLLATE "C" PRIMARY KEY,
    revision BIGINT NOT NULL
);

CREATE INDEX effects_by_revision ON effects (revision);

-- Decisions that gateways have reported, the newest only. SQLite has them in a file of their own.
CREATE TABLE decisions (
    number    BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id        TEXT COLLATE "C" NOT NULL UNIQUE,
    org       TEXT COLLATE "C" NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    outcome   TEXT COLLATE "C" NOT NULL,
    record    TEXT NOT NULL
);

CREATE INDEX decisions_by_org ON decisions (org, number);
CREATE INDEX decisions_by_subject ON decisions (org, subject, number);
