-- Texts that callers keep with an organization and with an API key.
ALTER TABLE organizations ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE api_keys ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';

-- The secret that a webhook's present one took the place of: it signs beside it until this time.
ALTER TABLE webhooks ADD COLUMN old_secret bytea;
ALTER TABLE webhooks ADD COLUMN old_secret_until timestamptz;
CREATE INDEX webhooks_with_old_secret ON webhooks (old_secret_until) WHERE old_secret_until IS NOT NULL;
