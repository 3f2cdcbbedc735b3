-- Gateways with a credential of their own, and those that are awaited. One that is shared by several is not here.
CREATE TABLE gateways (
    name              TEXT PRIMARY KEY,
    -- SHA-256 of its credential; NULL until it has enrolled.
    credential        BLOB UNIQUE CHECK (length(credential) = 32),
    -- SHA-256 of the token with which it may enrol, and when that ends. Afterwards it admits the same credential only, so that
    -- a gateway may ask again when the answer was lost.
    enrolment         BLOB    NOT NULL UNIQUE CHECK (length(enrolment) = 32),
    enrolment_ends_ms INTEGER NOT NULL,
    created_ms        INTEGER NOT NULL,
    created_by        TEXT    NOT NULL,
    enrolled_ms       INTEGER,
    -- The revision that last changed it.
    changed           INTEGER NOT NULL,
    CHECK ((credential IS NULL) = (enrolled_ms IS NULL))
) STRICT, WITHOUT ROWID;
