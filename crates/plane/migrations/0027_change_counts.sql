-- How often it was changed whether a person is an operator, and what an organization asks of those who delete: the ledger's lines say so as well, and
-- an older one undoes no newer one, in whatever order they were written.

ALTER TABLE users ADD COLUMN operator_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE organizations ADD COLUMN requirements_revision bigint NOT NULL DEFAULT 0;
