-- People can delete their own accounts. A closed user signs in nowhere; the row goes with the seal.

ALTER TABLE users ADD COLUMN state text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'closed'));

-- The drain walks along these.
CREATE INDEX members_of_user_in_order ON members (user_id, organization_id, id);
DROP INDEX members_of_user;
CREATE INDEX sessions_of_user_in_order ON sessions (user_id, id);
DROP INDEX sessions_of_user;
