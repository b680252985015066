-- What operators search by. Names of jobs, which are no ids of requests, are not in the index of those; and of deletions only the open ones.

CREATE INDEX api_keys_by_id ON api_keys (id);
CREATE INDEX api_keys_by_hint ON api_keys (hint, id);
CREATE INDEX user_api_keys_by_hint ON user_api_keys (hint, id);
CREATE INDEX audit_entries_of_request ON audit_entries (request_id, id) WHERE length(request_id) >= 8;
CREATE INDEX deletions_open ON deletions (organization_id) WHERE state IN ('reversible', 'closed', 'draining');

-- From where people sign in, by the id of the audit entry that says so. Personal, so it is kept for less time, and goes with the account.
CREATE TABLE client_addresses (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX client_addresses_of_user ON client_addresses (user_id, id);
CREATE INDEX client_addresses_by_age ON client_addresses (created_at, id);
