-- The foundation: users and their sessions, organizations and all that hangs on them, deletions and the audit trail.
--
-- Every table of a tenant leads its primary key with organization_id and cascades from its parent. Two tables do neither, because
-- they outlive the organization: audit_entries and deletions. Columns that point at a row without hanging on it carry no foreign key;
-- the rules of deletion say what becomes of them.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    is_operator boolean NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (email)
);

CREATE TABLE signing_keys (
    id text PRIMARY KEY,
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    logo text,
    plan text NOT NULL,
    subscription_status text NOT NULL,
    stripe_customer_id text,
    state text NOT NULL CHECK (state IN ('live', 'closed')),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (slug)
);

CREATE TABLE members (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'master', 'reseller', 'member', 'billing', 'viewer')),
    state text NOT NULL CHECK (state IN ('live', 'closed')),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, user_id)
);
CREATE INDEX members_of_user ON members (user_id, organization_id);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    organization_id uuid,
    member_id uuid,
    cookie_hash bytea NOT NULL,
    refresh_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (cookie_hash),
    UNIQUE (refresh_hash),
    FOREIGN KEY (organization_id, member_id) REFERENCES members (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_of_user ON sessions (user_id);
CREATE INDEX sessions_of_member ON sessions (organization_id, member_id, id);

CREATE TABLE invitations (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    email text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'master', 'reseller', 'member', 'billing', 'viewer')),
    token_hash bytea NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'accepted', 'cancelled')),
    invited_by uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (token_hash)
);
CREATE INDEX invitations_of_member ON invitations (organization_id, invited_by, id);

CREATE TABLE customers (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    reference text NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    phone text,
    tax_id text,
    address jsonb NOT NULL,
    metadata jsonb NOT NULL,
    managed_by uuid,
    state text NOT NULL CHECK (state IN ('live', 'deleted', 'closed')),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, reference)
);
CREATE INDEX customers_of_manager ON customers (organization_id, managed_by, id);

CREATE TABLE subscriptions (
    organization_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    plan text NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'cancelled', 'expired')),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, customer_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE transactions (
    organization_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'settled', 'failed')),
    description text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, customer_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE devices (
    organization_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    platform text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, customer_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE customer_sessions (
    organization_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    ip_address text,
    user_agent text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, customer_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE activity_entries (
    organization_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    message text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, customer_id, id),
    FOREIGN KEY (organization_id, customer_id) REFERENCES customers (organization_id, id) ON DELETE CASCADE
);

CREATE TABLE api_keys (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('organization', 'user', 'publishable')),
    name text NOT NULL,
    description text,
    hint text NOT NULL,
    hash bytea NOT NULL,
    scopes jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (organization_id, id),
    UNIQUE (hash),
    FOREIGN KEY (organization_id, member_id) REFERENCES members (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX api_keys_of_member ON api_keys (organization_id, member_id, id);

CREATE TABLE audit_entries (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL,
    subject text NOT NULL,
    subject_id uuid,
    subject_label text,
    actor text NOT NULL,
    actor_id uuid,
    credential_id uuid,
    reason text,
    detail text,
    deletion_id uuid,
    request_id text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX audit_entries_of_subject ON audit_entries (organization_id, subject_id, id);

CREATE TABLE deletions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    root text NOT NULL CHECK (root IN ('organization', 'member', 'customer', 'retired_customer', 'api_key', 'invitation')),
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
CREATE UNIQUE INDEX deletions_by_id ON deletions (id);
CREATE INDEX deletions_of_subject ON deletions (organization_id, subject_id, id);
CREATE INDEX deletions_by_state ON deletions (state, updated_at, id);
