//! The record of a deletion: a row of the table `deletions`, from the order to the receipt.

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Row, Statement, Tx, Value, params};
use uuid::Uuid;

use crate::Result;
use crate::condition::Waiting;
use crate::insert::Insert;
use crate::key::{Cursor, cursor_to_json};
use crate::rules::Rules;

sql::words! {
    /// Where a deletion is in its life. The order is that in which a deletion can come to them.
    pub enum State {
        /// Access has ended, and it can be taken back.
        Reversible = "reversible",
        /// Access has ended, and no worker has begun to erase.
        Closed = "closed",
        /// Rows are being erased.
        Draining = "draining",
        /// A sweep has found nothing left.
        Completed = "completed",
        /// It was taken back.
        Restored = "restored",
    }
}

impl State {
    /// Whether nothing happens to it any more.
    pub fn is_over(self) -> bool {
        matches!(self, State::Completed | State::Restored)
    }
}

/// The record of a deletion as it is written when it is ordered.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id.
    pub id: Uuid,
    /// The tenant, which may be gone.
    pub tenant: Uuid,
    /// The name of its root.
    pub root: String,
    /// What is or was deleted.
    pub subject: Uuid,
    /// How the caller named it; none once it is erased.
    pub subject_label: Option<String>,
    /// Where it is.
    pub state: State,
    /// The kind of the one who ordered it.
    pub actor: String,
    /// The one who ordered it.
    pub actor_id: Option<Uuid>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The request that ordered it.
    pub request_id: String,
    /// Rows erased or redacted so far, by table.
    pub counts: Json,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When it was completed, if it was at once.
    pub completed_at: Option<Timestamp>,
    /// Until when it can be taken back.
    pub reversible_until: Option<Timestamp>,
}

/// The statements about records, in which the tenant's column has the name that the rules give it.
#[derive(Debug)]
pub(crate) struct RecordStatements {
    insert: Insert,
    pub(crate) waiting: Statement,
    pub(crate) take: Statement,
    pub(crate) renew: Statement,
    pub(crate) position: Statement,
    progress: Statement,
    pub(crate) again: Statement,
    pub(crate) complete: Statement,
    pub(crate) release: Statement,
    pub(crate) wake: Statement,
    pub(crate) take_back: Statement,
    pub(crate) ahead: Statement,
}

impl RecordStatements {
    pub(crate) fn generate(tenant: &str) -> RecordStatements {
        let statement = |text: &str| Statement::generated(text.replace("{tenant}", tenant));
        RecordStatements {
            insert: Insert::new(
                &format!(
                    "INSERT INTO deletions ({tenant}, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage, cursor,
                                counts, effects, batches, longest_batch_us, fence, created_at, updated_at, completed_at, reversible_until)"
                ),
                "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, NULL, $11, '{}', 0, 0, 0, $12, $12, $13, $14)",
                14,
            ),
            waiting: statement(
                "SELECT {tenant}, id, root, subject_id, fence
                 FROM deletions WHERE state = $1 AND (lease_until IS NULL OR lease_until <= $2)
                 ORDER BY updated_at, id LIMIT 1",
            ),
            take: statement(
                "UPDATE deletions SET state = 'draining', fence = fence + 1, lease_until = $4, updated_at = $5
                 WHERE {tenant} = $1 AND id = $2 AND fence = $3 AND state IN ('closed', 'draining')",
            ),
            renew: statement(
                "UPDATE deletions SET lease_until = $4, updated_at = $5, batches = batches + 1, waiting_for = NULL,
                        longest_batch_us = CASE WHEN longest_batch_us < $6 THEN $6 ELSE longest_batch_us END
                 WHERE {tenant} = $1 AND id = $2 AND fence = $3 AND state = 'draining'
                 RETURNING stage, cursor, counts",
            ),
            position: statement(
                "SELECT stage, cursor, counts FROM deletions WHERE {tenant} = $1 AND id = $2 AND fence = $3 AND state = 'draining'",
            ),
            progress: statement(
                "UPDATE deletions SET stage = $3, cursor = $4, counts = $5, waiting_since = NULL WHERE {tenant} = $1 AND id = $2",
            ),
            again: statement("UPDATE deletions SET stage = $3, cursor = NULL WHERE {tenant} = $1 AND id = $2"),
            complete: statement(
                "UPDATE deletions SET state = 'completed', completed_at = $3, lease_until = NULL, cursor = NULL, waiting_for = NULL,
                        waiting_since = NULL
                 WHERE {tenant} = $1 AND id = $2 RETURNING counts",
            ),
            release: statement(
                "UPDATE deletions SET lease_until = $6, waiting_for = $4,
                        waiting_since = CASE WHEN CAST($4 AS text) IS NULL THEN NULL ELSE coalesce(waiting_since, $7) END,
                        longest_batch_us = CASE WHEN longest_batch_us < $5 THEN $5 ELSE longest_batch_us END
                 WHERE {tenant} = $1 AND id = $2 AND fence = $3",
            ),
            wake: statement("UPDATE deletions SET lease_until = NULL WHERE {tenant} = $1 AND state = 'draining' AND waiting_for = $2"),
            take_back: statement(
                "UPDATE deletions SET state = 'restored', restored_at = $3, updated_at = $3, fence = fence + 1
                 WHERE {tenant} = $1 AND id = $2 AND state = 'reversible' AND reversible_until > $3
                 RETURNING counts",
            ),
            ahead: statement(
                "SELECT {tenant}, subject_id, root, stage, cursor, counts
                 FROM deletions WHERE id = $1 AND state NOT IN ('completed', 'restored')",
            ),
        }
    }

    pub(crate) fn all(&self) -> Vec<Statement> {
        let RecordStatements { insert, waiting, take, renew, position, progress, again, complete, release, wake, take_back, ahead } = self;
        let others = [waiting, take, renew, position, progress, again, complete, release, wake, take_back, ahead];
        insert.statements().into_iter().chain(others.into_iter().copied()).collect()
    }
}

