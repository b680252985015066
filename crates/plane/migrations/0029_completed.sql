-- A deletion of which nothing is left is called completed, as its event always was. What one waits for is a word for programs, and after it how
-- many there are; until now it was a sentence for people.

CREATE TABLE deletions_completed (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    root text NOT NULL,
    subject_id uuid NOT NULL,
    subject_label text,
    -- Reversible: access has ended, and nothing is erased yet. Restored: it was taken back.
    state text NOT NULL CHECK (state IN ('reversible', 'closed', 'draining', 'completed', 'restored')),
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
    completed_at timestamptz,
    waiting_since timestamptz,
    rows_expected bigint,
    -- Until when it could or can be taken back, and when it was.
    reversible_until timestamptz,
    restored_at timestamptz,
    -- When it was stopped, if it is a purge.
    stopped_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO deletions_completed (organization_id, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage, cursor,
                                 counts, effects, batches, longest_batch_us, fence, lease_until, waiting_for, created_at, updated_at,
                                 completed_at, waiting_since, rows_expected, reversible_until, restored_at, stopped_at)
SELECT organization_id, id, root, subject_id, subject_label, CASE WHEN state = 'sealed' THEN 'completed' ELSE state END, actor, actor_id, reason,
       request_id, stage, cursor, counts, effects, batches, longest_batch_us, fence, lease_until,
       CASE WHEN waiting_for IS NULL THEN NULL
            WHEN waiting_for LIKE '% webhook deliveries' THEN 'webhook_deliveries ' || replace(waiting_for, ' webhook deliveries', '')
            WHEN waiting_for LIKE '% memberships' THEN 'memberships ' || replace(waiting_for, ' memberships', '')
            WHEN waiting_for = 'its export' THEN 'export'
            WHEN waiting_for = 'the deletions of its customers' THEN 'customers'
            WHEN waiting_for = 'a legal hold' THEN 'legal_hold'
            ELSE 'database ' || waiting_for END,
       created_at, updated_at, sealed_at, waiting_since, rows_expected, reversible_until, restored_at, stopped_at
FROM deletions;
DROP TABLE deletions;
ALTER TABLE deletions_completed RENAME TO deletions;
CREATE UNIQUE INDEX deletions_by_id ON deletions (id);
CREATE INDEX deletions_of_subject ON deletions (organization_id, subject_id, id);
CREATE INDEX deletions_by_state ON deletions (state, updated_at, id);
CREATE INDEX deletions_by_grace ON deletions (state, reversible_until, id) WHERE state = 'reversible';
CREATE INDEX deletions_by_restoration ON deletions (restored_at, id) WHERE restored_at IS NOT NULL;
CREATE INDEX deletions_by_completion ON deletions (completed_at, id) WHERE completed_at IS NOT NULL;
CREATE INDEX deletions_labelled ON deletions (organization_id, subject_id) WHERE subject_label IS NOT NULL;
CREATE INDEX deletions_open ON deletions (organization_id) WHERE state IN ('reversible', 'closed', 'draining');
