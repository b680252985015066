-- A key's secret is replaced while the one before it is good for a while; and its end is told of before it comes.

ALTER TABLE api_keys ADD COLUMN rotations bigint NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN previous_hash bytea;
ALTER TABLE api_keys ADD COLUMN previous_until timestamptz;
ALTER TABLE api_keys ADD COLUMN told_days bigint;
CREATE UNIQUE INDEX api_keys_previous ON api_keys (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX api_keys_ending ON api_keys (expires_at, organization_id, id) WHERE expires_at IS NOT NULL;
