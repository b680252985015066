-- An invitation is good while its inviter could still give its role: the member, and the key or app they used.

ALTER TABLE invitations ADD COLUMN invited_with text NOT NULL DEFAULT 'session' CHECK (invited_with IN ('session', 'api_key', 'oauth_app'));
ALTER TABLE invitations ADD COLUMN credential_id uuid;
