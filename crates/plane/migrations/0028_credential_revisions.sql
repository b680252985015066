-- How often each credential was changed: the ledger's lines say so as well, and an older one undoes no newer one, in whatever order they were written.

ALTER TABLE users ADD COLUMN credential_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN credential_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE user_api_keys ADD COLUMN credential_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE oauth_apps ADD COLUMN credential_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN credential_revision bigint NOT NULL DEFAULT 0;
