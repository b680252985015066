-- What people who watch a deletion want to know: since when it waits for what it says it waits for, and how many rows it is expected to
-- touch. Neither is known of every deletion.

ALTER TABLE deletions ADD COLUMN waiting_since timestamptz;
ALTER TABLE deletions ADD COLUMN rows_expected bigint;
