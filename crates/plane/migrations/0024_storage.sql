-- What tells this database from others, for what lies outside of it: a folder or bucket of exports says whose it is. One row, made when a server
-- first needs it.
CREATE TABLE installation (
    id uuid PRIMARY KEY,
    -- The database that this one was restored from a backup of.
    former_id uuid,
    created_at timestamptz NOT NULL
);

-- The archive's SHA-256. NULL for one that was made before.
ALTER TABLE exports ADD COLUMN sha256 bytea;
