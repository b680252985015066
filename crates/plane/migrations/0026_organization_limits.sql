-- How many requests an organization may make, where the server's operators have said otherwise than for all: NULL is as for all, 0 is no limit.
-- In a day: of each key and token that is good in it alone. In a minute: of all its callers together.

ALTER TABLE organizations ADD COLUMN requests_per_day bigint;
ALTER TABLE organizations ADD COLUMN requests_per_minute bigint;

CREATE INDEX organizations_with_limits ON organizations (id) WHERE requests_per_day IS NOT NULL OR requests_per_minute IS NOT NULL;
