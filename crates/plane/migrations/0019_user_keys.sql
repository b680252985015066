-- Keys of a person, good in all their organizations. They belong to none of them.

CREATE TABLE user_api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL,
    description text,
    hint text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    scopes jsonb NOT NULL,
    rate_limit_per_minute bigint,
    rate_limit_per_hour bigint,
    allowed_ips jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    rotations bigint NOT NULL DEFAULT 0,
    previous_hash bytea,
    previous_until timestamptz
);
CREATE UNIQUE INDEX user_api_keys_previous ON user_api_keys (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX user_api_keys_of_user ON user_api_keys (user_id, id);