impl Rules {
    /// The statements that write records whose columns are given one after the other.
    pub(crate) fn insert_records<'a>(&'static self, columns: &'a [Value]) -> Vec<(Statement, &'a [Value])> {
        self.record().insert.of(columns)
    }

    /// Writes the record of a deletion that a database had forgotten.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_again(&'static self, tx: &mut Tx, record: &Record) -> Result<()> {
        Ok(tx.query_all(&self.insert_records(&record.columns())).await.map(drop)?)
    }

    /// Takes a deletion back whose grace period is not over, as far as its record goes. Returns its counts; none where there is no such
    /// deletion.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_back(&'static self, tx: &mut Tx, tenant: Uuid, id: Uuid, now: Timestamp) -> Result<Option<Json>> {
        Ok(tx.read_opt(self.record().take_back, params![tenant, id, now]).await?)
    }

    pub(crate) async fn write_progress(
        &'static self,
        tx: &mut Tx,
        (tenant, id): (Uuid, Uuid),
        stage: usize,
        cursor: Option<&Cursor>,
        counts: &Json,
    ) -> Result<()> {
        tx.execute(self.record().progress, params![tenant, id, stage as i64, cursor.map(cursor_to_json), counts]).await?;
        Ok(())
    }

    /// Lets the deletions of a tenant that wait for this be looked at again. Returns how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn wake(&'static self, tx: &mut Tx, tenant: Uuid, waiting: &Waiting) -> Result<u64> {
        Ok(tx.execute(self.record().wake, params![tenant, waiting.write()]).await?)
    }
}

impl Record {
    pub(crate) fn columns(&self) -> [Value; 14] {
        [
            self.tenant.into(),
            self.id.into(),
            (&self.root).into(),
            self.subject.into(),
            self.subject_label.as_deref().into(),
            self.state.into(),
            (&self.actor).into(),
            self.actor_id.into(),
            self.reason.as_deref().into(),
            (&self.request_id).into(),
            (&self.counts).into(),
            self.created_at.into(),
            self.completed_at.into(),
            self.reversible_until.into(),
        ]
    }
}

/// Where the drain is with a deletion.
#[derive(Debug)]
pub struct Position {
    pub(crate) stage: usize,
    /// Of the walk of that stage; read with [`cursor_from_json`](crate::key::cursor_from_json).
    pub(crate) cursor: Option<Json>,
    /// Rows so far, by table.
    pub counts: Json,
}

impl Position {
    pub(crate) fn read(row: Row) -> Result<Position> {
        let (stage, cursor, counts): (i64, Option<Json>, Json) = row.read()?;
        Ok(Position { stage: usize::try_from(stage).unwrap_or(0), cursor, counts })
    }
}
