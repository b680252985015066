-- What is done outside of the database has one queue, whatever it is: webhooks are told, subscriptions at the payment provider are changed, mails
-- are sent. It takes the place of the queue of webhooks.

CREATE TABLE effects (
    organization_id uuid NOT NULL,
    -- What is carried in one order, and beside which nothing else waits: the webhook, or the subscription.
    queue_id uuid NOT NULL,
    -- Of a webhook the event's id, the same for every endpoint that it goes to.
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('webhook', 'billing')),
    -- The webhook that it goes to; none for the others.
    webhook_id uuid,
    -- What it tells or does, such as 'customer.deleted' or 'subscription.cancel'.
    action text NOT NULL,
    -- The customer it speaks of, whose deletion erases it.
    subject_id uuid,
    -- The deletion that it is a part of.
    deletion_id uuid,
    payload text,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts bigint NOT NULL,
    -- Part of its idempotency key: it grows when it is tried again after the other side has answered, which would repeat that answer.
    epoch bigint NOT NULL DEFAULT 0,
    response_status bigint,
    response_body text,
    error text,
    -- What the other side said of what is there now.
    outcome jsonb,
    -- For one under way: when its worker counts as dead.
    next_attempt_at timestamptz NOT NULL,
    -- When it is tried for the last time.
    retry_until timestamptz,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    -- What it is about, such as a member or a customer: what is about one thing is carried in the order of its sequence.
    about uuid,
    sequence bigint NOT NULL DEFAULT 0,
    -- What a deletion waits for, 0, goes before everything else, 1.
    rank bigint NOT NULL DEFAULT 1,
    -- Whether the deletion that waited for it is completed.
    is_counted boolean NOT NULL DEFAULT false,
    -- Whether an operator gave it up: what waits for it goes on without it.
    is_given_up boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, queue_id, id),
    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhooks (organization_id, id) ON DELETE CASCADE,
    CHECK (kind <> 'webhook' OR webhook_id = queue_id)
);
INSERT INTO effects (organization_id, queue_id, id, kind, webhook_id, action, subject_id, deletion_id, payload, state, attempts, response_status,
                     response_body, error, next_attempt_at, retry_until, created_at, finished_at, about, sequence, rank, is_counted)
SELECT organization_id, webhook_id, id, 'webhook', webhook_id, event, subject_id, deletion_id, payload, state, attempts, response_status,
       response_body, error, next_attempt_at, retry_until, created_at, finished_at, about, sequence, rank, is_counted
FROM webhook_deliveries;
DROP TABLE webhook_deliveries;
CREATE INDEX effects_due ON effects (state, organization_id, queue_id, rank, next_attempt_at, id);
CREATE INDEX effects_in_order ON effects (organization_id, queue_id, about, sequence);
CREATE INDEX effects_of_webhook ON effects (organization_id, webhook_id, queue_id, id);
CREATE INDEX effects_of_subject ON effects (organization_id, subject_id, queue_id, id);
CREATE INDEX effects_of_deletion ON effects (organization_id, deletion_id, queue_id, id);
CREATE INDEX effects_awaited ON effects (organization_id, deletion_id) WHERE state = 'pending';
CREATE INDEX effects_delivered ON effects (organization_id, queue_id, id) WHERE state = 'delivered';
CREATE INDEX effects_by_end ON effects (finished_at, id) WHERE finished_at IS NOT NULL;
-- What operators look after: those of the server's own, one by one.
CREATE INDEX effects_own ON effects (id) WHERE kind <> 'webhook';
CREATE INDEX effects_unfinished ON effects (state, id) WHERE kind <> 'webhook' AND state <> 'delivered';
-- What is counted, and how old the oldest is.
CREATE INDEX effects_pending ON effects (kind, created_at) WHERE state = 'pending';
CREATE INDEX effects_failed ON effects (organization_id, deletion_id) WHERE state = 'failed';

-- Tables have come in between: a deletion that is under way looks for its place anew.
UPDATE deletions SET cursor = NULL WHERE state = 'draining' AND root IN ('organization', 'customer', 'retired_customer', 'webhook');
