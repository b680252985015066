-- Exports: archives of everything an organization or a customer owns, made by a job and kept for a while in a folder of the server.

CREATE TABLE exports (
    -- No foreign key: the export that a deletion was ordered with outlives the organization until somebody could fetch it.
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    -- Whose rules of deletion name the tables: 'organization' or 'customer'.
    root text NOT NULL,
    subject_id uuid NOT NULL,
    subject_label text,
    -- The deletion that waits for this export.
    deletion_id uuid,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'expired')),
    actor text NOT NULL,
    actor_id uuid,
    request_id text NOT NULL,
    -- Rows written so far by table.
    counts jsonb NOT NULL,
    rows_done bigint NOT NULL,
    rows_total bigint,
    -- Size of the archive.
    bytes bigint,
    error text,
    attempts bigint NOT NULL,
    fence bigint NOT NULL,
    -- While it runs: when its worker is taken for dead. While it waits: when it is tried again.
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX exports_by_id ON exports (id);
CREATE INDEX exports_of_subject ON exports (organization_id, subject_id, id);
CREATE INDEX exports_of_deletion ON exports (deletion_id, id);
CREATE INDEX exports_by_state ON exports (state, created_at, id);
CREATE INDEX exports_by_end ON exports (state, expires_at, id);
