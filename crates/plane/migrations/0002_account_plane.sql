-- The whole account plane: archives, screens, webhooks and their deliveries, OAuth apps and tokens, preferences, idempotent answers, and
-- what keys, organizations, members and customers still lacked. `revision` counts real changes of a record, for its ETag; `version`
-- counts locks.

ALTER TABLE users ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE organizations ADD COLUMN archived_at timestamptz;
ALTER TABLE organizations ADD COLUMN revision bigint NOT NULL DEFAULT 1;
ALTER TABLE members ADD COLUMN revision bigint NOT NULL DEFAULT 1;
ALTER TABLE customers ADD COLUMN revision bigint NOT NULL DEFAULT 1;
ALTER TABLE customers ADD COLUMN expires_at timestamptz;
ALTER TABLE api_keys ADD COLUMN is_active boolean NOT NULL DEFAULT true;
ALTER TABLE api_keys ADD COLUMN rate_limit_per_minute bigint;
ALTER TABLE api_keys ADD COLUMN rate_limit_per_hour bigint;
ALTER TABLE api_keys ADD COLUMN allowed_ips jsonb NOT NULL DEFAULT '[]';
ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;

CREATE TABLE screens (
    organization_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    pass_id text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, customer_id, id),
    UNIQUE (organization_id, pass_id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE webhooks (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    url text NOT NULL,
    description text,
    -- The subscribed events between commas, such as ',customer.created,customer.deleted,'.
    events text NOT NULL,
    secret bytea NOT NULL,
    is_active boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('live', 'closed')),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);

-- One row for each endpoint an event goes to. It is the queue and the history.
CREATE TABLE webhook_deliveries (
    organization_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    -- The event's id, the same for every endpoint it goes to.
    id uuid NOT NULL,
    event text NOT NULL,
    -- The customer it speaks of, whose deletion erases it.
    subject_id uuid,
    -- The deletion that is not sealed before this was delivered or given up. Its payload goes with the seal.
    deletion_id uuid,
    payload text,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts bigint NOT NULL,
    response_status bigint,
    error text,
    -- For a delivery under way: when whoever carries it is taken for dead.
    next_attempt_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (organization_id, webhook_id, id),
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhooks (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, organization_id, next_attempt_at, webhook_id, id);
CREATE INDEX webhook_deliveries_of_subject ON webhook_deliveries (organization_id, subject_id, webhook_id, id);
CREATE INDEX webhook_deliveries_of_deletion ON webhook_deliveries (organization_id, deletion_id, webhook_id, id);

CREATE TABLE oauth_apps (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    client_id text NOT NULL,
    secret_hash bytea NOT NULL,
    name text NOT NULL,
    description text,
    redirect_uris jsonb NOT NULL,
    scopes jsonb NOT NULL,
    is_active boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('live', 'closed')),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (client_id),
    FOREIGN KEY (organization_id, member_id) REFERENCES members (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX oauth_apps_of_member ON oauth_apps (organization_id, member_id, id);

CREATE TABLE oauth_tokens (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    app_id uuid NOT NULL,
    member_id uuid NOT NULL,
    access_hash bytea NOT NULL,
    refresh_hash bytea NOT NULL,
    -- Of the part that all refresh tokens of this row have in common: whoever comes with it and not with the newest one has stolen it, or was
    -- stolen from.
    refresh_family_hash bytea NOT NULL,
    -- What was granted, and what the present access token was narrowed to.
    scopes jsonb NOT NULL,
    access_scopes jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    refresh_expires_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (access_hash),
    UNIQUE (refresh_family_hash),
    FOREIGN KEY (organization_id, app_id) REFERENCES oauth_apps (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES members (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX oauth_tokens_of_app ON oauth_tokens (organization_id, app_id, id);
CREATE INDEX oauth_tokens_of_member ON oauth_tokens (organization_id, member_id, id);
CREATE INDEX oauth_tokens_by_end ON oauth_tokens (organization_id, app_id, refresh_expires_at);
CREATE UNIQUE INDEX oauth_tokens_by_id ON oauth_tokens (id);

CREATE TABLE preferences (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    trait text NOT NULL,
    stance text NOT NULL CHECK (stance IN ('avoid', 'require', 'prefer', 'neutral')),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, trait)
);

-- What was answered to a request with an Idempotency-Key, sealed with a key that only its sender has. The id is a hash of the sender and
-- the Idempotency-Key.
CREATE TABLE idempotent_answers (
    id uuid PRIMARY KEY,
    -- The organization that the answer tells of; none while there is no answer, and for answers to deletions, which tell of nothing.
    organization_id uuid,
    request_hash bytea NOT NULL,
    -- The run of the server that works on it, until there is an answer.
    worker uuid NOT NULL,
    answer bytea,
    created_at timestamptz NOT NULL
);
CREATE INDEX idempotent_answers_of_organization ON idempotent_answers (organization_id, id);
CREATE INDEX idempotent_answers_by_age ON idempotent_answers (created_at, id);

-- The list of roots lives in the program alone from here on, and a deletion tells what became of its effects.
CREATE TABLE deletions_of_all_roots (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    root text NOT NULL,
    subject_id uuid NOT NULL,
    subject_label text,
    state text NOT NULL CHECK (state IN ('closed', 'draining', 'sealed')),
    actor text NOT NULL,
    actor_id uuid,
    reason text,
    request_id text NOT NULL,
    stage bigint NOT NULL,
    cursor jsonb,
    counts jsonb NOT NULL,
    effects jsonb NOT NULL,
    batches bigint NOT NULL,
    longest_batch_us bigint NOT NULL,
    fence bigint NOT NULL,
    lease_until timestamptz,
    waiting_for text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
INSERT INTO deletions_of_all_roots (organization_id, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage,
                                    cursor, counts, effects, batches, longest_batch_us, fence, lease_until, waiting_for, created_at,
                                    updated_at, sealed_at)
SELECT organization_id, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage,
       cursor, counts, '{}', batches, longest_batch_us, fence, lease_until, waiting_for, created_at, updated_at, sealed_at
FROM deletions;
DROP TABLE deletions;
ALTER TABLE deletions_of_all_roots RENAME TO deletions;
CREATE UNIQUE INDEX deletions_by_id ON deletions (id);
CREATE INDEX deletions_of_subject ON deletions (organization_id, subject_id, id);
CREATE INDEX deletions_by_state ON deletions (state, updated_at, id);
