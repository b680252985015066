-- The refresh tokens of a session share a secret part: one that comes with it and is not the newest was used before. Sessions of before have
-- none until they are refreshed.

ALTER TABLE sessions ADD COLUMN refresh_family_hash bytea;
CREATE UNIQUE INDEX sessions_by_refresh_family ON sessions (refresh_family_hash) WHERE refresh_family_hash IS NOT NULL;
