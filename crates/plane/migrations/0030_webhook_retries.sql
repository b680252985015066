-- Deliveries are tried for three days, in order of what they speak of, and can be sent again. Each endpoint has a queue of its own, so that a slow
-- one holds up no other.

ALTER TABLE webhooks ADD COLUMN failing_since timestamptz;
-- What the event is about, such as a member or a customer: events about one thing are told in the order of their sequence.
ALTER TABLE webhook_deliveries ADD COLUMN about uuid;
ALTER TABLE webhook_deliveries ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
-- When it is tried for the last time.
ALTER TABLE webhook_deliveries ADD COLUMN retry_until timestamptz;
ALTER TABLE webhook_deliveries ADD COLUMN response_body text;
-- Whether the deletion that waited for it is completed.
ALTER TABLE webhook_deliveries ADD COLUMN is_counted boolean NOT NULL DEFAULT false;
-- What a deletion waits for, 0, goes before everything else, 1.
ALTER TABLE webhook_deliveries ADD COLUMN rank bigint NOT NULL DEFAULT 1;
UPDATE webhook_deliveries SET rank = 0 WHERE deletion_id IS NOT NULL AND state = 'pending';
UPDATE webhook_deliveries SET is_counted = true WHERE deletion_id IS NOT NULL AND payload IS NULL;

DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, organization_id, webhook_id, rank, next_attempt_at, id);
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (organization_id, webhook_id, about, sequence);
CREATE INDEX webhook_deliveries_awaited ON webhook_deliveries (organization_id, deletion_id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_delivered ON webhook_deliveries (organization_id, webhook_id, id) WHERE state = 'delivered';
