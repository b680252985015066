-- A made-up schema: three levels below a tenant, keys of every type, a table that is kept, a column that is redacted.

CREATE TABLE libraries (
    id uuid PRIMARY KEY,
    state text NOT NULL,
    created_at timestamptz NOT NULL
);

-- The subject of most deletions.
CREATE TABLE readers (
    library_id uuid NOT NULL REFERENCES libraries (id),
    id uuid NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (library_id, id)
);

-- Its key is a number.
CREATE TABLE shelves (
    library_id uuid NOT NULL REFERENCES libraries (id),
    id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (library_id, id)
);

-- Its key is a text, which may be empty.
CREATE TABLE books (
    library_id uuid NOT NULL,
    isbn text NOT NULL,
    shelf_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (library_id, isbn),
    FOREIGN KEY (library_id, shelf_id) REFERENCES shelves (library_id, id) ON DELETE CASCADE
);
CREATE INDEX books_on_shelf ON books (library_id, shelf_id, isbn);

-- Its key has a text and a number.
CREATE TABLE pages (
    library_id uuid NOT NULL,
    isbn text NOT NULL,
    number bigint NOT NULL,
    shelf_id bigint NOT NULL,
    content text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (library_id, isbn, number),
    FOREIGN KEY (library_id, isbn) REFERENCES books (library_id, isbn) ON DELETE CASCADE
);
CREATE INDEX pages_on_shelf ON pages (library_id, shelf_id, isbn, number);

-- Who has what: it goes with its reader, and is kept without its note when its book goes.
CREATE TABLE loans (
    library_id uuid NOT NULL,
    reader_id uuid NOT NULL,
    isbn text NOT NULL,
    number bigint NOT NULL,
    note text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (library_id, reader_id, isbn, number),
    FOREIGN KEY (library_id, reader_id) REFERENCES readers (library_id, id) ON DELETE CASCADE
);

-- What was earned stays.
CREATE TABLE fees (
    library_id uuid NOT NULL,
    id bigint NOT NULL,
    reader_id uuid,
    amount bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (library_id, id)
);
CREATE INDEX fees_of_reader ON fees (library_id, reader_id, id);

CREATE TABLE deletions (
    library_id uuid NOT NULL,
    id uuid NOT NULL,
    root text NOT NULL,
    subject_id uuid NOT NULL,
    subject_label text,
    state text NOT NULL,
    actor text NOT NULL,
    actor_id uuid,
    reason text,
    request_id text NOT NULL,
    stage bigint NOT NULL,
    cursor jsonb,
    counts jsonb NOT NULL,
    effects jsonb NOT NULL,
    batches bigint NOT NULL,
    longest_batch_us bigint NOT NULL,
    fence bigint NOT NULL,
    lease_until timestamptz,
    waiting_for text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    completed_at timestamptz,
    waiting_since timestamptz,
    rows_expected bigint,
    reversible_until timestamptz,
    restored_at timestamptz,
    PRIMARY KEY (library_id, id)
);
CREATE UNIQUE INDEX deletions_by_id ON deletions (id);
CREATE INDEX deletions_by_state ON deletions (state, updated_at, id);
CREATE INDEX deletions_of_subject ON deletions (library_id, subject_id, id);
