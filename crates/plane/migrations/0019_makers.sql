-- What an API key or an OAuth token made ends with it: the key, or the token, that made it. None for what a person made.

ALTER TABLE api_keys ADD COLUMN made_by uuid;
ALTER TABLE oauth_apps ADD COLUMN made_by uuid;
CREATE INDEX api_keys_made ON api_keys (organization_id, id) WHERE made_by IS NOT NULL;
CREATE INDEX oauth_apps_made ON oauth_apps (organization_id, id) WHERE made_by IS NOT NULL;
