-- Purges that are stopped: customers whom they had not reached have an outcome of their own. And archives are found whose keys and tokens
-- have not all ended.

ALTER TABLE deletions ADD COLUMN stopped_at timestamptz;

CREATE TABLE purge_items_with_stops (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    purge_id uuid NOT NULL,
    -- In the order of the numbers.
    id uuid NOT NULL,
    number bigint NOT NULL,
    customer_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('deleted', 'blocked', 'refused', 'not_found', 'repeated', 'stopped')),
    -- Why it was refused, and what blocked it.
    detail text,
    blockers jsonb,
    -- The customer's own deletion.
    deletion_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, purge_id, id)
);
INSERT INTO purge_items_with_stops (organization_id, purge_id, id, number, customer_id, outcome, detail, blockers, deletion_id, created_at)
SELECT organization_id, purge_id, id, number, customer_id, outcome, detail, blockers, deletion_id, created_at FROM purge_items;
DROP TABLE purge_items;
ALTER TABLE purge_items_with_stops RENAME TO purge_items;
CREATE INDEX purge_items_by_age ON purge_items (created_at, id);
CREATE INDEX purge_items_of_customer ON purge_items (organization_id, customer_id, purge_id, id);

CREATE INDEX organizations_archived ON organizations (id) WHERE archived_at IS NOT NULL;
