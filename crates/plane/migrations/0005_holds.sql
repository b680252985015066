-- Legal holds: while one is in force, nothing deletes what it is on. A row is never removed before its organization is: who placed and who
-- released it stays to be seen.

CREATE TABLE holds (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    -- What is held, and its id: the organization's own, a customer's, or that of a user who is a member.
    subject text NOT NULL CHECK (subject IN ('organization', 'customer', 'user')),
    subject_id uuid NOT NULL,
    reason text NOT NULL,
    -- When it ends by itself. Without an end it lasts until somebody releases it.
    until timestamptz,
    placed_by text NOT NULL,
    placed_by_id uuid,
    placed_at timestamptz NOT NULL,
    released_by text,
    released_by_id uuid,
    released_at timestamptz,
    release_reason text,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX holds_of_subject ON holds (organization_id, subject_id, id);
