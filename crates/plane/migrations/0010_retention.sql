-- What has had its time is erased by a job that walks along these, the oldest first. The time of invitations, webhook deliveries and softly
-- deleted customers begins when they end, which most have not yet.

CREATE INDEX customers_by_soft_deletion ON customers (deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX deletions_by_seal ON deletions (sealed_at, id) WHERE sealed_at IS NOT NULL;
CREATE INDEX audit_entries_by_age ON audit_entries (created_at, id);
CREATE INDEX invitations_by_end ON invitations (expires_at, id);
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX holds_by_release ON holds (released_at, id) WHERE released_at IS NOT NULL;
CREATE INDEX holds_by_end ON holds (until, id) WHERE until IS NOT NULL;
-- A hold on a user also keeps what the user did outside of any organization.
CREATE INDEX holds_by_subject ON holds (subject_id, id);
