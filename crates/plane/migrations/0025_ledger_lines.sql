-- Lines of the ledger that its files may not have yet, each written in the transaction that it tells of. What the records of deletions tell as well
-- is not among them.

CREATE TABLE ledger_lines (
    -- As the line says: the next start adds those of which the files have none.
    id uuid PRIMARY KEY,
    -- When what it tells of began.
    at timestamptz NOT NULL,
    entry jsonb NOT NULL
);
