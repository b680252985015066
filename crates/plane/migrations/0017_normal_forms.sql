-- The normal forms of what identifies people and customers, beside what was typed. The program makes them (normal_forms.rs), and fills them
-- for the rows of before when it starts: until then they are NULL. The partial indexes lead it to those rows, and are empty afterwards.

ALTER TABLE users ADD COLUMN email_key text;
ALTER TABLE users ADD COLUMN search_key text;
ALTER TABLE invitations ADD COLUMN email_key text;
ALTER TABLE customers ADD COLUMN email_key text;
ALTER TABLE customers ADD COLUMN search_key text;

CREATE UNIQUE INDEX users_by_email_key ON users (email_key);

CREATE INDEX users_without_keys ON users (id) WHERE search_key IS NULL;
CREATE INDEX invitations_without_keys ON invitations (organization_id, id) WHERE email_key IS NULL;
CREATE INDEX customers_without_keys ON customers (organization_id, id) WHERE search_key IS NULL;
