-- Purges: deletions of many customers that were ordered at once. What is to be purged goes with the seal; what became of each customer stays.

CREATE TABLE purges (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    -- What the customers have in common, or else their ids one after the other, 16 bytes each: nil for one who was not there when it was
    -- ordered, all ones for one who was named before.
    criteria jsonb,
    subjects bytea,
    -- The member whose customers are the only ones whom whoever ordered it may delete. Compared with and never followed.
    only_managed_by uuid,
    credential_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE purge_items (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    purge_id uuid NOT NULL,
    -- In the order of the numbers.
    id uuid NOT NULL,
    number bigint NOT NULL,
    customer_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('deleted', 'blocked', 'refused', 'not_found', 'repeated')),
    -- Why it was refused, and what blocked it.
    detail text,
    blockers jsonb,
    -- The customer's own deletion.
    deletion_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, purge_id, id)
);
CREATE INDEX purge_items_by_age ON purge_items (created_at, id);
CREATE INDEX purge_items_of_customer ON purge_items (organization_id, customer_id, purge_id, id);
