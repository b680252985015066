-- Secrets that the server must read again are encrypted (encryption.rs) with a key that is not in the database. What is: the ids of the keys that
-- something here may be encrypted with.
CREATE TABLE secret_keys (
    id bytea PRIMARY KEY,
    created_at timestamptz NOT NULL
);

-- Webhooks whose secret is as it was before there was a key. None after the next start with one.
CREATE INDEX webhooks_unencrypted ON webhooks (organization_id, id) WHERE length(secret) = 32;

-- Until when a signing key verifies that another one has replaced. NULL for the one that signs.
ALTER TABLE signing_keys ADD COLUMN retires_at timestamptz;
