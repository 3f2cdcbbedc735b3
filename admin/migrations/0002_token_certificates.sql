-- The client certificate that a token is bound to, as RFC 8705 writes it (`x5t#S256`); NULL: to none. It never changes: who
-- wants another binding issues another token.
ALTER TABLE tokens ADD COLUMN certificate TEXT
    CHECK (length(certificate) = 43 AND certificate NOT GLOB '*[^A-Za-z0-9_-]*');

CREATE TRIGGER token_certificates_never_change BEFORE UPDATE OF certificate ON tokens
BEGIN
    SELECT raise(ABORT, 'the binding of a token is final');
END;
