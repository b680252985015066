-- Most deletions are over in the transaction that orders them: they are in no index of what can be taken back or was.

DROP INDEX deletions_by_grace;
CREATE INDEX deletions_by_grace ON deletions (state, reversible_until, id) WHERE state = 'reversible';
DROP INDEX deletions_by_restoration;
CREATE INDEX deletions_by_restoration ON deletions (restored_at, id) WHERE restored_at IS NOT NULL;

-- A deletion looks for the labels of its subjects, which few entries and records still have: not through all of an organization's.
CREATE INDEX audit_entries_labelled ON audit_entries (organization_id, subject_id) WHERE subject_label IS NOT NULL;
CREATE INDEX deletions_labelled ON deletions (organization_id, subject_id) WHERE subject_label IS NOT NULL;
