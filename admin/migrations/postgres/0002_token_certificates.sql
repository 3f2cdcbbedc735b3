-- The client certificate that a token is bound to, as RFC 8705 writes it (`x5t#S256`); NULL: to none. It never changes: who
-- wants another binding issues another token.
ALTER TABLE tokens ADD COLUMN certificate TEXT COLLATE "C"
    CHECK (certificate ~ '^[A-Za-z0-9_-]{43}$');

CREATE FUNCTION refuse_other_certificate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.certificate IS DISTINCT FROM OLD.certificate THEN
        RAISE EXCEPTION 'the binding of a token is final';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER token_certificates_never_change BEFORE UPDATE ON tokens
    FOR EACH ROW EXECUTE FUNCTION refuse_other_certificate();
