-- Policies: which are published, which version of each is in force, and where guards are attached.

-- Components by their digest: one row, however many policies have it.
CREATE TABLE components (
    digest    BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    component BYTEA NOT NULL
);

CREATE TABLE policies (
    org             TEXT COLLATE "C" NOT NULL REFERENCES organisations (id),
    name            TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL CHECK (kind IN ('role', 'guard')),
    -- Versions of it: the one in force, the one before, and the one that is watched beside it.
    active          TEXT COLLATE "C" NOT NULL,
    previous        TEXT COLLATE "C",
    shadow          TEXT COLLATE "C",
    shadow_percent  BIGINT CHECK (shadow_percent BETWEEN 1 AND 100),
    shadow_since_ms BIGINT,
    -- Whether the version before is asked when the one in force keeps failing.
    fallback        BOOLEAN NOT NULL,
    -- Of a role policy; a guard has its own. JSON.
    settings        TEXT COLLATE "C",
    PRIMARY KEY (org, name),
    CHECK (previous <> active AND shadow <> active),
    CHECK ((shadow IS NULL) = (shadow_percent IS NULL) AND (shadow IS NULL) = (shadow_since_ms IS NULL)),
    CHECK (kind = 'role' OR settings IS NULL)
);

CREATE TABLE policy_versions (
    org           TEXT COLLATE "C" NOT NULL,
    policy        TEXT COLLATE "C" NOT NULL,
    version       TEXT COLLATE "C" NOT NULL,
    digest        BYTEA NOT NULL REFERENCES components (digest),
    class         TEXT COLLATE "C" NOT NULL,
    size_bytes    BIGINT NOT NULL,
    -- What it says of itself: JSON.
    manifest      TEXT COLLATE "C" NOT NULL,
    signature_key TEXT COLLATE "C",
    signature     TEXT COLLATE "C",
    published_ms  BIGINT NOT NULL,
    published_by  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, policy, version),
    FOREIGN KEY (org, policy) REFERENCES policies (org, name) DEFERRABLE INITIALLY DEFERRED,
    CHECK ((signature_key IS NULL) = (signature IS NULL))
);

ALTER TABLE policies
    ADD FOREIGN KEY (org, name, active) REFERENCES policy_versions (org, policy, version) DEFERRABLE INITIALLY DEFERRED,
    ADD FOREIGN KEY (org, name, previous) REFERENCES policy_versions (org, policy, version) DEFERRABLE INITIALLY DEFERRED,
    ADD FOREIGN KEY (org, name, shadow) REFERENCES policy_versions (org, policy, version) DEFERRABLE INITIALLY DEFERRED;

CREATE INDEX policy_versions_by_digest ON policy_versions (digest);

CREATE TABLE guards (
    org        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    policy     TEXT COLLATE "C" NOT NULL,
    -- `installation`, or the path of the organisation or of an app of it.
    scope      TEXT COLLATE "C" NOT NULL,
    position   BIGINT NOT NULL CHECK (position >= 0),
    settings   TEXT COLLATE "C",
    created_ms BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, policy) REFERENCES policies (org, name),
    CONSTRAINT scope_in_org CHECK (
        scope = 'installation' OR scope = '/orgs/' || org
        OR substr(scope, 1, length(org) + 12) = '/orgs/' || org || '/apps/')
);

CREATE INDEX guards_by_policy ON guards (org, policy);

CREATE INDEX role_bindings_by_role ON role_bindings (org, role);

-- What gateways report of versions that are watched. Counts, not decisions: no revision tells of them.
CREATE TABLE shadow_totals (
    org         TEXT COLLATE "C" NOT NULL,
    policy      TEXT COLLATE "C" NOT NULL,
    version     TEXT COLLATE "C" NOT NULL,
    evaluations BIGINT NOT NULL,
    dropped     BIGINT NOT NULL,
    PRIMARY KEY (org, policy)
);

CREATE TABLE shadow_flips (
    org      TEXT COLLATE "C" NOT NULL,
    policy   TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    subject  TEXT COLLATE "C" NOT NULL,
    was      TEXT COLLATE "C" NOT NULL,
    would_be TEXT COLLATE "C" NOT NULL,
    flips    BIGINT NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms  BIGINT NOT NULL,
    -- Id of the newest of these decisions.
    decision TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org, policy, operation, subject, was, would_be)
);
