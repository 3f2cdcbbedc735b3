-- Policies: which are published, which version of each is in force, and where guards are attached.

-- Components by their digest: one row, however many policies have it.
CREATE TABLE components (
    digest    BLOB PRIMARY KEY CHECK (length(digest) = 32),
    component BLOB NOT NULL
) STRICT;

CREATE TABLE policies (
    org             TEXT    NOT NULL REFERENCES organisations (id),
    name            TEXT    NOT NULL,
    kind            TEXT    NOT NULL CHECK (kind IN ('role', 'guard')),
    -- Versions of it: the one in force, the one before, and the one that is watched beside it.
    active          TEXT    NOT NULL,
    previous        TEXT,
    shadow          TEXT,
    shadow_percent  INTEGER CHECK (shadow_percent BETWEEN 1 AND 100),
    shadow_since_ms INTEGER,
    -- Whether the version before is asked when the one in force keeps failing.
    fallback        INTEGER NOT NULL CHECK (fallback IN (0, 1)),
    -- Of a role policy; a guard has its own. JSON.
    settings        TEXT,
    PRIMARY KEY (org, name),
    FOREIGN KEY (org, name, active) REFERENCES policy_versions (org, policy, version) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (org, name, previous) REFERENCES policy_versions (org, policy, version) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (org, name, shadow) REFERENCES policy_versions (org, policy, version) DEFERRABLE INITIALLY DEFERRED,
    CHECK (previous <> active AND shadow <> active),
    CHECK ((shadow IS NULL) = (shadow_percent IS NULL) AND (shadow IS NULL) = (shadow_since_ms IS NULL)),
    CHECK (kind = 'role' OR settings IS NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_versions (
    org           TEXT    NOT NULL,
    policy        TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    digest        BLOB    NOT NULL REFERENCES components (digest),
    class         TEXT    NOT NULL,
    size_bytes    INTEGER NOT NULL,
    -- What it says of itself: JSON.
    manifest      TEXT    NOT NULL,
    signature_key TEXT,
    signature     TEXT,
    published_ms  INTEGER NOT NULL,
    published_by  TEXT    NOT NULL,
    PRIMARY KEY (org, policy, version),
    FOREIGN KEY (org, policy) REFERENCES policies (org, name) DEFERRABLE INITIALLY DEFERRED,
    CHECK ((signature_key IS NULL) = (signature IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX policy_versions_by_digest ON policy_versions (digest);

CREATE TABLE guards (
    org        TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    -- `installation`, or the path of the organisation or of an app of it.
    scope      TEXT    NOT NULL,
    position   INTEGER NOT NULL CHECK (position >= 0),
    settings   TEXT,
    created_ms INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, policy) REFERENCES policies (org, name),
    CONSTRAINT scope_in_org CHECK (
        scope = 'installation' OR scope = '/orgs/' || org
        OR substr(scope, 1, length(org) + 12) = '/orgs/' || org || '/apps/')
) STRICT, WITHOUT ROWID;

CREATE INDEX guards_by_policy ON guards (org, policy);

CREATE INDEX role_bindings_by_role ON role_bindings (org, role);

-- What gateways report of versions that are watched. Counts, not decisions: no revision tells of them.
CREATE TABLE shadow_totals (
    org         TEXT    NOT NULL,
    policy      TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    evaluations INTEGER NOT NULL,
    dropped     INTEGER NOT NULL,
    PRIMARY KEY (org, policy)
) STRICT, WITHOUT ROWID;

CREATE TABLE shadow_flips (
    org      TEXT    NOT NULL,
    policy   TEXT    NOT NULL,
    operation TEXT   NOT NULL,
    subject  TEXT    NOT NULL,
    was      TEXT    NOT NULL,
    would_be TEXT    NOT NULL,
    flips    INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    -- Id of the newest of these decisions.
    decision TEXT    NOT NULL,
    PRIMARY KEY (org, policy, operation, subject, was, would_be)
) STRICT, WITHOUT ROWID;
