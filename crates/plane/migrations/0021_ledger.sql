-- What the database knows of the ledger that lies outside of it: one row, or none where no ledger is kept.

CREATE TABLE ledger (
    -- As the ledger's files say.
    id uuid PRIMARY KEY,
    -- The last line that was written when this row was, and when that was.
    position bigint NOT NULL,
    position_at timestamptz NOT NULL,
    -- Goes up by one now and then, here and in the ledger: where the ledger is further, the database is an older state.
    beat bigint NOT NULL,
    -- Whether the database comes from a backup, and has not caught up with the ledger yet.
    is_restored boolean NOT NULL
);
