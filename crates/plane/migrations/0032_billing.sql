-- Subscriptions at the payment provider, Stripe, that end with what they are for, and how they do.

CREATE TABLE billing_subscriptions (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    -- The customer that it is for, whose row is locked when it is linked; none for the organization's own.
    subject_id uuid,
    stripe_subscription_id text NOT NULL,
    -- What the provider said of it when it was last read; nothing before that.
    stripe_customer_id text,
    status text,
    price text,
    amount bigint,
    currency text,
    billing_interval text,
    quantity bigint,
    current_period_end timestamptz,
    cancel_at timestamptz,
    ended_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX billing_subscriptions_by_stripe_id ON billing_subscriptions (stripe_subscription_id);
CREATE INDEX billing_subscriptions_of_subject ON billing_subscriptions (organization_id, subject_id, id);

CREATE INDEX billing_subscriptions_live ON billing_subscriptions (organization_id, id) WHERE ended_at IS NULL;

CREATE TABLE billing_terms (
    organization_id uuid NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    on_deletion text NOT NULL CHECK (on_deletion IN ('cancel_now', 'cancel_at_period_end')),
    final_invoice boolean NOT NULL,
    prorate boolean NOT NULL,
    -- The roles that are counted as seats, with commas between them; empty where the quantity is left alone.
    seat_roles text NOT NULL,
    updated_at timestamptz NOT NULL
);
