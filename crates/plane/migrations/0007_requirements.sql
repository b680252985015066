-- What an organization asks of those who delete, by the kind of what is deleted. No row: nothing is asked.

CREATE TABLE requirements (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('organization', 'member', 'customer')),
    reason_required boolean NOT NULL,
    confirmation_required boolean NOT NULL,
    -- Minutes since the sign-in of whoever deletes, at the most.
    fresh_minutes bigint CHECK (fresh_minutes BETWEEN 1 AND 1440),
    approval_required boolean NOT NULL,
    grace_days bigint NOT NULL CHECK (grace_days BETWEEN 0 AND 90),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, kind)
);

-- What owners have agreed to that somebody else does, once: a deletion, or weaker requirements. A row goes when it is used or withdrawn, and
-- with the membership of whoever made it.
CREATE TABLE deletion_approvals (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    subject text NOT NULL CHECK (subject IN ('organization', 'member', 'customer', 'requirements')),
    -- The organization's own id for itself and its requirements; a membership's or a customer's.
    subject_id uuid NOT NULL,
    member_id uuid NOT NULL,
    reason text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, member_id) REFERENCES members (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX deletion_approvals_of_subject ON deletion_approvals (organization_id, subject_id, id);
CREATE INDEX deletion_approvals_by_end ON deletion_approvals (expires_at, id);
CREATE INDEX deletion_approvals_of_member ON deletion_approvals (organization_id, member_id, id);
