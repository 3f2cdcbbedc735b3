-- Which life of the store this is: a restored backup begins another one, with a greater number. Revisions of two
-- incarnations cannot be compared.
ALTER TABLE store ADD COLUMN incarnation BIGINT NOT NULL DEFAULT 1 CHECK (incarnation > 0);

-- What tells one attempt to make a revision from another: random, so that who lost sight of a commit can look it up.
ALTER TABLE changes ADD COLUMN attempt TEXT COLLATE "C";

-- Whether a token came back with a backup and nobody has vouched for it: gateways are not told of it.
ALTER TABLE tokens ADD COLUMN held BOOLEAN NOT NULL DEFAULT false;
