-- People at the console. Neither is part of an export or a backup: who signs in there signs in anew.

-- Browsers in which a member has signed in, by the digest of what they prove it with.
CREATE TABLE sessions (
    id           TEXT COLLATE "C" PRIMARY KEY,
    digest       BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    subject      TEXT COLLATE "C" NOT NULL,
    subject_kind TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS ('member') STORED,
    org          TEXT COLLATE "C" NOT NULL,
    browser      TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    -- When it was last used, to the minute.
    seen_ms      BIGINT NOT NULL,
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE
);

CREATE INDEX sessions_by_subject ON sessions (subject);

-- Links that let a member sign in once, by the digest of what is in them. A link that was used is gone.
CREATE TABLE sign_in_links (
    digest       BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    subject      TEXT COLLATE "C" NOT NULL,
    subject_kind TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS ('member') STORED,
    org          TEXT COLLATE "C" NOT NULL,
    ends_ms      BIGINT NOT NULL,
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE
);

-- Whether a service user is disabled: gateways are not told of its tokens.
ALTER TABLE subjects ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT false;

CREATE INDEX audit_entries_by_target ON audit_entries (target);
