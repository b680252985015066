-- A key acts as a member, or has a role of its own: then it is the organization's, as a service account, and outlives the member who made it.

CREATE TABLE api_keys_of_organizations (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    member_id uuid,
    kind text NOT NULL CHECK (kind IN ('organization', 'user', 'publishable')),
    name text NOT NULL,
    description text,
    hint text NOT NULL,
    hash bytea NOT NULL,
    scopes jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    is_active boolean NOT NULL DEFAULT true,
    rate_limit_per_minute bigint,
    rate_limit_per_hour bigint,
    allowed_ips jsonb NOT NULL DEFAULT '[]',
    last_used_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    rotations bigint NOT NULL DEFAULT 0,
    previous_hash bytea,
    previous_until timestamptz,
    told_days bigint,
    made_by uuid,
    role text,
    created_by uuid,
    PRIMARY KEY (organization_id, id),
    UNIQUE (hash),
    CHECK ((member_id IS NULL) = (role IS NOT NULL)),
    FOREIGN KEY (organization_id, member_id) REFERENCES members (organization_id, id) ON DELETE CASCADE
);
INSERT INTO api_keys_of_organizations (organization_id, id, member_id, kind, name, description, hint, hash, scopes, created_at, expires_at, is_active,
                                       rate_limit_per_minute, rate_limit_per_hour, allowed_ips, last_used_at, metadata, rotations, previous_hash,
                                       previous_until, told_days, made_by)
    SELECT organization_id, id, member_id, kind, name, description, hint, hash, scopes, created_at, expires_at, is_active,
           rate_limit_per_minute, rate_limit_per_hour, allowed_ips, last_used_at, metadata, rotations, previous_hash,
           previous_until, told_days, made_by
    FROM api_keys;
DROP TABLE api_keys;
ALTER TABLE api_keys_of_organizations RENAME TO api_keys;
CREATE INDEX api_keys_of_member ON api_keys (organization_id, member_id, id);
CREATE INDEX api_keys_created ON api_keys (organization_id, created_by, id);
CREATE UNIQUE INDEX api_keys_previous ON api_keys (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX api_keys_ending ON api_keys (expires_at, organization_id, id) WHERE expires_at IS NOT NULL;
CREATE INDEX api_keys_made ON api_keys (organization_id, id) WHERE made_by IS NOT NULL;
