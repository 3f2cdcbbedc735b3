-- People at the console. Neither is part of an export or a backup: who signs in there signs in anew.

-- Browsers in which a member has signed in, by the digest of what they prove it with.
CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    digest       BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    subject      TEXT NOT NULL,
    subject_kind TEXT NOT NULL GENERATED ALWAYS AS ('member') VIRTUAL,
    org          TEXT NOT NULL,
    browser      TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    -- When it was last used, to the minute.
    seen_ms      INTEGER NOT NULL,
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE
) STRICT;

CREATE INDEX sessions_by_subject ON sessions (subject);

-- Links that let a member sign in once, by the digest of what is in them. A link that was used is gone.
CREATE TABLE sign_in_links (
    digest       BLOB PRIMARY KEY CHECK (length(digest) = 32),
    subject      TEXT NOT NULL,
    subject_kind TEXT NOT NULL GENERATED ALWAYS AS ('member') VIRTUAL,
    org          TEXT NOT NULL,
    ends_ms      INTEGER NOT NULL,
    FOREIGN KEY (subject, subject_kind, org) REFERENCES subjects (id, kind, org) ON DELETE CASCADE
) STRICT;

-- Whether a service user is disabled: gateways are not told of its tokens.
ALTER TABLE subjects ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1));

CREATE INDEX audit_entries_by_target ON audit_entries (target);
