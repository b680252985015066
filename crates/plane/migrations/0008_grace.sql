-- Deletions that can be taken back for a while, and customers who are archived.

CREATE TABLE deletions_with_grace (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    root text NOT NULL,
    subject_id uuid NOT NULL,
    subject_label text,
    -- Reversible: nobody has access, and nothing is erased yet. Restored: it was taken back.
    state text NOT NULL CHECK (state IN ('reversible', 'closed', 'draining', 'sealed', 'restored')),
    actor text NOT NULL,
    actor_id uuid,
    reason text,
    request_id text NOT NULL,
    stage bigint NOT NULL,
    cursor jsonb,
    counts jsonb NOT NULL,
    effects jsonb NOT NULL,
    batches bigint NOT NULL,
    longest_batch_us bigint NOT NULL,
    fence bigint NOT NULL,
    lease_until timestamptz,
    waiting_for text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed_at timestamptz,
    waiting_since timestamptz,
    rows_expected bigint,
    -- Until when it could or can be taken back, and when it was.
    reversible_until timestamptz,
    restored_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO deletions_with_grace (organization_id, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage,
                                  cursor, counts, effects, batches, longest_batch_us, fence, lease_until, waiting_for, created_at,
                                  updated_at, sealed_at, waiting_since, rows_expected)
SELECT organization_id, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage, cursor, counts, effects,
       batches, longest_batch_us, fence, lease_until, waiting_for, created_at, updated_at, sealed_at, waiting_since, rows_expected
FROM deletions;
DROP TABLE deletions;
ALTER TABLE deletions_with_grace RENAME TO deletions;
CREATE UNIQUE INDEX deletions_by_id ON deletions (id);
CREATE INDEX deletions_of_subject ON deletions (organization_id, subject_id, id);
CREATE INDEX deletions_by_state ON deletions (state, updated_at, id);
CREATE INDEX deletions_by_grace ON deletions (state, reversible_until, id);
CREATE INDEX deletions_by_restoration ON deletions (restored_at, id);

-- An archived customer is kept and read, and nothing about it is changed.
ALTER TABLE customers ADD COLUMN archived_at timestamptz;
